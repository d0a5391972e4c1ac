//! Recorded sound through the model, many hops at a time.

use std::sync::Arc;

use super::{Cpc, LiveBatch, Stepping};
use crate::error::Result;
use crate::frame::Frame;

/// One stream whose sound is there already: the frames of [`LiveBatch`], to 1e-5, at a fraction of the cost, since every
/// matrix product takes many hops.
#[derive(Debug)]
pub struct Passage {
    batch: LiveBatch,
    slot: usize,
}

impl Passage {
    /// A stream that begins at frame 0.
    ///
    /// # Errors
    /// When the model has no negatives to score with, or the device fails.
    pub fn new(cpc: Arc<Cpc>) -> Result<Self> {
        // the graphs of a GPU are made for some hops at most, its layers take any number
        let stepping = if cpc.device().is_cpu() { Stepping::default() } else { Stepping::Layers };
        let mut batch = LiveBatch::with(cpc, stepping)?;
        let slot = batch.join(0)?;
        Ok(Self { batch, slot })
    }

    /// Another stream begins, at frame 0.
    ///
    /// # Errors
    /// When the device fails.
    pub fn begin_anew(&mut self) -> Result<()> {
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
