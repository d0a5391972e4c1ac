//! A batch of live streams on shared weights.

use std::sync::Arc;

use candle_core::{IndexOp, Tensor};

use super::refuge::Refuge;
use super::{Cpc, CpcState};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::nn::BatchState;
use crate::units::{HOP, level_dbfs};

/// Streams that come, go, pause and reset at any time, stepped together, one hop each.
///
/// Slots are numbers that stay with a stream until it leaves. The frames of a stream do not depend on who else
/// is in the batch (up to rounding of matrix products, ≤ 1e-5).
#[derive(Debug)]
pub struct LiveBatch {
    cpc: Arc<Cpc>,
    state: CpcState,
    fresh: CpcState,
    /// Row in the state of each slot, if the slot is taken.
    rows: Vec<Option<u32>>,
    /// Number of the next frame of each slot.
    next: Vec<u64>,
    input: Vec<f32>,
    refuge: Option<Refuge>,
}

impl LiveBatch {
    /// An empty batch.
    ///
    /// # Errors
    /// When the model has no negatives to score with, or the device fails.
    pub fn new(cpc: Arc<Cpc>) -> Result<Self> {
        cpc.can_score()?;
        let fresh = cpc.zero_state(1)?;
        let state = fresh.leave(0)?;
        Ok(Self { cpc, state, fresh, rows: Vec::new(), next: Vec::new(), input: Vec::new(), refuge: None })
    }

    /// A batch with this memory.
    pub(super) fn resumed(
        cpc: Arc<Cpc>,
        state: CpcState,
        rows: Vec<Option<u32>>,
        next: Vec<u64>,
    ) -> Result<Self> {
        Ok(Self { state, rows, next, ..Self::new(cpc)? })
    }

    /// From here on the batch can be [`rescued`](Self::rescued): a copy of its memory is kept on the CPU, and the sound
    /// of the last two seconds at most.
    ///
    /// # Errors
    /// When the device fails.
    pub fn guard(&mut self) -> Result<()> {
        self.refuge = Some(Refuge::new(&self.state, &self.rows, &self.next)?);
        Ok(())
    }

    /// The batch as it was after its last step, on `cpc`, a copy of the model on the CPU. Nothing is asked of the device
    /// that this batch is on: it may be gone.
    ///
    /// # Errors
    /// When the batch is not [`guarded`](Self::guard), or `cpc` is another model.
    pub fn rescued(&self, cpc: Arc<Cpc>) -> Result<Self> {
        let refuge = self.refuge.as_ref().ok_or_else(|| Error::internal("the batch has no refuge"))?;
        refuge.batch(cpc)
    }

    /// Makes the copy anew, where there is one. A device that fails here fails at the next step too, until when the old
    /// copy and the sound since then serve.
    fn renew(&mut self) {
        if self.refuge.is_some()
            && let Ok(refuge) = Refuge::new(&self.state, &self.rows, &self.next)
        {
            self.refuge = Some(refuge);
        }
    }

    /// Adds a stream whose first hop will be frame `first`; gives its slot.
    ///
    /// # Errors
    /// When the device fails.
    pub fn join(&mut self, first: u64) -> Result<usize> {
        let row = self.state.batch() as u32;
        self.state = if row == 0 { self.fresh.clone() } else { self.state.join(&self.fresh)? };
        let slot = self.rows.iter().position(Option::is_none).unwrap_or(self.rows.len());
        if slot == self.rows.len() {
            self.rows.push(None);
            self.next.push(0);
        }
        if let (Some(entry), Some(next)) = (self.rows.get_mut(slot), self.next.get_mut(slot)) {
            (*entry, *next) = (Some(row), first);
        }
        self.renew();
        Ok(slot)
    }

    /// Takes the stream out; its slot becomes free.
    ///
    /// # Errors
    /// When the slot is free already.
    pub fn leave(&mut self, slot: usize) -> Result<()> {
        let gone = self.row(slot)?;
        self.state = self.state.leave(gone)?;
        for row in &mut self.rows {
            *row = row.and_then(|r| (r != gone).then(|| r - u32::from(r > gone)));
        }
        self.renew();
        Ok(())
    }

    /// Forgets what the stream has heard; its next hop will be frame `next`.
    ///
    /// # Errors
    /// When the slot is free.
    pub fn reset(&mut self, slot: usize, next: u64) -> Result<()> {
        let row = self.row(slot)?;
        self.state = self.state.replace(&[row], &self.fresh)?;
        if let Some(entry) = self.next.get_mut(slot) {
            *entry = next;
        }
        self.renew();
        Ok(())
    }

    /// Number of the next frame of the stream.
    ///
    /// # Errors
    /// When the slot is free.
    pub fn next_frame(&self, slot: usize) -> Result<u64> {
        self.row(slot)?;
        self.next.get(slot).copied().ok_or_else(|| Error::internal(format!("slot {slot} does not exist")))
    }

    /// Steps the streams that have a hop, each slot at most once; streams not named stand still. `frames`
    /// receives one frame for each entry of `hops`, in that order.
    ///
    /// # Errors
    /// When a slot is free or the device fails.
    pub fn step(&mut self, hops: &[(usize, [f32; HOP])], frames: &mut Vec<Frame>) -> Result<()> {
        if hops.is_empty() {
            return Ok(());
        }
        let rows = hops.iter().map(|(slot, _)| self.row(*slot)).collect::<Result<Vec<_>>>()?;
        self.input.clear();
        self.input.extend(hops.iter().flat_map(|(_, samples)| samples));
        let samples = Tensor::from_slice(&self.input, (hops.len(), HOP), self.cpc.device())?;
        let everyone =
            rows.len() == self.state.batch() && rows.iter().enumerate().all(|(i, &r)| r as usize == i);
        let output = if everyone {
            self.cpc.step(&samples, &mut self.state)?
        } else {
            let mut part = self.state.select(&rows)?;
            let output = self.cpc.step(&samples, &mut part)?;
            self.state = self.state.replace(&rows, &part)?;
            output
        };
        let pmi = output.pmi.ok_or_else(|| Error::internal("the model gave no scores"))?;
        let pmi = pmi.i((.., 0))?.to_vec2::<f32>()?;
        let latents = output.latents.i((.., 0))?.to_vec2::<f32>()?;
        let contexts = output.contexts.i((.., 0))?.to_vec2::<f32>()?;
        let bands = output.bands.i((.., 0))?.to_vec2::<f32>()?;
        let of_model = pmi.into_iter().zip(latents).zip(contexts).zip(bands);
        for ((slot, samples), (((pmi, z), c), bands)) in hops.iter().zip(of_model) {
            let Some(next) = self.next.get_mut(*slot) else { continue };
            frames.push(Frame { index: *next, pmi, z, c, bands, level_dbfs: level_dbfs(samples) });
            *next += 1;
        }
        if self.refuge.as_mut().is_some_and(|refuge| refuge.push(hops)) {
            self.renew();
        }
        Ok(())
    }

    fn row(&self, slot: usize) -> Result<u32> {
        let row = self.rows.get(slot).copied().flatten();
        row.ok_or_else(|| Error::internal(format!("no stream in slot {slot}")))
    }
}
