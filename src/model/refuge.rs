//! What a batch needs to go on elsewhere when its device is lost: a copy of its memory that is a little old, and the
//! sound since then.

use std::sync::Arc;

use candle_core::Device;

use super::{Cpc, CpcState, LiveBatch};
use crate::error::Result;
use crate::nn::BatchState;
use crate::units::HOP;

/// Steps after which the copy is made anew: to copy costs a transfer, to hear again costs steps.
const STEPS: usize = 200;

/// Copy and sound.
#[derive(Debug)]
pub(super) struct Refuge {
    state: CpcState,
    rows: Vec<Option<u32>>,
    next: Vec<u64>,
    steps: Vec<Vec<(usize, [f32; HOP])>>,
}

impl Refuge {
    /// A copy on the CPU of what a batch remembers.
    pub(super) fn new(state: &CpcState, rows: &[Option<u32>], next: &[u64]) -> Result<Self> {
        let tensors =
            state.tensors().into_iter().map(|t| t.to_device(&Device::Cpu)).collect::<Result<Vec<_>, _>>()?;
        let state = state.with_tensors(tensors);
        Ok(Self { state, rows: rows.to_vec(), next: next.to_vec(), steps: Vec::with_capacity(STEPS) })
    }

    /// Remembers a step; true when the copy is old.
    pub(super) fn push(&mut self, hops: &[(usize, [f32; HOP])]) -> bool {
        self.steps.push(hops.to_vec());
        self.steps.len() >= STEPS
    }

    /// The batch as it was after its last step, on `cpc`, which is on the CPU.
    pub(super) fn batch(&self, cpc: Arc<Cpc>) -> Result<LiveBatch> {
        let mut batch = LiveBatch::resumed(cpc, self.state.clone(), self.rows.clone(), self.next.clone())?;
        let mut frames = Vec::new();
        for hops in &self.steps {
            batch.step(hops, &mut frames)?;
            frames.clear();
        }
        Ok(batch)
    }
}
