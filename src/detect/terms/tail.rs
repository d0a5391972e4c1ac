//! From the value of a term to how improbable it is.

use serde::{Deserialize, Serialize};

use crate::detect::saturation::saturated;
use crate::error::{Error, Result};

/// Knots of the empirical part: the quantiles at 0, 1/30, … 29/30 of its values.
const KNOTS: usize = 30;
/// Share of the values above the threshold.
const SHARE: f64 = 0.1;
/// From here on, in tens, rarer is counted less, and nothing counts more than `MOST`: one term alone does not drown all others.
const BENT: f64 = 10.0;
const MOST: f64 = 30.0;
/// Fewest values.
const FEWEST: usize = 40;

/// The tail of a term, learnt from cross-fitted values of calibration: empirical below the 90 % quantile, exponential above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct TermTail {
    /// Quantiles below the threshold, ascending.
    knots: Vec<f64>,
    threshold: f64,
    /// Mean excess over the threshold.
    scale: f64,
}

impl TermTail {
    /// Of values in any order.
    ///
    /// # Errors
    /// When there are fewer than 40, or one is not finite.
    pub(in crate::detect) fn fit(mut values: Vec<f64>) -> Result<Self> {
        if values.len() < FEWEST || values.iter().any(|x| !x.is_finite()) {
            return Err(Error::config(
                format!("calibration gives {} values of a term, expected {FEWEST} finite ones", values.len()),
                "let calibration listen longer, or run `calibrate` again",
            ));
        }
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        let threshold = at(1.0 - SHARE);
        let excesses = values.iter().filter(|&&x| x > threshold);
        let (sum, count) = excesses.fold((0.0, 0u32), |(sum, count), x| (sum + x - threshold, count + 1));
        let least = (threshold - at(0.5)).abs().max(threshold.abs() * 1e-3).max(1e-6) * 0.1;
        let scale = (sum / f64::from(count.max(1))).max(least);
        let knots = (0..KNOTS).map(|i| at((1.0 - SHARE) * i as f64 / KNOTS as f64)).collect();
        Ok(Self { knots, threshold, scale })
    }

    /// −log10 of the probability that a normal value exceeds `value`, 0 to 30; from 10 on less than that, but still rising.
    pub(in crate::detect) fn surprisal(&self, value: f64) -> f64 {
        if value >= self.threshold {
            let tens = (value - self.threshold) / self.scale / std::f64::consts::LN_10;
            return bent(tens - SHARE.log10());
        }
        let above = self.knots.partition_point(|&knot| knot <= value);
        let Some(low) = above.checked_sub(1).and_then(|i| self.knots.get(i)) else { return 0.0 };
        let high = self.knots.get(above).copied().unwrap_or(self.threshold);
        let way = if high > *low { (value - low) / (high - low) } else { 0.0 };
        let below = (1.0 - SHARE) * ((above - 1) as f64 + way) / KNOTS as f64;
        -(1.0 - below).log10()
    }

    /// Whether this could have come from a fit.
    pub(in crate::detect) fn is_whole(&self) -> bool {
        self.knots.len() == KNOTS
            && self.knots.iter().chain([&self.threshold]).all(|x| x.is_finite())
            && self.knots.is_sorted()
            && self.scale > 0.0
            && self.scale.is_finite()
    }
}

fn bent(tens: f64) -> f64 {
    saturated(tens, BENT, MOST - BENT, 2.0 * (MOST - BENT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_exponential_is_recovered() {
        let n = 4000;
        let values: Vec<f64> = (0..n).map(|i| -(1.0 - (f64::from(i) + 0.5) / f64::from(n)).ln()).collect();
        let tail = TermTail::fit(values).unwrap();
        for x in [0.5, 1.0, 2.0, 5.0, 12.0, 20.0] {
            let truth = x / std::f64::consts::LN_10;
            assert!((tail.surprisal(x) - truth).abs() < 0.03 * truth.max(1.0), "{x}: {}", tail.surprisal(x));
        }
        assert_eq!(tail.surprisal(-1.0), 0.0);
        assert!(tail.surprisal(1e9) > 29.9 && tail.surprisal(1e9) <= MOST);
        assert!(tail.is_whole());
    }

    proptest! {
        #[test]
        fn higher_values_are_no_less_surprising(
            values in prop::collection::vec(-5.0..50.0f64, 40..200),
            mut at in prop::collection::vec(-10.0..100.0f64, 2..20),
        ) {
            let tail = TermTail::fit(values).unwrap();
            at.sort_by(f64::total_cmp);
            let tens: Vec<f64> = at.iter().map(|&x| tail.surprisal(x)).collect();
            prop_assert!(tens.windows(2).all(|w| w[0] <= w[1] + 1e-12), "{tens:?}");
        }
    }
}
