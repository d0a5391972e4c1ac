//! Failover of a batch to the CPU when its device is lost: a recent copy of its memory, and the samples since then.

use crate::error::Result;
use crate::kernels::Stepper;
use crate::units::HOP;

/// Hops after which the copy is renewed: a copy costs a transfer, and each hop since the copy costs a step at failover.
const HOPS: usize = 200;

/// A copy of the memory of all slots, and the steps since then.
#[derive(Debug)]
pub(super) struct FailoverCheckpoint {
    /// Number of the next frame and memory of each used slot.
    pub(super) streams: Vec<Option<(u64, Vec<f32>)>>,
    /// Steps since the copy: slots and samples of each.
    pub(super) steps: Vec<(Vec<u32>, Vec<f32>)>,
    /// Hops in `steps`.
    hops: usize,
}

impl FailoverCheckpoint {
    /// Copies the memory of all slots.
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

    /// Records a step; true when the copy is due for renewal.
    pub(super) fn push(&mut self, slots: &[u32], samples: &[f32]) -> bool {
        self.steps.push((slots.to_vec(), samples.to_vec()));
        self.hops += samples.len() / (slots.len() * HOP).max(1);
        self.hops >= HOPS
    }
}
