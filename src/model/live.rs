//! A batch of live streams on shared weights.

use std::sync::Arc;

use super::Cpc;
use super::failover::FailoverCheckpoint;
use super::stepping::{Stepping, stepper};
use crate::error::{Error, Result};
use crate::frame::{Frame, all_finite};
use crate::kernels::{Hops, Stepper, hops_each};
use crate::nn::BatchState;
use crate::units::{HOP, level_dbfs};

/// Streams that come, go, pause and reset at any time, stepped together, one hop each or some hops in a row.
///
/// Slots are numbers that stay with a stream until it leaves. The frames of a stream do not depend on who else
/// is in the batch (up to rounding of matrix products, ≤ 1e-5).
#[derive(Debug)]
pub struct LiveBatch {
    stepping: Stepping,
    stepper: Box<dyn Stepper>,
    /// Memory of a stream before its first sample.
    fresh: Vec<f32>,
    /// Number of the next frame of each slot that is taken. Slots are the rows of the stepper.
    next: Vec<Option<u64>>,
    rows: Vec<u32>,
    samples: Vec<f32>,
    hops: Hops,
    /// Frames without content, for the next hops.
    spare: Vec<Frame>,
    checkpoint: Option<FailoverCheckpoint>,
    /// How often a stream's memory was reset because the model's output was not finite.
    resets: u64,
}

impl LiveBatch {
    /// An empty batch, stepped in the best way for the model and its device.
    ///
    /// # Errors
    /// When the model has no negatives to score with, or the device fails.
    pub fn new(cpc: Arc<Cpc>) -> Result<Self> {
        Self::with(cpc, Stepping::default())
    }

    /// An empty batch, stepped as `stepping` says.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the model cannot be stepped so.
    pub fn with(cpc: Arc<Cpc>, stepping: Stepping) -> Result<Self> {
        cpc.require_scorer()?;
        let mut fresh = Vec::new();
        for tensor in cpc.zero_state(1)?.tensors() {
            fresh.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Self {
            stepping,
            stepper: stepper(cpc, stepping)?,
            fresh,
            next: Vec::new(),
            rows: Vec::new(),
            samples: Vec::new(),
            hops: Hops::default(),
            spare: Vec::new(),
            checkpoint: None,
            resets: 0,
        })
    }

    /// An empty batch for another thread, on the same copy of the weights; none where the device allows only one.
    ///
    /// # Errors
    /// When a thread that the batch needs cannot be started.
    pub fn with_same_weights(&self) -> Result<Option<Self>> {
        let Some(stepper) = self.stepper.with_same_weights()? else { return Ok(None) };
        Ok(Some(Self {
            stepping: self.stepping,
            stepper,
            fresh: self.fresh.clone(),
            next: Vec::new(),
            rows: Vec::new(),
            samples: Vec::new(),
            hops: Hops { scores_only: self.hops.scores_only, ..Hops::default() },
            spare: Vec::new(),
            checkpoint: None,
            resets: 0,
        }))
    }

    /// The batch of `checkpoint` as it was after its last step.
    fn from_checkpoint(cpc: Arc<Cpc>, stepping: Stepping, checkpoint: &FailoverCheckpoint) -> Result<Self> {
        let mut batch = Self::with(cpc, stepping)?;
        batch.stepper.reserve(checkpoint.streams.len())?;
        for (slot, stream) in checkpoint.streams.iter().enumerate() {
            if let Some((_, memory)) = stream {
                batch.stepper.set_memory(slot, memory)?;
            }
            batch.next.push(stream.as_ref().map(|(next, _)| *next));
        }
        for (slots, samples) in &checkpoint.steps {
            batch.step_rows(slots, samples)?;
        }
        Ok(batch)
    }

    /// Enables [`fail_over`](Self::fail_over): from here on the batch keeps a copy of its memory on the CPU, and the
    /// samples since that copy (two seconds at most).
    ///
    /// # Errors
    /// When the device fails.
    pub fn enable_failover(&mut self) -> Result<()> {
        self.checkpoint = Some(FailoverCheckpoint::new(self.stepper.as_ref(), &self.next)?);
        Ok(())
    }

    /// The batch as it was after its last step, on `cpc`, a copy of the model on the CPU. The batch's own device is not
    /// used: it may be lost.
    ///
    /// # Errors
    /// When the batch is not [`enable_failover`](Self::enable_failover), or `cpc` is another model.
    pub fn fail_over(&self, cpc: Arc<Cpc>) -> Result<Self> {
        let checkpoint = self
            .checkpoint
            .as_ref()
            .ok_or_else(|| Error::internal("failover is not enabled for the batch"))?;
        Self::from_checkpoint(cpc, self.stepping.on_processor(), checkpoint)
    }

