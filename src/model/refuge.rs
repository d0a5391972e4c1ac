//! What a batch needs to go on elsewhere when its device is lost: a copy of its memory that is a little old, and the
//! sound since then.

use std::sync::Arc;

use super::{Cpc, LiveBatch, Stepping};
use crate::error::Result;
use crate::kernels::Stepper;
use crate::units::HOP;

/// Hops after which the copy is made anew: to copy costs a transfer, to hear again costs steps.
const HOPS: usize = 200;

/// Copy and sound.
#[derive(Debug)]
pub(super) struct Refuge {
    /// Number of the next frame and memory of each slot that is taken.
    streams: Vec<Option<(u64, Vec<f32>)>>,
    /// Slots and samples.
    steps: Vec<(Vec<u32>, Vec<f32>)>,
    /// Hops in them.
    hops: usize,
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
        Ok(Self { streams, steps: Vec::with_capacity(HOPS), hops: 0 })
    }

    /// Remembers a step; true when the copy is old.
    pub(super) fn push(&mut self, slots: &[u32], samples: &[f32]) -> bool {
        self.steps.push((slots.to_vec(), samples.to_vec()));
        self.hops += samples.len() / (slots.len() * HOP).max(1);
        self.hops >= HOPS
    }

    /// The batch as it was after its last step, on `cpc`.
    pub(super) fn batch(&self, cpc: Arc<Cpc>, stepping: Stepping) -> Result<LiveBatch> {
        let mut batch = LiveBatch::resumed(cpc, stepping, &self.streams)?;
        for (slots, samples) in &self.steps {
            batch.step_rows(slots, samples)?;
        }
        Ok(batch)
    }
}
