//! From a score to how improbable it is: peaks over threshold on block maxima.

use serde::{Deserialize, Serialize};

use super::gpd::Gpd;
use crate::detect::exact::exact;
use crate::error::{Error, Result};

/// No probability is given below this: minutes of sound say nothing about rarer things.
pub const P_FLOOR: f64 = 1e-12;

/// Share of block maxima below the threshold.
const LEVEL: f64 = 0.90;
/// The threshold is lowered to have this many excesses ...
const MIN_EXCESSES: usize = 15;
/// ... but stays above this share of the maxima.
const MIN_LEVEL: f64 = 0.60;
/// Fewest block maxima that a tail is fitted to.
const MIN_BLOCKS: usize = 8;
/// What a valid probability leads to expect, before much was watched: seconds, and excesses over the threshold.
const EXPECTED_SECONDS: usize = 60;
const EXPECTED_EXCESSES: f64 = 60.0;
/// An excess beyond so many scales says that it is at least that: it may be an event.
const CENSORED: f64 = 2.0;

/// The tail of a score, learnt from its maxima over blocks of 1 s.
///
/// Above the threshold t, with N_t of the n maxima above it,
/// p(s) = (N_t/n)·(1 + γ(s−t)/σ)^(−1/γ) with γ ≥ 0 (exp(−(s−t)/σ) for γ = 0), and z_q = t + σ/γ·((q·n/N_t)^(−γ) − 1) is
/// its inverse (peaks over threshold as in SPOT: Siffer et al., KDD 2017). Below t it is the empirical share of
/// maxima above s, interpolated linearly between maxima; below the smallest of them it goes on to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// The n block maxima in use, ascending.
    maxima: Vec<f64>,
    /// Block maxima that were put aside as events.
    discarded: usize,
    /// Threshold t.
    threshold: f64,
    /// N_t / n.
    share: f64,
    /// Law of s − t above the threshold.
    law: Gpd,
}

exact!(Tail { maxima, discarded, threshold, share, law });

impl Tail {
    /// Fits the tail to block maxima, in any order.
    ///
    /// Contamination: up to 15 % of the maxima are put aside as events if they are outliers, i.e. if fewer than
    /// 0.05 maxima that high were to be expected from n under a tail of shape γ = 0.1 laid through the median and
    /// the 75 % quantile. Where more than that stand out, that is what is normal here and nothing is put aside.
    ///
    /// # Errors
    /// If there are fewer than 8 maxima, or one is not finite.
    pub fn fit(mut maxima: Vec<f64>) -> Result<Self> {
        let fix = "let calibration listen longer, or run `calibrate` again";
        if let Some(bad) = maxima.iter().find(|x| !x.is_finite()) {
            return Err(Error::config(
                format!("a score at calibration is {bad}, expected finite scores"),
                fix,
            ));
        }
        if maxima.len() < MIN_BLOCKS {
            let cause =
                format!("calibration received {} usable seconds, expected {MIN_BLOCKS}", maxima.len());
            return Err(Error::config(cause, fix));
        }
        maxima.sort_by(f64::total_cmp);
        let discarded = count_outliers(&maxima);
        maxima.truncate(maxima.len() - discarded);
        Ok(Self::of_sorted(maxima, discarded))
    }

    /// Fits the tail to block maxima that are all known to be normal: none is put aside.
    ///
    /// # Errors
    /// As [`Tail::fit`].
    pub fn of_many(mut maxima: Vec<f64>) -> Result<Self> {
        if maxima.len() < MIN_BLOCKS || maxima.iter().any(|x| !x.is_finite()) {
            return Err(Error::internal(format!("{} maxima, or one not finite", maxima.len())));
        }
        maxima.sort_by(f64::total_cmp);
        Ok(Self::of_sorted(maxima, 0))
    }

