//! A batch of live streams on shared weights.

use std::sync::Arc;

use super::Cpc;
use super::refuge::Refuge;
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
    /// What a stream remembers that has heard nothing.
    fresh: Vec<f32>,
    /// Number of the next frame of each slot that is taken. Slots are the rows of the stepper.
    next: Vec<Option<u64>>,
    rows: Vec<u32>,
    samples: Vec<f32>,
    hops: Hops,
    refuge: Option<Refuge>,
    /// Times that a stream was forgotten because what came of it was no number.
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
        cpc.can_score()?;
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
            refuge: None,
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
            refuge: None,
            resets: 0,
        }))
    }

    /// A batch whose slots are those of `streams`: number of the next frame and memory.
    pub(super) fn resumed(
        cpc: Arc<Cpc>,
        stepping: Stepping,
        streams: &[Option<(u64, Vec<f32>)>],
    ) -> Result<Self> {
        let mut batch = Self::with(cpc, stepping)?;
        batch.stepper.reserve(streams.len())?;
        for (slot, stream) in streams.iter().enumerate() {
            if let Some((_, memory)) = stream {
                batch.stepper.set_memory(slot, memory)?;
            }
            batch.next.push(stream.as_ref().map(|(next, _)| *next));
        }
        Ok(batch)
    }

    /// From here on the batch can be [`rescued`](Self::rescued): a copy of its memory is kept on the CPU, and the sound
    /// of the last two seconds at most.
    ///
    /// # Errors
    /// When the device fails.
    pub fn guard(&mut self) -> Result<()> {
        self.refuge = Some(Refuge::new(self.stepper.as_ref(), &self.next)?);
        Ok(())
    }

    /// The batch as it was after its last step, on `cpc`, a copy of the model on the CPU. Nothing is asked of the device
    /// that this batch is on: it may be gone.
    ///
    /// # Errors
    /// When the batch is not [`guarded`](Self::guard), or `cpc` is another model.
    pub fn rescued(&self, cpc: Arc<Cpc>) -> Result<Self> {
        let refuge = self.refuge.as_ref().ok_or_else(|| Error::internal("the batch has no refuge"))?;
        refuge.batch(cpc, self.stepping.on_processor())
    }

    /// Makes the copy anew, where there is one. A device that fails here fails at the next step too, until when the old
    /// copy and the sound since then serve.
    fn renew(&mut self) {
        if self.refuge.is_some()
            && let Ok(refuge) = Refuge::new(self.stepper.as_ref(), &self.next)
        {
            self.refuge = Some(refuge);
        }
    }

    /// From here on only the scores of [`step_rows`](Self::step_rows) are of use: where a GPU steps, the rest stays there.
    pub fn leave_all_but_scores(&mut self) {
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
        self.renew();
        Ok(slot)
    }

    /// Takes the stream out; its slot becomes free.
    ///
    /// # Errors
    /// When the slot is free already.
    pub fn leave(&mut self, slot: usize) -> Result<()> {
        *self.taken(slot)? = None;
        self.renew();
        Ok(())
    }

    /// Forgets what the stream has heard; its next hop will be frame `next`.
    ///
    /// # Errors
    /// When the slot is free, or the device fails.
    pub fn reset(&mut self, slot: usize, next: u64) -> Result<()> {
        self.taken(slot)?;
        self.stepper.set_memory(slot, &self.fresh)?;
        *self.taken(slot)? = Some(next);
        self.renew();
        Ok(())
    }

    /// Number of the next frame of the stream.
    ///
    /// # Errors
    /// When the slot is free.
    pub fn next_frame(&self, slot: usize) -> Result<u64> {
        self.next.get(slot).copied().flatten().ok_or_else(|| free(slot))
    }

    /// Steps the streams that have a hop; streams not named stand still. A slot may have some hops, in a row, where all
    /// slots have as many: the weights are read once for all of them. `frames` receives one frame for each entry of
    /// `hops`, in that order.
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
            frames.push(Frame { index, ..Frame::default() });
        }
        self.step_rows(&rows, &samples)?;
        (self.rows, self.samples) = (rows, samples);
        let new = frames.iter_mut().skip(first).zip(hops).zip(each_hop(&self.hops, hops.len()));
        for ((frame, (_, samples)), [pmi, z, c, bands]) in new {
            frame.pmi.extend_from_slice(pmi);
            frame.z.extend_from_slice(z);
            frame.c.extend_from_slice(c);
            frame.bands.extend_from_slice(bands);
            frame.level_dbfs = level_dbfs(samples);
        }
        Ok(())
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
            frames.push(Frame { index, pmi, z, c, bands, level_dbfs: level_dbfs(samples) });
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
            return Err(free(*slot as usize));
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
        if self.refuge.as_mut().is_some_and(|refuge| refuge.push(slots, samples)) || reset {
            self.renew();
        }
        Ok(&self.hops)
    }

    /// How often a stream was forgotten because the model made of it what is no number.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Lets the model forget those of `slots` of which it just made what is no number: what it remembers of them may be
    /// none either, and would stay so for good. True where there was one.
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

    fn taken(&mut self, slot: usize) -> Result<&mut Option<u64>> {
        self.next.get_mut(slot).filter(|next| next.is_some()).ok_or_else(|| free(slot))
    }
}

/// Of each of `count` hops its scores, latent, context and bands.
fn each_hop(hops: &Hops, count: usize) -> impl Iterator<Item = [&[f32]; 4]> {
    let [pmi, z, c, bands] = [&hops.pmi, &hops.latents, &hops.contexts, &hops.bands]
        .map(|all| all.chunks_exact((all.len() / count.max(1)).max(1)));
    pmi.zip(z).zip(c).zip(bands).map(|(((pmi, z), c), bands)| [pmi, z, c, bands])
}

fn free(slot: usize) -> Error {
    Error::internal(format!("no stream in slot {slot}"))
}