    /// Renews the copy, if failover is enabled. An error of the device is ignored here, since the next step meets it
    /// too; the old copy and the samples since then remain valid.
    fn renew_checkpoint(&mut self) {
        if self.checkpoint.is_some()
            && let Ok(checkpoint) = FailoverCheckpoint::new(self.stepper.as_ref(), &self.next)
        {
            self.checkpoint = Some(checkpoint);
        }
    }

    /// From here on only the scores of [`step_rows`](Self::step_rows) are valid: on a GPU the other results stay on the
    /// device.
    pub fn keep_scores_only(&mut self) {
        self.hops.scores_only = true;
    }

    /// Adds a stream whose first hop will be frame `first`; gives its slot.
    ///
    /// # Errors
    /// When the device fails.
    pub fn join(&mut self, first: u64) -> Result<usize> {
        let slot = self.next.iter().position(Option::is_none).unwrap_or(self.next.len());
        self.stepper.reserve(slot + 1)?;
        self.stepper.set_memory(slot, &self.fresh)?;
        if slot == self.next.len() {
            self.next.push(None);
        }
        if let Some(next) = self.next.get_mut(slot) {
            *next = Some(first);
        }
        self.renew_checkpoint();
        Ok(slot)
    }

    /// Removes the stream; its slot becomes free.
    ///
    /// # Errors
    /// When the slot is free already.
    pub fn leave(&mut self, slot: usize) -> Result<()> {
        *self.slot_mut(slot)? = None;
        self.renew_checkpoint();
        Ok(())
    }

    /// Resets the stream's memory; its next hop will be frame `next`.
    ///
    /// # Errors
    /// When the slot is free, or the device fails.
    pub fn reset(&mut self, slot: usize, next: u64) -> Result<()> {
        self.slot_mut(slot)?;
        self.stepper.set_memory(slot, &self.fresh)?;
        *self.slot_mut(slot)? = Some(next);
        self.renew_checkpoint();
        Ok(())
    }

    /// Number of the next frame of the stream.
    ///
    /// # Errors
    /// When the slot is free.
    pub fn next_frame(&self, slot: usize) -> Result<u64> {
        self.next.get(slot).copied().flatten().ok_or_else(|| slot_is_free(slot))
    }

    /// All that the model remembers of the stream: a copy, as numbers. Their order is that of the model's layers.
    ///
    /// # Errors
    /// When the slot is free, or the device fails.
    pub fn memory(&self, slot: usize) -> Result<Vec<f32>> {
        self.next_frame(slot)?;
        let mut memory = Vec::new();
        self.stepper.memory(slot, &mut memory)?;
        Ok(memory)
    }

    /// Lets the stream go on where one was that had this [`memory`](Self::memory); its next hop will be frame `next`.
    ///
    /// # Errors
    /// When the slot is free, the memory is of another model, or the device fails.
    pub fn set_memory(&mut self, slot: usize, next: u64, memory: &[f32]) -> Result<()> {
        self.slot_mut(slot)?;
        self.stepper.set_memory(slot, memory)?;
        *self.slot_mut(slot)? = Some(next);
        self.renew_checkpoint();
        Ok(())
    }