    /// The tail of maxima of −log10 p that are watched, events among them, where few were: 60 s in which p is uniform stand beside
    /// them, so that without any of them the probability stays what it is.
    ///
    /// Above the 90 % quantile t the law is exponential. Its scale is the posterior mean after n excesses over t under a prior worth 60
    /// excesses of scale 1/ln 10: σ = (60/ln 10 + Σ min(y, 2σ)) / (60 + #{y < 2σ}), which takes larger ones as censored
    /// (the exponential likelihood with right-censored values; Coles 2001, An Introduction to Statistical Modeling of Extreme Values,
    /// chapter 4, has the law).
    pub(super) fn learning(watched: &[f64]) -> Self {
        let expected = (0..EXPECTED_SECONDS).map(|i| -((i as f64 + 0.5) / EXPECTED_SECONDS as f64).log10());
        let mut maxima: Vec<f64> = watched.iter().copied().chain(expected).collect();
        maxima.sort_by(f64::total_cmp);
        let above = ((1.0 - LEVEL) * maxima.len() as f64).ceil() as usize;
        let threshold = maxima[maxima.len() - 1 - above];
        let share = above as f64 / maxima.len() as f64;
        let excesses: Vec<f64> = watched.iter().filter(|&&x| x > threshold).map(|x| x - threshold).collect();
        let unit = std::f64::consts::LOG10_E;
        let mut scale = unit;
        for _ in 0..4 {
            let limit = CENSORED * scale;
            let (sum, count) = excesses
                .iter()
                .fold((0.0, 0u32), |(sum, count), &y| (sum + y.min(limit), count + u32::from(y < limit)));
            scale = (EXPECTED_EXCESSES * unit + sum) / (EXPECTED_EXCESSES + f64::from(count));
        }
        Self { maxima, discarded: 0, threshold, share, law: Gpd { shape: 0.0, scale } }
    }

    /// The same with an exponential law above the threshold: for a mean of surprisals, whose tails are exponential already, so
    /// that a heavier one would be an accident of a dozen excesses.
    #[must_use]
    pub(super) fn exponential(self) -> Self {
        let excesses = self.maxima.iter().filter(|&&x| x > self.threshold).map(|x| x - self.threshold);
        let (sum, count) = excesses.fold((0.0, 0u32), |(sum, count), x| (sum + x, count + 1));
        let scale = if count > 0 { sum / f64::from(count) } else { self.law.scale };
        Self { law: Gpd { shape: 0.0, scale: scale.max(1e-6) }, ..self }
    }

    fn of_sorted(maxima: Vec<f64>, discarded: usize) -> Self {
        let n = maxima.len();
        let wanted = ((1.0 - LEVEL) * n as f64).ceil() as usize;
        let most = ((1.0 - MIN_LEVEL) * n as f64).floor() as usize;
        let wanted = wanted.max(MIN_EXCESSES.min(most));
        let threshold = maxima[n - 1 - wanted];
        let first = maxima.partition_point(|&x| x <= threshold);
        let excesses: Vec<f64> = maxima[first..].iter().map(|x| x - threshold).collect();
        let (share, law) = if excesses.is_empty() {
            let scale = (maxima[n - 1] - maxima[0]).max(threshold.abs() * 1e-3).max(1e-6);
            (1.0 / (n + 1) as f64, Gpd { shape: 0.0, scale })
        } else {
            (excesses.len() as f64 / n as f64, Gpd::fit_unbounded(&excesses))
        };
        Self { maxima, discarded, threshold, share, law }
    }

    /// Probability that the maximum over 1 s of normal sound exceeds `score`: in [1e-12, 1], falling in `score`.
    #[must_use]
    pub fn tail_probability(&self, score: f64) -> f64 {
        if score >= self.threshold {
            return (self.share * self.law.survival(score - self.threshold)).max(P_FLOOR);
        }
        let above = self.maxima.partition_point(|&x| x <= score);
        let Some(&left) = above.checked_sub(1).and_then(|i| self.maxima.get(i)) else {
            // below all maxima, so that scores of ever more usual sound still differ
            let lowest = self.maxima.first().copied().unwrap_or(score);
            let spread = (self.threshold - lowest).max(1e-9);
            return 1.0 - ((score - lowest) / spread).exp() / (self.maxima.len() + 1) as f64;
        };
        let right = self.maxima.get(above).copied().unwrap_or(left).min(self.threshold);
        let (p_left, p_right) = (self.share_above(left), self.share_above(right));
        let way = if right > left { (score - left) / (right - left) } else { 0.0 };
        (p_left + way * (p_right - p_left)).max(self.share)
    }

    /// −log10 of the probability that the maximum over 1 s of normal sound exceeds `score`, 0 to 300: what
    /// [`tail_probability`](Self::tail_probability) gives, but for its floor. What is far beyond all that calibration holds still
    /// differs.
    pub(super) fn surprisal(&self, score: f64) -> f64 {
        let p = self.tail_probability(score);
        let far = self.share * self.law.survival((score - self.threshold).max(0.0));
        let p = if p > P_FLOOR { p } else { far.clamp(1e-300, P_FLOOR) };
        -p.log10()
    }

