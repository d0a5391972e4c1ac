//! The frames of a stream, shared by all component scores.

use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;
use crate::frame::Frame;
use crate::model::{Cpc, OfflineStepper};
use crate::units::HOP;

/// Hops of a step of the model.
const PIECE: usize = 500;

/// The frames of the model over a stream.
pub struct StreamFrames {
    /// The model.
    pub cpc: Arc<Cpc>,
    /// Its frames.
    pub frames: Vec<Frame>,
}

impl StreamFrames {
    /// Of mono samples at 16 kHz.
    ///
    /// # Errors
    /// When the model fails.
    pub fn of(cpc: &Arc<Cpc>, samples: &[f32]) -> Result<Self> {
        let mut passage = OfflineStepper::new(Arc::clone(cpc))?;
        let mut frames = Vec::with_capacity(samples.len() / HOP);
        let whole = samples.len() / HOP * HOP;
        for piece in samples.get(..whole).unwrap_or_default().chunks(PIECE * HOP) {
            passage.step(piece, &mut frames)?;
        }
        Ok(Self { cpc: Arc::clone(cpc), frames })
    }

    /// A part of each frame as a tensor `[1, n, width]`, for the frames of `range`.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn tensor(&self, range: std::ops::Range<usize>, of: impl Fn(&Frame) -> &[f32]) -> Result<Tensor> {
        let frames = self.frames.get(range).unwrap_or_default();
        let width = frames.first().map_or(0, |f| of(f).len());
        let flat: Vec<f32> = frames.iter().flat_map(of).copied().collect();
        Ok(Tensor::from_vec(flat, (1, frames.len(), width), self.cpc.device())?)
    }
}
