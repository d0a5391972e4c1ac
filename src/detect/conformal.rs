//! From a score to a probability without a law: its rank among the block maxima of calibration.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most block maxima that are kept: an hour of them.
const MOST_MAXIMA: usize = 3600;

/// The rank of a score among n block maxima of normal sound.
///
/// p(s) = (1 + #{maxima ≥ s}) / (n + 1). If the block of s and those of calibration are exchangeable, then
/// P(p ≤ α) ≤ α for every α, whatever the law of the scores (Vovk, Gammerman and Shafer, Algorithmic Learning in a
/// Random World, 2005, chapter 2). The price: p never falls below 1/(n + 1), so budgets under
/// [`lowest_rate_per_hour`](Self::lowest_rate_per_hour) are out of its reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conformal {
    /// Maxima over blocks of 1 s, ascending.
    maxima: Vec<f64>,
}

impl Conformal {
    /// Keeps the maxima of the last 3600 blocks of `maxima`, which are in the order of time.
    ///
    /// # Errors
    /// If there are none, or one is not finite.
    pub fn new(mut maxima: Vec<f64>) -> Result<Self> {
        let fix = "let calibration listen longer, or run `calibrate` again";
        if let Some(bad) = maxima.iter().find(|x| !x.is_finite()) {
            return Err(Error::config(
                format!("a score at calibration is {bad}, expected finite scores"),
                fix,
            ));
        }
        if maxima.is_empty() {
            return Err(Error::config("calibration heard no usable second, expected 1 or more", fix));
        }
        maxima.drain(..maxima.len().saturating_sub(MOST_MAXIMA));
        maxima.sort_by(f64::total_cmp);
        Ok(Self { maxima })
    }

    /// How often a second of normal sound scores as high as `score`: in [1/(n+1), 1], falling in `score`; 1 where
    /// `score` is not a number.
    #[must_use]
    pub fn p(&self, score: f64) -> f64 {
        let below = self.maxima.partition_point(|&x| x < score);
        (1 + self.maxima.len() - below) as f64 / (self.maxima.len() + 1) as f64
    }

    /// The lowest budget that a rank can tell from none: 3600/(n + 1) events an hour.
    #[must_use]
    pub fn lowest_rate_per_hour(&self) -> f64 {
        3600.0 / (self.maxima.len() + 1) as f64
    }

    /// The block maxima in use, ascending; 1 to 3600 of them.
    #[must_use]
    pub fn maxima(&self) -> &[f64] {
        &self.maxima
    }

    /// Whether this could have come from [`Conformal::new`].
    #[must_use]
    pub fn is_whole(&self) -> bool {
        (1..=MOST_MAXIMA).contains(&self.maxima.len())
            && self.maxima.iter().all(|x| x.is_finite())
            && self.maxima.is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_of_a_few_maxima() {
        let conformal = Conformal::new(vec![3.0, 1.0, 2.0, 2.0]).unwrap();
        let p: Vec<f64> = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5].iter().map(|&s| conformal.p(s) * 5.0).collect();
        assert_eq!(p, [5.0, 5.0, 4.0, 4.0, 2.0, 2.0, 1.0]);
        assert_eq!((conformal.p(f64::INFINITY), conformal.p(f64::NAN)), (0.2, 1.0));
        assert_eq!(conformal.lowest_rate_per_hour(), 720.0);
    }

    #[test]
    fn an_hour_is_kept_and_it_is_the_last() {
        let conformal = Conformal::new((0..5000).rev().map(f64::from).collect()).unwrap();
        assert_eq!(conformal.maxima().len(), 3600);
        assert_eq!((conformal.maxima()[0], conformal.maxima()[3599]), (0.0, 3599.0));
        assert!(conformal.lowest_rate_per_hour() < 1.0);
    }

    #[test]
    fn what_is_no_calibration_is_refused() {
        assert!(Conformal::new(vec![]).is_err());
        assert!(Conformal::new(vec![1.0, f64::INFINITY]).is_err());
        for (json, whole) in [
            (r#"{"maxima":[1.0,2.0]}"#, true),
            (r#"{"maxima":[]}"#, false),
            (r#"{"maxima":[2.0,1.0]}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<Conformal>(json).unwrap().is_whole(), whole, "{json}");
        }
    }

    proptest! {
        /// Of n + 1 blocks each in turn stands against the others: at most k of them may have p ≤ k/(n + 1), ties
        /// or not. This is the proof that p is valid.
        #[test]
        fn no_more_blocks_are_improbable_than_p_says(scores in prop::collection::vec(0..20i32, 2..60)) {
            let n = scores.len();
            let ranks: Vec<usize> = (0..n)
                .map(|i| {
                    let others = scores.iter().enumerate().filter(|&(j, _)| j != i);
                    let others = Conformal::new(others.map(|(_, &x)| f64::from(x)).collect()).unwrap();
                    (others.p(f64::from(scores[i])) * n as f64).round() as usize
                })
                .collect();
            for k in 1..=n {
                prop_assert!(ranks.iter().filter(|&&rank| rank <= k).count() <= k);
            }
        }

        #[test]
        fn p_falls_in_the_score_and_survives_json(
            maxima in prop::collection::vec(-1e3..1e3f64, 1..60),
            mut scores in prop::collection::vec(-2e3..2e3f64, 2..20),
        ) {
            let conformal = Conformal::new(maxima).unwrap();
            let json = serde_json::to_string(&conformal).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Conformal>(&json).unwrap(), &conformal);
            prop_assert!(conformal.is_whole());
            scores.sort_by(f64::total_cmp);
            let p: Vec<f64> = scores.iter().map(|&s| conformal.p(s)).collect();
            prop_assert!(p.is_sorted_by(|a, b| a >= b));
            prop_assert!(p.iter().all(|&p| p * 3600.0 >= conformal.lowest_rate_per_hour() - 1e-9 && p <= 1.0));
        }
    }
}