    /// The score that the maximum over 1 s of normal sound exceeds with probability `q`: the inverse of
    /// [`Tail::tail_probability`]. For a budget of λ events an hour, q = λ/3600.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let q = q.max(P_FLOOR);
        if q <= self.share {
            return self.threshold + self.law.inverse_survival(q / self.share);
        }
        let mut right = self.threshold;
        for &left in self.maxima.iter().rev().filter(|&&x| x < self.threshold) {
            let p_left = self.share_above(left).max(self.share);
            if p_left >= q {
                let p_right = self.share_above(right).max(self.share);
                return right - (right - left) * (q - p_right) / (p_left - p_right);
            }
            right = left;
        }
        self.maxima[0]
    }

    /// The lowest budget that a rank among the maxima can tell from none: 3600/(n + 1) events an hour. If seconds are
    /// exchangeable, ranks are valid whatever the law of the scores (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
    /// World, 2005, chapter 2).
    #[must_use]
    pub fn lowest_rate_per_hour(&self) -> f64 {
        3600.0 / (self.maxima.len() + 1) as f64
    }

    /// Threshold t above which the generalised Pareto law is in force.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The law of the excesses over the threshold.
    #[must_use]
    pub fn law(&self) -> Gpd {
        self.law
    }

    /// The block maxima in use, ascending.
    #[must_use]
    pub fn maxima(&self) -> &[f64] {
        &self.maxima
    }

    /// How many block maxima were put aside as events.
    #[must_use]
    pub fn discarded(&self) -> usize {
        self.discarded
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        self.maxima.len() >= MIN_BLOCKS
            && self.maxima.iter().chain([&self.threshold]).all(|x| x.is_finite())
            && self.maxima.is_sorted()
            && self.share > 0.0
            && self.share <= 1.0
            && self.law.scale > 0.0
            && self.law.scale.is_finite()
            && self.law.shape.abs() <= 0.5
    }

    fn share_above(&self, score: f64) -> f64 {
        (self.maxima.len() - self.maxima.partition_point(|&x| x <= score)) as f64 / self.maxima.len() as f64
    }
}

