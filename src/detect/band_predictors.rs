//! What the past of a site predicts of its bands.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::background_model::{WARM_UP, too_short};
use super::linear_predictor::LinearPredictor;
use crate::error::Result;
use crate::units::BANDS;

/// Frames between the past and what it predicts: their windows share no sample.
pub(super) const LAG: usize = 3;
/// Most frames that a prediction is fitted to: neighbours say nearly the same.
const MOST: usize = 6000;
/// Numbers of a trend.
pub(super) const TREND: usize = 3 * BANDS;
/// Frames that the two averages of a trend remember.
const REMEMBERED: [f32; 2] = [5.0, 30.0];

/// The bands of a frame and their averages over some 50 and 300 ms.
#[derive(Debug, Clone)]
pub(super) struct BandHistory {
    averages: [[f32; BANDS]; 2],
    begun: bool,
}

impl BandHistory {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { averages: [[0.0; BANDS]; 2], begun: false }
    }

    /// Takes the next frame and gives its trend: bands, shorter average, longer average.
    pub(super) fn push(&mut self, bands: &[f32]) -> [f32; TREND] {
        for (average, remembered) in self.averages.iter_mut().zip(REMEMBERED) {
            let rate = if self.begun { 1.0 - (-1.0 / remembered).exp() } else { 1.0 };
            average.iter_mut().zip(bands).for_each(|(a, x)| *a += rate * (x - *a));
        }
        self.begun = true;
        let mut trend = [0.0; TREND];
        let all = bands.iter().chain(self.averages.iter().flatten());
        trend.iter_mut().zip(all).for_each(|(to, x)| *to = *x);
        trend
    }
}

/// Linear predictions of the bands 30 ms later: from the context c_t, and from the trend of the bands themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BandPredictors {
    pub(super) from_context: LinearPredictor,
    pub(super) from_trend: LinearPredictor,
}

impl BandPredictors {
    /// Of frames, `bands` `[n, 64]` and `contexts` `[n, width]`; at each of `breaks` (ascending) the sound begins anew.
    ///
    /// # Errors
    /// When there are fewer than 2 s.
    pub(super) fn fit(bands: &[f32], contexts: &[f32], width: usize, breaks: &[usize]) -> Result<Self> {
        let n = bands.len() / BANDS;
        if n < 2 * WARM_UP {
            return Err(too_short(n / 100));
        }
        let (mut trend, mut trends) = (BandHistory::new(), Vec::with_capacity(n * TREND));
        for (i, frame) in bands.chunks_exact(BANDS).enumerate() {
            if breaks.binary_search(&i).is_ok() {
                trend = BandHistory::new();
            }
            trends.extend(trend.push(frame));
        }
        let broken = |i: usize| breaks.iter().any(|&at| at <= i && i < at + LAG);
        let chosen: Vec<usize> = (WARM_UP..n).step_by((n / MOST).max(1)).filter(|&i| !broken(i)).collect();
        let rows = |values: &[f32], width: usize, back: usize| {
            let row = |&i: &usize| values.get((i - back) * width..(i - back + 1) * width).unwrap_or_default();
            let flat: Vec<f32> = chosen.iter().flat_map(row).copied().collect();
            DMatrix::from_row_slice(chosen.len(), width, &flat)
        };
        let targets = rows(bands, BANDS, 0);
        Ok(Self {
            from_context: LinearPredictor::fit(&rows(contexts, width, LAG), &targets)?,
            from_trend: LinearPredictor::fit(&rows(&trends, TREND, LAG), &targets)?,
        })
    }

    /// Whether this could have come from a fit to contexts of `width` values.
    pub(super) fn is_whole(&self, width: usize) -> bool {
        self.from_context.is_whole(width) && self.from_trend.is_whole(TREND)
    }
}
