//! Rows of band statistics: every 50 ms, over windows of 0.1 to 0.5 s.

use std::ops::Range;

use super::band_predictors::{BandHistory, BandPredictors};
use super::lagged_inputs::LaggedInputs;
use super::row_layout::{BRIEF, DEPARTURE, HALF, LAG, RAW, ROW, SHORT, SLOW, SUDDEN, UNEXPECTED};
use crate::detect::exact::exact;
use crate::kernels::moments;
use crate::units::BANDS;

/// Windows in frames; the longest is what is remembered.
const BRIEF_FRAMES: usize = 10;
const SHORT_FRAMES: usize = 25;
const HALF_FRAMES: usize = 50;
/// Rows that the slow average remembers: 3 s.
const SLOW_ROWS: f32 = 60.0;

/// Makes the rows of a stream: remembers its last half second.
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    /// The last 50 frames, a ring: bands, and what was not predicted of them by contexts and by trends.
    bands: Vec<[f32; BANDS]>,
    unexpected: Vec<[f32; BANDS]>,
    departure: Vec<[f32; BANDS]>,
    /// The last frames, of which predictions are not subtracted yet.
    pending: usize,
    contexts: LaggedInputs,
    trends: LaggedInputs,
    trend: BandHistory,
    slow: Vec<f32>,
    frames: usize,
}

exact!(FeatureExtractor { bands, unexpected, departure, pending, contexts, trends, trend, slow, frames });

impl Default for FeatureExtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureExtractor {
    /// For a stream that has received nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bands: vec![[0.0; BANDS]; HALF_FRAMES],
            unexpected: vec![[0.0; BANDS]; HALF_FRAMES],
            departure: vec![[0.0; BANDS]; HALF_FRAMES],
            pending: 0,
            contexts: LaggedInputs::new(),
            trends: LaggedInputs::new(),
            trend: BandHistory::new(),
            slow: Vec::new(),
            frames: 0,
        }
    }

    /// Whether the windows are full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.frames >= HALF_FRAMES + LAG
    }

    pub(super) fn push(&mut self, predictors: &BandPredictors, (bands, context): (&[f32], &[f32])) {
        if self.pending == ROW {
            self.subtract_predictions(predictors);
        }
        if let Some(place) = self.bands.get_mut(self.frames % HALF_FRAMES) {
            place.iter_mut().zip(bands).for_each(|(to, x)| *to = *x);
        }
        self.contexts.push(context);
        self.trends.push(&self.trend.push(bands));
        self.frames += 1;
        self.pending += 1;
    }

    /// Makes the predictions of the last frames.
    fn subtract_predictions(&mut self, predictors: &BandPredictors) {
        let oldest = self.frames - self.pending;
        let mut unexpected = [[0.0; BANDS]; ROW];
        for (at, to) in unexpected.iter_mut().enumerate().take(self.pending) {
            *to = self.bands.get((oldest + at) % HALF_FRAMES).copied().unwrap_or(*to);
        }
        let mut departure = unexpected;
        let both = [
            (&mut unexpected, &self.contexts, &predictors.from_context, &mut self.unexpected),
            (&mut departure, &self.trends, &predictors.from_trend, &mut self.departure),
        ];
        for (left, inputs, predictor, ring) in both {
            let left = left.get_mut(..self.pending).unwrap_or_default();
            inputs.subtract_predictions(predictor, left);
            for (at, left) in left.iter().enumerate() {
                ring.get_mut((oldest + at) % HALF_FRAMES).into_iter().for_each(|place| *place = *left);
            }
        }
        self.pending = 0;
    }

    /// The raw row that ends with the last frame. To be called once in [`ROW`] frames: the slow average moves on.
    pub(super) fn row(&mut self, predictors: &BandPredictors, out: &mut Vec<f32>) {
        self.subtract_predictions(predictors);
        out.clear();
        out.resize(RAW, 0.0);
        let mut fill = |ring: &[[f32; BANDS]], window: usize, range: Range<usize>| {
            let both = self.moments(ring, window);
            if let Some(place) = out.get_mut(range) {
                place.iter_mut().zip(both.as_flattened()).for_each(|(to, x)| *to = *x);
            }
        };
        fill(&self.bands, BRIEF_FRAMES, BRIEF);
        fill(&self.bands, SHORT_FRAMES, SHORT);
        fill(&self.bands, HALF_FRAMES, HALF);
        fill(&self.unexpected, BRIEF_FRAMES, SUDDEN);
        fill(&self.unexpected, HALF_FRAMES, UNEXPECTED);
        fill(&self.departure, HALF_FRAMES, DEPARTURE);
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
        let [means, _] = self.moments(&self.bands, ROW);
        means
    }

    /// Means and deviations over the last `window` frames of a ring.
    fn moments(&self, ring: &[[f32; BANDS]], window: usize) -> [[f32; BANDS]; 2] {
        let held = window.min(self.frames).max(1);
        moments(ring, (self.frames + HALF_FRAMES - 1) % HALF_FRAMES, held)
    }
}
