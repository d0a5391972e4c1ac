//! Windows of half a second over the bands of a stream, and over what is not predicted of them.

use super::band_predictors::BandHistory;
use super::lagged_inputs::LaggedInputs;
use super::linear_predictor::LinearPredictor;
use super::row_layout::ROW;
use crate::detect::exact::exact;
use crate::kernels::moments;
use crate::units::BANDS;

/// Frames that are remembered.
pub(super) const HALF_FRAMES: usize = 50;
/// Frames of a quarter of a second.
pub(super) const QUARTER_FRAMES: usize = 25;

const _: () = assert!(HALF_FRAMES.is_multiple_of(ROW));

/// Means, then standard deviations, of the bands, each `[64]`.
pub(super) type WindowMoments = [[f32; BANDS]; 2];

/// The last 50 frames of 64 numbers, a ring.
#[derive(Debug, Clone)]
pub(super) struct Window {
    ring: Vec<[f32; BANDS]>,
    frames: usize,
}

exact!(Window { ring, frames });

impl Window {
    /// Of a stream that begins.
    fn new() -> Self {
        Self { ring: vec![[0.0; BANDS]; HALF_FRAMES], frames: 0 }
    }

    fn push(&mut self, numbers: &[f32]) {
        if let Some(place) = self.ring.get_mut(self.frames % HALF_FRAMES) {
            place.iter_mut().zip(numbers).for_each(|(to, x)| *to = *x);
        }
        self.frames += 1;
    }

    /// Writes the newest frames to `out`, the last one last.
    fn newest(&self, out: &mut [[f32; BANDS]]) {
        let oldest = self.frames - out.len().min(self.frames);
        for (at, to) in out.iter_mut().enumerate() {
            *to = self.ring.get((oldest + at) % HALF_FRAMES).copied().unwrap_or(*to);
        }
    }

    /// Frames since the stream began.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Means and deviations over the last `count` frames, or as many as there are.
    pub(super) fn moments(&self, count: usize) -> WindowMoments {
        let held = count.min(self.frames).max(1);
        moments(&self.ring, (self.frames + HALF_FRAMES - 1) % HALF_FRAMES, held)
    }
}

/// What predictions leave of the last 50 frames of bands. Those of the frames of a row are made together.
#[derive(Debug, Clone)]
pub(super) struct Residuals {
    inputs: LaggedInputs,
    left: Window,
}

exact!(Residuals { inputs, left });

impl Residuals {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { inputs: LaggedInputs::new(), left: Window::new() }
    }

    /// Takes what is predicted from, at the next frame of `bands`, which does not hold it yet.
    pub(super) fn push(&mut self, predictor: &LinearPredictor, bands: &Window, input: &[f32]) {
        if bands.frames == self.left.frames + ROW {
            self.subtract_predictions(predictor, bands);
        }
        self.inputs.push(input);
    }

    /// Makes the predictions of the last frames of `bands`, up to a row of them.
    pub(super) fn subtract_predictions(&mut self, predictor: &LinearPredictor, bands: &Window) {
        let mut left = [[0.0; BANDS]; ROW];
        let left = left.get_mut(..bands.frames - self.left.frames).unwrap_or_default();
        bands.newest(left);
        self.inputs.subtract_predictions(predictor, left);
        left.iter().for_each(|left| self.left.push(left));
    }

    /// Means and deviations of what is left over the last `count` frames.
    pub(super) fn moments(&self, count: usize) -> WindowMoments {
        self.left.moments(count)
    }
}

/// The bands, and what their own trend does not predict of them.
#[derive(Debug, Clone)]
pub(super) struct BandWindows {
    bands: Window,
    trend: BandHistory,
    departure: Residuals,
}

exact!(BandWindows { bands, trend, departure });

impl BandWindows {
    /// Of a stream that begins.
    pub(super) fn new() -> Self {
        Self { bands: Window::new(), trend: BandHistory::new(), departure: Residuals::new() }
    }

    /// Takes the bands of the next frame, `[64]`, of which `predictor` predicts from their trend.
    pub(super) fn push(&mut self, predictor: &LinearPredictor, bands: &[f32]) {
        self.departure.push(predictor, &self.bands, &self.trend.push(bands));
        self.bands.push(bands);
    }

    /// The bands.
    pub(super) fn bands(&self) -> &Window {
        &self.bands
    }

    /// What is left of them over the last half second.
    pub(super) fn departure(&mut self, predictor: &LinearPredictor) -> WindowMoments {
        self.departure.subtract_predictions(predictor, &self.bands);
        self.departure.moments(HALF_FRAMES)
    }
}
