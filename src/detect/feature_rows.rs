//! Rows of band statistics: every 50 ms, over windows of 0.1 to 0.5 s.

use super::band_predictors::BandPredictors;
use super::row_layout::{BRIEF, DEPARTURE, HALF, LAG, RAW, ROW, SHORT, SLOW, SUDDEN, UNEXPECTED};
use super::windows::{BandWindows, HALF_FRAMES, QUARTER_FRAMES, Residuals};
use crate::detect::exact::exact;
use crate::units::BANDS;

/// Frames of the shortest window.
const BRIEF_FRAMES: usize = 10;
/// Rows that the slow average remembers: 3 s.
const SLOW_ROWS: f32 = 60.0;

/// Makes the rows of a stream: remembers its last half second.
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    windows: BandWindows,
    /// What contexts do not predict of the bands.
    unexpected: Residuals,
    slow: Vec<f32>,
}

exact!(FeatureExtractor { windows, unexpected, slow });

impl Default for FeatureExtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureExtractor {
    /// For a stream that has received nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { windows: BandWindows::new(), unexpected: Residuals::new(), slow: Vec::new() }
    }

    /// Whether the windows are full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.windows.bands().frames() >= HALF_FRAMES + LAG
    }

    pub(super) fn push(&mut self, predictors: &BandPredictors, (bands, context): (&[f32], &[f32])) {
        self.unexpected.push(&predictors.from_context, self.windows.bands(), context);
        self.windows.push(&predictors.from_trend, bands);
    }

    /// The raw row that ends with the last frame. To be called once in [`ROW`] frames: the slow average moves on.
    pub(super) fn row(&mut self, predictors: &BandPredictors, out: &mut Vec<f32>) {
        self.unexpected.subtract_predictions(&predictors.from_context, self.windows.bands());
        let departure = self.windows.departure(&predictors.from_trend);
        let (bands, unexpected) = (self.windows.bands(), &self.unexpected);
        out.clear();
        out.resize(RAW, 0.0);
        let parts = [
            (BRIEF, bands.moments(BRIEF_FRAMES)),
            (SHORT, bands.moments(QUARTER_FRAMES)),
            (HALF, bands.moments(HALF_FRAMES)),
            (SUDDEN, unexpected.moments(BRIEF_FRAMES)),
            (UNEXPECTED, unexpected.moments(HALF_FRAMES)),
            (DEPARTURE, departure),
        ];
        for (range, moments) in parts {
            if let Some(place) = out.get_mut(range) {
                place.iter_mut().zip(moments.as_flattened()).for_each(|(to, x)| *to = *x);
            }
        }
        let brief = out.get(BRIEF).unwrap_or_default();
        if self.slow.is_empty() {
            self.slow.extend_from_slice(brief);
        } else {
            let rate = 1.0 - (-1.0 / SLOW_ROWS).exp();
            self.slow.iter_mut().zip(brief).for_each(|(a, x)| *a += rate * (x - *a));
        }
        if let Some(place) = out.get_mut(SLOW) {
            place.copy_from_slice(&self.slow);
        }
    }

    /// Means of the bands over the frames of the last row, `[64]`.
    pub(super) fn newest(&self) -> [f32; BANDS] {
        let [means, _] = self.windows.bands().moments(ROW);
        means
    }
}
