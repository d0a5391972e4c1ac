//! Whether the level of a slow stream of numbers has changed: adaptive windowing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::exact::exact;
use crate::error::{Error, Result};

/// M, most buckets of one size.
const BUCKETS: usize = 5;
/// δ by default: the nominal probability of a false alarm at a check.
const DELTA: f64 = 0.002;
/// No window has so many sizes of buckets: it would hold more than 10^16 values.
const MOST_ROWS: usize = 56;
/// Fewest values on either side of a cut.
const SHORTEST_SIDE: u64 = 5;

/// ADWIN: a window over the latest values that grows while their mean stays and is cut where it does not (Bifet
/// and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing, SDM 2007; ADWIN2, section 3.2).
///
/// The window of n values is cut between its n₀ older and n₁ newer ones, 5 or more each, if their means are
/// further apart than ε = √(2/m·σ²·ln(2/δ′)) + 2/(3m)·ln(2/δ′), where 1/m = 1/n₀ + 1/n₁, σ² is the variance of
/// the window and δ′ = δ/ln n. The second term presumes values that scatter by about 1: with a deviation far
/// below 1 it hides changes.
///
/// Values are held in buckets of 1, 2, 4, … values, at most 5 of a size, so that memory and the work of a check
/// grow with log n, and cuts fall between buckets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adwin {
    delta: f64,
    /// Values between two checks.
    clock: u64,
    /// Values since the last check.
    since: u64,
    /// Buckets of 2^i values at place i, the oldest first.
    rows: Vec<VecDeque<Moments>>,
}

exact!(Adwin { delta, clock, since, rows });

/// Count, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

exact!(Moments { count, mean, squares });

impl Moments {
    /// The moments of both (Chan, Golub and LeVeque 1979).
    fn join(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0 {
            return self;
        }
        let share = other.count as f64 / count as f64;
        let apart = other.mean - self.mean;
        let between = apart * apart * self.count as f64 * share;
        Self { count, mean: self.mean + apart * share, squares: self.squares + other.squares + between }
    }
}

impl Default for Adwin {
    /// δ = 0.002, a check after each value.
    fn default() -> Self {
        Self { delta: DELTA, clock: 1, since: 0, rows: Vec::new() }
    }
}