    /// Steps the streams that have a hop; the memory of streams not named does not change. A slot may have some hops,
    /// in a row, where all slots have as many: the weights are read once for all of them. `frames` receives one frame
    /// for each entry of `hops`, in that order.
    ///
    /// # Errors
    /// When a slot is free, slots have different numbers of hops, or the device fails.
    pub fn step(&mut self, hops: &[(usize, [f32; HOP])], frames: &mut Vec<Frame>) -> Result<()> {
        let (mut rows, mut samples) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.samples));
        rows.clear();
        rows.extend(hops.iter().map(|(slot, _)| *slot as u32));
        rows.dedup();
        let each = hops.len().checked_div(rows.len()).unwrap_or(1);
        let fits = |(hops, row): (&[(usize, _)], &u32)| hops.iter().all(|(slot, _)| *slot == *row as usize);
        if rows.len() * each != hops.len() || !hops.chunks(each).zip(&rows).all(fits) {
            return Err(Error::internal("streams with different numbers of hops in a step"));
        }
        samples.clear();
        samples.extend(hops.iter().flat_map(|(_, samples)| samples));
        let first = frames.len();
        for (i, (slot, _)) in hops.iter().enumerate() {
            let index = self.next_frame(*slot)? + (i % each) as u64;
            let mut frame = self.spare.pop().unwrap_or_default();
            frame.index = index;
            frames.push(frame);
        }
        self.step_rows(&rows, &samples)?;
        (self.rows, self.samples) = (rows, samples);
        let new = frames.iter_mut().skip(first).zip(hops).zip(each_hop(&self.hops, hops.len()));
        for ((frame, (_, samples)), [pmi, z, c, bands]) in new {
            frame.pmi.extend_from_slice(pmi);
            frame.z.extend_from_slice(z);
            frame.c.extend_from_slice(c);
            frame.bands.extend_from_slice(bands);
            frame.samples.extend_from_slice(samples);
            frame.level_dbfs = level_dbfs(samples);
        }
        Ok(())
    }

    /// Takes a frame that is no longer needed: its memory becomes that of a later one, so that hops do not allocate.
    pub fn reuse(&mut self, mut frame: Frame) {
        for numbers in [&mut frame.pmi, &mut frame.z, &mut frame.c, &mut frame.bands, &mut frame.samples] {
            numbers.clear();
        }
        self.spare.push(frame);
    }

    /// Steps one stream by a piece of its sound, a whole number of hops; a frame for each is appended to `frames`.
    ///
    /// # Errors
    /// As for [`step_rows`](Self::step_rows).
    pub fn step_piece(&mut self, slot: usize, samples: &[f32], frames: &mut Vec<Frame>) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let first = self.next_frame(slot)?;
        let hops = self.step_rows(&[slot as u32], samples)?;
        let parts = each_hop(hops, samples.len() / HOP);
        for ((index, samples), parts) in (first..).zip(samples.chunks_exact(HOP)).zip(parts) {
            let [pmi, z, c, bands] = parts.map(<[f32]>::to_vec);
            let level_dbfs = level_dbfs(samples);
            frames.push(Frame { index, pmi, z, c, bands, samples: samples.to_vec(), level_dbfs });
        }
        Ok(())
    }

    /// [`step`](Self::step) in plain numbers: 160 samples, or some times as many, for each of `slots`, in this order, give
    /// the hops in this order.
    ///
    /// # Errors
    /// When a slot is free, the lengths do not fit, or the device fails.
    pub fn step_rows(&mut self, slots: &[u32], samples: &[f32]) -> Result<&Hops> {
        if let Some(slot) = slots.iter().find(|&&slot| !matches!(self.next.get(slot as usize), Some(Some(_))))
        {
            return Err(slot_is_free(*slot as usize));
        }
        let each = hops_each(slots, samples)?;
        if !slots.is_empty() {
            self.stepper.step(slots, samples, &mut self.hops)?;
        }
        for &slot in slots {
            if let Some(Some(next)) = self.next.get_mut(slot as usize) {
                *next += each as u64;
            }
        }
        let reset = self.reset_broken(slots)?;
        if self.checkpoint.as_mut().is_some_and(|checkpoint| checkpoint.push(slots, samples)) || reset {
            self.renew_checkpoint();
        }
        Ok(&self.hops)
    }

    /// The instruction sets that products use, as [`Stepper::instructions`] names them.
    #[must_use]
    pub fn instructions(&self) -> String {
        self.stepper.instructions()
    }

    /// How often a stream's memory was reset because the model's output was not finite.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Resets those of `slots` whose last output is not finite: their memory may hold NaN too, and would keep it. True
    /// where there was one.
    fn reset_broken(&mut self, slots: &[u32]) -> Result<bool> {
        let before = self.resets;
        for (at, &slot) in slots.iter().enumerate() {
            let Hops { latents, contexts, bands, .. } = &self.hops;
            let finite = [latents, contexts, bands].into_iter().all(|all| {
                let each = all.len() / slots.len();
                all.get(at * each..(at + 1) * each).is_none_or(all_finite)
            });
            if !finite {
                self.stepper.set_memory(slot as usize, &self.fresh)?;
                self.resets += 1;
            }
        }
        Ok(self.resets > before)
    }

    fn slot_mut(&mut self, slot: usize) -> Result<&mut Option<u64>> {
        self.next.get_mut(slot).filter(|next| next.is_some()).ok_or_else(|| slot_is_free(slot))
    }
}

/// Scores, latent, context and bands of each of `count` hops.
fn each_hop(hops: &Hops, count: usize) -> impl Iterator<Item = [&[f32]; 4]> {
    let [pmi, z, c, bands] = [&hops.pmi, &hops.latents, &hops.contexts, &hops.bands]
        .map(|all| all.chunks_exact((all.len() / count.max(1)).max(1)));
    pmi.zip(z).zip(c).zip(bands).map(|(((pmi, z), c), bands)| [pmi, z, c, bands])
}

fn slot_is_free(slot: usize) -> Error {
    Error::internal(format!("no stream in slot {slot}"))
}