/// How many of the highest of ascending `maxima` are events rather than normal (see [`Tail::fit`]).
fn count_outliers(maxima: &[f64]) -> usize {
    const FEWEST: usize = 30;
    let n = maxima.len();
    if n < FEWEST {
        return 0;
    }
    let (median, high) = (maxima[n / 2], maxima[n * 3 / 4]);
    let shape = 0.1;
    let unit = Gpd { shape, scale: 1.0 };
    let scale = (high - median) / unit.inverse_survival(0.25 / 0.5);
    if scale <= 0.0 {
        return 0;
    }
    let limit = median + Gpd { shape, scale }.inverse_survival(0.05 / n as f64 / 0.5);
    let count = n - maxima.partition_point(|&x| x <= limit);
    if count <= n * 15 / 100 { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn gumbel(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..n).map(|_| -(-(1.0 - rng.random::<f64>()).ln()).ln()).collect()
    }

    #[test]
    fn closed_form_of_an_exponential_tail() {
        let law = Gpd { shape: 0.0, scale: 2.0 };
        let maxima: Vec<f64> = (0..100).map(f64::from).collect();
        let tail = Tail { maxima, discarded: 0, threshold: 89.0, share: 0.1, law };
        assert!((tail.tail_probability(93.0) - 0.1 * (-2.0f64).exp()).abs() < 1e-15);
        assert!((tail.tail_probability(89.0) - 0.1).abs() < 1e-15);
        assert!((tail.tail_probability(49.0) - 0.5).abs() < 1e-12);
        assert!((tail.tail_probability(49.5) - 0.495).abs() < 1e-12);
        assert!(
            tail.tail_probability(-1.0) > 0.99 && tail.tail_probability(-9.0) > tail.tail_probability(-1.0)
        );
        assert_eq!(tail.tail_probability(1e9), P_FLOOR);
        assert!((tail.quantile(0.1 * (-2.0f64).exp()) - 93.0).abs() < 1e-12);
        assert!((tail.quantile(0.5) - 49.0).abs() < 1e-9);
        assert_eq!(tail.lowest_rate_per_hour(), 3600.0 / 101.0);
    }

    #[test]
    fn threshold_keeps_fifteen_excesses_but_not_below_sixty_percent() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for (n, excesses) in [(300, 30), (100, 15), (60, 15), (20, 8), (10, 4)] {
            let tail = Tail::fit(gumbel(n, &mut rng)).unwrap();
            let above = tail.maxima.iter().filter(|&&x| x > tail.threshold).count();
            assert!(above.abs_diff(excesses) <= 1, "{above} of {n}");
        }
    }

    #[test]
    fn watching_teaches_how_far_a_site_goes() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut watched = |n: usize, scale: f64| -> Vec<f64> {
            (0..n).map(|_| -scale * (1.0 - rng.random::<f64>()).log10()).collect()
        };
        let at = |tail: &Tail, score: f64| -tail.tail_probability(score).log10();
        let none = Tail::learning(&[]);
        for score in [0.3, 0.7, 1.0, 2.0, 4.0] {
            assert!((at(&none, score) - score).abs() < 0.05 * score + 0.03, "{score}: {}", at(&none, score));
        }
        let quiet = Tail::learning(&watched(600, 0.6));
        assert!((at(&quiet, 1.5) - 2.2).abs() < 0.3, "not as far: {}", at(&quiet, 1.5));
        let far = Tail::learning(&watched(600, 1.8));
        assert!((at(&far, 3.6) - 2.0).abs() < 0.3, "farther: {}", at(&far, 3.6));
        let mut with_events = watched(600, 0.6);
        with_events.iter_mut().step_by(40).for_each(|x| *x = 4.0);
        let moved = at(&quiet, 1.5) - at(&Tail::learning(&with_events), 1.5);
        assert!((-0.1..0.6).contains(&moved), "15 events of 4.0 move it by {moved}");
        assert!(none.is_whole() && quiet.is_whole() && far.is_whole());
    }

    #[test]
    fn false_alarms_keep_the_budget_over_hours_of_stationary_noise() {
        let budget = 1.0 / 3600.0;
        let (runs, hours) = (40, 20);
        let mut rates: Vec<f64> = (0..runs)
            .map(|seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let z = Tail::fit(gumbel(600, &mut rng)).unwrap().quantile(budget);
                let alarms = gumbel(hours * 3600, &mut rng).iter().filter(|&&s| s > z).count();
                alarms as f64 / hours as f64
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        let median = rates[rates.len() / 2];
        assert!((0.2..=3.0).contains(&median), "median {median} events an hour for a budget of 1");
        assert!(rates[rates.len() * 9 / 10] < 15.0, "{rates:?}");
    }

    #[test]
    fn a_few_events_at_calibration_are_put_aside() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let clean = gumbel(300, &mut rng);
        let mut with_events = clean.clone();
        for (i, x) in with_events.iter_mut().step_by(20).enumerate() {
            *x = 25.0 + 10.0 * i as f64;
        }
        let (clean, tail) = (Tail::fit(clean).unwrap(), Tail::fit(with_events).unwrap());
        assert_eq!((clean.discarded(), tail.discarded()), (0, 15));
        let q = 1.0 / 3600.0;
        assert!((tail.quantile(q) - clean.quantile(q)).abs() < 0.5 * clean.quantile(q).abs());
    }

    #[test]
    fn a_second_kind_of_normal_is_not_put_aside() {
        let mut rng = ChaCha8Rng::seed_from_u64(10);
        let mut maxima = gumbel(300, &mut rng);
        maxima.iter_mut().step_by(5).for_each(|x| *x += 40.0);
        let tail = Tail::fit(maxima).unwrap();
        assert_eq!(tail.discarded(), 0);
        assert!(tail.quantile(1.0 / 3600.0) > 40.0);
    }

    #[test]
    fn constant_scores_and_too_few_are_handled() {
        let tail = Tail::fit(vec![1.0; 20]).unwrap();
        assert!(tail.tail_probability(2.0) < tail.tail_probability(1.0));
        assert!(tail.tail_probability(0.9) > 0.95);
        assert!(Tail::fit(vec![1.0; 7]).is_err());
        assert!(Tail::fit(vec![f64::NAN; 20]).is_err());
    }

    proptest! {
        #[test]
        fn probability_falls_in_the_score_and_is_never_zero(
            maxima in prop::collection::vec(-5.0..50.0f64, 8..80),
            mut scores in prop::collection::vec(-10.0..500.0f64, 2..40),
        ) {
            let tail = Tail::fit(maxima).unwrap();
            scores.push(tail.threshold);
            scores.push(tail.threshold - 1e-12);
            scores.sort_by(f64::total_cmp);
            let p: Vec<f64> = scores.iter().map(|&s| tail.tail_probability(s)).collect();
            prop_assert!(p.windows(2).all(|w| w[0] >= w[1]), "{p:?}");
            prop_assert!(p.iter().all(|p| (P_FLOOR..=1.0).contains(p)));
        }

        #[test]
        fn quantile_inverts_probability(
            maxima in prop::collection::vec(-5.0..50.0f64, 8..80),
            q in 1e-9..0.5f64,
        ) {
            let tail = Tail::fit(maxima).unwrap();
            prop_assert!((tail.tail_probability(tail.quantile(q)) / q - 1.0).abs() < 1e-5);
        }
    }
}