impl Adwin {
    /// An empty window. `delta` is δ, above 0 and below 1; `clock` is how many values come between two checks, 1
    /// or more.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn new(delta: f64, clock: u64) -> Result<Self> {
        let new = Self { delta, clock, ..Self::default() };
        if new.is_whole() {
            return Ok(new);
        }
        Err(Error::config(
            format!(
                "adaptive windowing has delta {delta} and clock {clock}, expected 0 < delta < 1, clock ≥ 1"
            ),
            "set delta to 0.002 and clock to 1",
        ))
    }

    /// The next value; one that is not finite is ignored. True if the mean has changed: the window then holds
    /// only what came since.
    pub fn push(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            return false;
        }
        self.insert(Moments { count: 1, mean: x, squares: 0.0 });
        self.since += 1;
        if self.since < self.clock {
            return false;
        }
        self.since = 0;
        let mut changed = false;
        while self.has_cut() {
            self.forget_oldest();
            changed = true;
        }
        changed
    }

    /// Mean of the window; none while it is empty.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let total = self.total();
        (total.count > 0).then_some(total.mean)
    }

    /// Variance of the window (over n); none while it is empty.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let total = self.total();
        (total.count > 0).then(|| total.squares / total.count as f64)
    }

    /// Values in the window.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total().count
    }

    /// Whether the window holds no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether this could have come about by the functions above.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.delta > 0.0
            && self.delta < 1.0
            && self.clock >= 1
            && self.since < self.clock
            && self.rows.len() < MOST_ROWS
            && self.rows.last().is_none_or(|row| !row.is_empty())
            && self.rows.iter().enumerate().all(|(i, row)| {
                row.len() <= BUCKETS
                    && row.iter().all(|b| b.count == 1 << i && b.mean.is_finite() && b.squares >= 0.0)
            })
    }

    fn insert(&mut self, mut bucket: Moments) {
        for row in &mut self.rows {
            row.push_back(bucket);
            if row.len() <= BUCKETS {
                return;
            }
            let (Some(older), Some(newer)) = (row.pop_front(), row.pop_front()) else { return };
            bucket = older.join(newer);
        }
        self.rows.push(VecDeque::from([bucket]));
    }

    fn forget_oldest(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.pop_front();
        }
        while self.rows.last().is_some_and(VecDeque::is_empty) {
            self.rows.pop();
        }
    }

    /// The buckets, the oldest first.
    fn buckets(&self) -> impl Iterator<Item = &Moments> {
        self.rows.iter().rev().flatten()
    }

    fn total(&self) -> Moments {
        self.buckets().fold(Moments::default(), |sum, &bucket| sum.join(bucket))
    }

    fn has_cut(&self) -> bool {
        let total = self.total();
        if total.count < 2 * SHORTEST_SIDE {
            return false;
        }
        let n = total.count as f64;
        let variance = total.squares / n;
        let log = (2.0 * n.ln() / self.delta).ln();
        let mut older = Moments::default();
        self.buckets().any(|&bucket| {
            older = older.join(bucket);
            let newer = total.count - older.count;
            if older.count < SHORTEST_SIDE || newer < SHORTEST_SIDE {
                return false;
            }
            let (n0, n1) = (older.count as f64, newer as f64);
            let apart = (total.mean - older.mean).abs() * n / n1;
            let m = n0 * n1 / n;
            apart > (2.0 / m * variance * log).sqrt() + 2.0 / (3.0 * m) * log
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Normal numbers of deviation 1 (Box and Muller).
    fn noise(seed: u64) -> impl Iterator<Item = f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        std::iter::repeat_with(move || {
            let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        })
    }

    #[test]
    fn stationary_noise_hardly_ever_changes() {
        let changes: usize = (0..20)
            .map(|seed| {
                let mut adwin = Adwin::default();
                noise(seed).take(5000).filter(|&x| adwin.push(x)).count()
            })
            .sum();
        assert!(changes <= 2, "{changes} changes in 20 runs of 5000 values");
    }

    #[test]
    fn a_shift_is_found_sooner_the_larger_it_is_and_the_mean_follows() {
        for (shift, median, latest) in [(1.0, 60, 120), (-1.0, 60, 120), (3.0, 15, 20), (-3.0, 15, 20)] {
            let mut delays: Vec<usize> = (0..21)
                .map(|seed| {
                    let mut noise = noise(100 + seed);
                    let mut adwin = Adwin::default();
                    noise.by_ref().take(300).for_each(|x| {
                        adwin.push(x);
                    });
                    let delay = 1 + noise.by_ref().take(1000).position(|x| adwin.push(x + shift)).unwrap();
                    noise.by_ref().take(200).for_each(|x| {
                        adwin.push(x + shift);
                    });
                    assert!((adwin.mean().unwrap() - shift).abs() < 0.35, "{:?} after {shift}", adwin.mean());
                    assert!(adwin.len() < 300, "{}", adwin.len());
                    delay
                })
                .collect();
            delays.sort_unstable();
            assert!(delays[10] <= median && delays[20] <= latest, "{delays:?} for a shift of {shift}");
        }
    }

    #[test]
    fn memory_grows_with_the_logarithm() {
        let mut adwin = Adwin::default();
        for x in noise(1).take(30_000) {
            adwin.push(0.01 * x);
        }
        assert_eq!(adwin.len(), 30_000);
        assert!(adwin.buckets().count() <= BUCKETS * 15);
        assert!(adwin.mean().unwrap().abs() < 1e-3);
        assert!((adwin.variance().unwrap().sqrt() - 0.01).abs() < 1e-3);
    }

    #[test]
    fn nothing_is_known_of_nothing_and_what_is_not_a_number_is_ignored() {
        let mut adwin = Adwin::default();
        assert!(adwin.is_empty() && adwin.mean().is_none() && adwin.variance().is_none());
        assert!(!adwin.push(f64::NAN) && !adwin.push(f64::INFINITY));
        assert!(adwin.is_empty());
        assert!(
            Adwin::new(0.0, 1).is_err() && Adwin::new(f64::NAN, 1).is_err() && Adwin::new(0.1, 0).is_err()
        );
    }

    #[test]
    fn the_clock_says_when_to_look() {
        let mut adwin = Adwin::new(0.002, 32).unwrap();
        let values = noise(4).take(320).chain(noise(5).take(320).map(|x| x + 5.0));
        let found: Vec<usize> =
            values.enumerate().filter_map(|(i, x)| adwin.push(x).then_some(i + 1)).collect();
        assert_eq!(found.first(), Some(&352));
        assert!(found.iter().all(|i| i % 32 == 0), "{found:?}");
    }

    proptest! {
        #[test]
        fn buckets_sum_to_the_values_of_the_window(values in prop::collection::vec(-1e3..1e3f64, 1..400)) {
            let mut adwin = Adwin::default();
            for &x in &values {
                adwin.push(x);
                prop_assert!(adwin.is_whole());
            }
            let window = &values[values.len() - adwin.len() as usize..];
            let n = window.len() as f64;
            let mean = window.iter().sum::<f64>() / n;
            let variance = window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((adwin.mean().unwrap() - mean).abs() < 1e-9);
            prop_assert!((adwin.variance().unwrap() - variance).abs() < 1e-6);
            let json = serde_json::to_string(&adwin).unwrap();
            prop_assert_eq!(serde_json::from_str::<Adwin>(&json).unwrap(), adwin);
        }
    }
}
