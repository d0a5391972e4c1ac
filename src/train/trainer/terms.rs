//! The terms of the loss.

use candle_core::Tensor;

use super::super::augment;
use super::super::sampler::Batch;
use super::{FRAMES, Trainer};
use crate::encode::EncoderState;
use crate::error::Result;
use crate::model::Cpc;
use crate::nn::StreamingModule;
use crate::predict::{Anchors, InfoNceTerms, NegativeSet, from_other_windows, mixtures};

impl Trainer {
    /// The latents that are predicted, and those that contexts are computed from.
    pub(super) fn inputs(
        &mut self,
        cpc: &Cpc,
        batch: &Batch,
        start: &EncoderState,
        latents: Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let settings = self.config.augment;
        if !settings.changes_windows() {
            return Ok((latents.clone(), latents));
        }
        let (mut changed, mut other) = (Vec::with_capacity(batch.samples.len()), Vec::new());
        for (row, &recording) in batch.recordings.iter().enumerate() {
            let mut window = batch.window(row).to_vec();
            self.sampler.foreign(recording, &mut self.rng, &mut other);
            augment::change(&mut window, &other, &settings, &mut self.rng);
            changed.extend_from_slice(&window);
        }
        let received = cpc.encoder().step(&self.tensor(changed)?, &mut start.clone())?;
        Ok(if settings.past_only { (latents, received) } else { (received.clone(), received) })
    }

    pub(super) fn anchors(&mut self, horizons: usize) -> Vec<u32> {
        let mut all = Anchors::all(FRAMES, horizons);
        if self.config.anchors == 0 || self.config.anchors >= all.len() {
            return all;
        }
        // the first places of a shuffle
        for i in 0..self.config.anchors {
            let j = i + self.rng.below(all.len() - i);
            all.swap(i, j);
        }
        all.truncate(self.config.anchors);
        all.sort_unstable();
        all
    }

    pub(super) fn shared_term(
        &mut self,
        cpc: &Cpc,
        anchors: &Anchors,
        batch: &Batch,
        latents: &Tensor,
        start: &EncoderState,
    ) -> Result<Option<InfoNceTerms>> {
        let wanted = self.config.negatives;
        let mut sets = Vec::new();
        if wanted.has_within() {
            sets.push(NegativeSet::Within { zone: wanted.within_zone, weight: wanted.within_weight });
        }
        if wanted.cross() > 0 {
            let others = from_other_windows(latents, wanted.cross(), |below| self.rng.below(below))?;
            sets.push(NegativeSet::Shared { latents: others, weight: wanted.cross_weight });
        }
        for _ in 0..wanted.foreign() {
            let (mut others, mut levels, mut other) = (Vec::new(), Vec::new(), Vec::new());
            for &recording in &batch.recordings {
                self.sampler.foreign(recording, &mut self.rng, &mut other);
                others.push(other.clone());
                levels.push(self.rng.between(wanted.foreign_db));
            }
            let pairs = others.iter().zip(levels).enumerate();
            let (mixed, untouched) =
                mixtures(pairs.map(|(i, (other, db))| (batch.window(i), other.as_slice(), db)));
            let latents = cpc.encoder().step(&self.tensor(mixed)?, &mut start.clone())?;
            let untouched = Tensor::from_vec(untouched, (self.config.batch, FRAMES), &self.device)?;
            sets.push(NegativeSet::Own { latents, untouched, weight: wanted.foreign_weight });
        }
        if sets.is_empty() { Ok(None) } else { Ok(Some(anchors.info_nce(latents, &sets)?)) }
    }

    pub(super) fn queue_term(
        &mut self,
        anchors: &Anchors,
        batch: &Batch,
        samples: &Tensor,
        start: &EncoderState,
    ) -> Result<Option<InfoNceTerms>> {
        let Some(queue) = &mut self.queue else { return Ok(None) };
        queue.follow(&self.vars, self.config.queue.momentum)?;
        let state = queue.state.take().unwrap_or_else(|| start.clone());
        let latents = queue.encode(samples, state)?;
        let drawn = queue.draw(&batch.recordings, self.config.negatives.queue(), &mut self.rng)?;
        let set = drawn.map(|latents| NegativeSet::Shared { latents, weight: 1.0 });
        let terms = set.map(|set| anchors.info_nce(&latents, &[set])).transpose()?;
        queue.push(&latents, &batch.recordings, &mut self.rng)?;
        Ok(terms)
    }
}
