//! Surprise: how much less z_u has to do with the contexts before it than is usual here.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::exact::exact;

/// Least spread of −PMI that is believed, in nats.
const LEAST_SPREAD: f64 = 1e-3;

/// Normal −PMI of each horizon: median m_k and median absolute deviation a_k.
///
/// S(u) = mean over k > `skip_k` of (−PMI_k(u) − m_k)/a_k, in robust deviations. PMI_k = l⁺_k − (LSE_j l_kj − ln N)
/// is the estimate of pointwise mutual information behind InfoNCE (CPC paper, arXiv 1807.03748, section 2.3).
/// S(u) is complete when z_u is: it waits for nothing that comes later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surprise {
    /// Horizons k = 1..=skip_k are left out.
    skip_k: usize,
    /// m_k in nats, k = 1..=K.
    median: Vec<f64>,
    /// a_k in nats, k = 1..=K, at least 0.001.
    spread: Vec<f64>,
}

impl Surprise {
    /// Learns m_k and a_k from rows of K values of PMI in nats, one row a frame; NaN entries are left out.
    #[must_use]
    pub fn fit(rows: &[f32], horizons: usize, skip_k: usize) -> Self {
        let mut values = Vec::with_capacity(rows.len() / horizons.max(1));
        let (median, spread) = (0..horizons)
            .map(|k| {
                values.clear();
                let column = rows.iter().skip(k).step_by(horizons);
                values.extend(column.filter(|x| x.is_finite()).map(|&x| -f64::from(x)));
                let median = median(&mut values);
                values.iter_mut().for_each(|x| *x = (*x - median).abs());
                (median, self::median(&mut values).max(LEAST_SPREAD))
            })
            .unzip();
        Self { skip_k, median, spread }
    }

    /// S(u) of one frame's PMI, `[K]` in nats; `None` where no horizon beyond `skip_k` has a finite entry.
    #[must_use]
    pub fn score(&self, pmi: &[f32]) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0u32);
        for ((&pmi, m), a) in pmi.iter().zip(&self.median).zip(&self.spread).skip(self.skip_k) {
            if pmi.is_finite() {
                sum += (-f64::from(pmi) - m) / a;
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Whether this could have come from a fit to rows of `horizons` values.
    pub(crate) fn is_whole(&self, horizons: usize) -> bool {
        self.median.len() == horizons
            && self.spread.len() == horizons
            && self.median.iter().all(|m| m.is_finite())
            && self.spread.iter().all(|a| a.is_finite() && *a >= LEAST_SPREAD)
    }

    /// The number of horizons left out.
    #[must_use]
    pub fn skip_k(&self) -> usize {
        self.skip_k
    }
}

/// The mean of the last W surprises.
#[derive(Debug, Clone)]
pub(crate) struct MovingAverage {
    last: VecDeque<f64>,
    window: usize,
}

exact!(MovingAverage { last, window });

impl MovingAverage {
    /// Over `window` frames, 1 or more.
    pub(crate) fn new(window: usize) -> Self {
        Self { last: VecDeque::with_capacity(window.max(1)), window: window.max(1) }
    }

    /// Takes in the next surprise; the mean, once there are W. Summed anew, so that it depends on these W alone.
    pub(crate) fn push(&mut self, surprise: f64) -> Option<f64> {
        if self.last.len() == self.window {
            self.last.pop_front();
        }
        self.last.push_back(surprise);
        (self.last.len() == self.window).then(|| self.last.iter().sum::<f64>() / self.window as f64)
    }
}

/// The middle of `values` (the mean of the two middle ones); 0 if there are none. Reorders them.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return middle;
    }
    f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [f32; 15] =
        [9.0, -1.0, 0.0, 9.0, -2.0, 0.0, 9.0, -3.0, 0.0, 9.0, -4.0, f32::NAN, 9.0, -100.0, 0.0];

    #[test]
    fn median_and_spread_are_robust() {
        let surprise = Surprise::fit(&ROWS, 3, 1);
        assert_eq!(surprise.median, [-9.0, 3.0, 0.0]);
        assert_eq!(surprise.spread, [LEAST_SPREAD, 1.0, LEAST_SPREAD]);
    }

    #[test]
    fn score_is_the_mean_over_known_horizons() {
        let surprise = Surprise::fit(&ROWS, 3, 1);
        assert_eq!(surprise.score(&[0.0, -5.0, f32::NAN]), Some(2.0));
        let both = surprise.score(&[0.0, -5.0, -0.004]).unwrap();
        assert!((both - f64::midpoint(2.0, 4.0)).abs() < 1e-6);
        assert_eq!(surprise.score(&[0.0, f32::NAN, f32::NAN]), None);
    }

    #[test]
    fn smooth_is_the_mean_of_the_last_frames() {
        let mut smooth = MovingAverage::new(3);
        let found: Vec<_> = [3.0, 0.0, 6.0, 0.0, 0.0, 0.0].map(|s| smooth.push(s)).into();
        assert_eq!(found, [None, None, Some(3.0), Some(2.0), Some(2.0), Some(0.0)]);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
