//! What a batch needs to go on elsewhere when its device is lost: a copy of its memory that is a little old, and the
//! sound since then.

use std::sync::Arc;

use super::{Cpc, LiveBatch};
use crate::error::Result;
use crate::kernels::Stepper;

/// Steps after which the copy is made anew: to copy costs a transfer, to hear again costs steps.
const STEPS: usize = 200;

/// Copy and sound.
#[derive(Debug)]
pub(super) struct Refuge {
    /// Number of the next frame and memory of each slot that is taken.
    streams: Vec<Option<(u64, Vec<f32>)>>,
    /// Slots and samples.
    steps: Vec<(Vec<u32>, Vec<f32>)>,
}

impl Refuge {
    /// A copy of what a batch remembers.
    pub(super) fn new(stepper: &dyn Stepper, next: &[Option<u64>]) -> Result<Self> {
        let copy = |(slot, next): (usize, &Option<u64>)| {
            let Some(next) = *next else { return Ok(None) };
            let mut memory = Vec::new();
            stepper.memory(slot, &mut memory)?;
            Ok(Some((next, memory)))
        };
        let streams = next.iter().enumerate().map(copy).collect::<Result<_>>()?;
        Ok(Self { streams, steps: Vec::with_capacity(STEPS) })
    }

    /// Remembers a step; true when the copy is old.
    pub(super) fn push(&mut self, slots: &[u32], samples: &[f32]) -> bool {
        self.steps.push((slots.to_vec(), samples.to_vec()));
        self.steps.len() >= STEPS
    }

    /// The batch as it was after its last step, on `cpc`.
    pub(super) fn batch(&self, cpc: Arc<Cpc>) -> Result<LiveBatch> {
        let mut batch = LiveBatch::resumed(cpc, &self.streams)?;
        for (slots, samples) in &self.steps {
            batch.step_rows(slots, samples)?;
        }
        Ok(batch)
    }
}
