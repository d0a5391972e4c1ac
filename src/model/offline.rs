//! The model over recorded sound, many hops at a time.

use std::sync::Arc;

use super::{Cpc, LiveBatch, Stepping};
use crate::error::Result;
use crate::frame::Frame;

/// Steps one stream over recorded sound: the frames equal those of [`LiveBatch`] to 1e-5, at a fraction of the cost,
/// since each matrix product takes many hops.
#[derive(Debug)]
pub struct OfflineStepper {
    batch: LiveBatch,
    slot: usize,
}

impl OfflineStepper {
    /// A stream that begins at frame 0.
    ///
    /// # Errors
    /// When the model has no negatives to score with, or the device fails.
    pub fn new(cpc: Arc<Cpc>) -> Result<Self> {
        // CUDA graphs are captured for few hops, layers take any number
        let stepping = if cpc.device().is_cpu() { Stepping::default() } else { Stepping::Layers };
        let mut batch = LiveBatch::with(cpc, stepping)?;
        let slot = batch.join(0)?;
        Ok(Self { batch, slot })
    }

    /// Starts another stream at frame 0.
    ///
    /// # Errors
    /// When the device fails.
    pub fn restart(&mut self) -> Result<()> {
        self.batch.reset(self.slot, 0)
    }

    /// The next samples, a whole number of hops; a frame for each hop is appended to `frames`.
    ///
    /// # Errors
    /// When it is no whole number of hops, or the device fails.
    pub fn step(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<()> {
        self.batch.step_piece(self.slot, samples, frames)
    }
}
