//! Negatives from outside the batch: a queue of latents from a momentum copy of the encoder.
//!
//! Momentum contrast (He et al., arXiv 1911.05722). Positives of this kind come from the copy as well, so that old and
//! new latents cannot be told apart by the weights that made them.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};

use super::checkpointable_rng::CheckpointableRng;
use crate::encode::{Encoder, EncoderConfig, EncoderState};
use crate::nn::{StreamingModule, Tensors, WeightSource};

/// Latents of each window that are put in the queue at a step.
const KEPT: usize = 16;

/// The momentum copy, its state for each row, and the queue.
#[derive(Debug, Clone)]
pub(super) struct MocoQueue {
    config: EncoderConfig,
    weights: Tensors,
    /// Of each row; `None` before the first step.
    pub(super) state: Option<EncoderState>,
    latents: Vec<f32>,
    pub(super) recordings: Vec<u32>,
    pub(super) next: usize,
    size: usize,
}

impl MocoQueue {
    pub(super) fn new(config: &EncoderConfig, vars: &BTreeMap<String, Var>, size: usize) -> Result<Self> {
        let encoder = vars.iter().filter(|(name, _)| name.starts_with("encoder."));
        let weights = encoder.map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
        Ok(Self {
            config: config.clone(),
            weights: weights.collect::<Result<Tensors>>()?,
            state: None,
            latents: Vec::with_capacity(size * config.latent()),
            recordings: Vec::with_capacity(size),
            next: 0,
            size,
        })
    }

    /// The momentum copy.
    pub(super) fn encoder(&self) -> Result<Encoder> {
        Encoder::load(WeightSource::new(&self.weights), &self.config)
    }

    /// Updates the copy: `momentum` of it stays, the rest comes from the weights.
    pub(super) fn follow(&mut self, vars: &BTreeMap<String, Var>, momentum: f64) -> Result<()> {
        for (name, weight) in &mut self.weights {
            if let Some(var) = vars.get(name) {
                let new = (var.as_tensor().detach() * (1.0 - momentum))?;
                *weight = ((&*weight * momentum)? + new)?;
            }
        }
        Ok(())
    }

    /// Latents of the rows, `[batch, frames, d]`, without gradients; the state of the copy advances.
    pub(super) fn encode(&mut self, samples: &Tensor, state: EncoderState) -> Result<Tensor> {
        let mut state = state;
        let latents = self.encoder()?.step(samples, &mut state)?.detach();
        self.state = Some(state);
        Ok(latents)
    }

    /// Puts some latents of each row in the queue, in the place of the oldest.
    pub(super) fn push(
        &mut self,
        latents: &Tensor,
        recordings: &[u32],
        rng: &mut CheckpointableRng,
    ) -> Result<()> {
        let width = self.config.latent();
        for (rows, &recording) in latents.to_vec3::<f32>()?.iter().zip(recordings) {
            for _ in 0..KEPT {
                let Some(row) = rows.get(rng.below(rows.len())) else { continue };
                if self.recordings.len() < self.size {
                    self.latents.extend_from_slice(row);
                    self.recordings.push(recording);
                } else if let (Some(slot), Some(place)) = (
                    self.latents.get_mut(self.next * width..(self.next + 1) * width),
                    self.recordings.get_mut(self.next),
                ) {
                    slot.copy_from_slice(row);
                    *place = recording;
                }
                self.next = (self.next + 1) % self.size;
            }
        }
        Ok(())
    }

    /// `count` latents for each row, none of its own recording: `[batch, count, d]`. `None` while the queue is
    /// shorter than that.
    pub(super) fn draw(
        &self,
        recordings: &[u32],
        count: usize,
        rng: &mut CheckpointableRng,
    ) -> Result<Option<Tensor>> {
        let (width, filled) = (self.config.latent(), self.recordings.len());
        if filled < count {
            return Ok(None);
        }
        let mut rows = Vec::with_capacity(recordings.len() * count * width);
        for own in recordings {
            for _ in 0..count {
                // a queue that holds one recording alone has no other latents
                let pick = (0..8).map(|_| rng.below(filled)).find(|&i| self.recordings.get(i) != Some(own));
                let pick = pick.unwrap_or_else(|| rng.below(filled));
                rows.extend_from_slice(self.latents.get(pick * width..(pick + 1) * width).unwrap_or(&[]));
            }
        }
        Ok(Some(Tensor::from_vec(rows, (recordings.len(), count, width), self.device())?))
    }

    fn device(&self) -> &Device {
        self.weights.values().next().map_or(&Device::Cpu, Tensor::device)
    }

    /// Weights as `ema.NAME` and latents as `queue`, `[filled, d]`.
    pub(super) fn to_tensors(&self) -> Result<Tensors> {
        let mut all: Tensors =
            self.weights.iter().map(|(name, weight)| (format!("ema.{name}"), weight.clone())).collect();
        let shape = (self.recordings.len(), self.config.latent());
        all.insert("queue".to_owned(), Tensor::from_vec(self.latents.clone(), shape, &Device::Cpu)?);
        Ok(all)
    }

    /// Restores what [`to_tensors`](Self::written) returned.
    pub(super) fn read(&mut self, tensors: &Tensors) -> Result<()> {
        for (name, weight) in &mut self.weights {
            let Some(found) = tensors.get(&format!("ema.{name}")) else {
                candle_core::bail!("`ema.{name}` is missing");
            };
            *weight = found.clone();
        }
        if let Some(queue) = tensors.get("queue") {
            self.latents = queue.flatten_all()?.to_vec1()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Normalisation;
    use crate::nn::streaming_properties::noise;
    use rand::SeedableRng;

    fn keys(size: usize) -> (MocoQueue, BTreeMap<String, Var>) {
        let config = EncoderConfig::Raw { channels: [4; 5], normalisation: Normalisation::Channel };
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let vars = Encoder::init(&mut rng, &config, &Device::Cpu).unwrap().into_iter().collect();
        (MocoQueue::new(&config, &vars, size).unwrap(), vars)
    }

    #[test]
    fn the_newest_stay_and_none_is_of_the_same_recording() {
        let (mut keys, _) = keys(100);
        let mut rng = CheckpointableRng::new(1, 0);
        for recording in 0..9u32 {
            let rows = Tensor::full(recording as f32, (1, 20, 4), &Device::Cpu).unwrap();
            keys.push(&rows, &[recording], &mut rng).unwrap();
        }
        let mut kept: Vec<u32> = keys.recordings.clone();
        kept.sort_unstable();
        kept.dedup();
        // 100 places hold 6 whole pushes of 16 and a part of a seventh
        assert_eq!(kept, [2, 3, 4, 5, 6, 7, 8]);
        let drawn = keys.draw(&[8, 5], 60, &mut rng).unwrap().unwrap().to_vec3::<f32>().unwrap();
        assert!(
            drawn[0].iter().all(|row| row[0] < 7.5) && drawn[1].iter().all(|row| (row[0] - 5.0).abs() > 0.5)
        );
        assert!(keys.draw(&[8], 101, &mut rng).unwrap().is_none());
    }

    #[test]
    fn the_momentum_copy_follows_slowly() {
        let (mut keys, vars) = keys(10);
        let name = "encoder.conv0.bias";
        let before = keys.weights[name].to_vec1::<f32>().unwrap();
        vars[name].set(&(vars[name].as_tensor() + 1.0).unwrap().detach()).unwrap();
        assert_eq!(
            keys.weights[name].to_vec1::<f32>().unwrap(),
            before,
            "a copy, not the weights themselves"
        );
        keys.follow(&vars, 0.9).unwrap();
        let after = keys.weights[name].to_vec1::<f32>().unwrap();
        assert!(before.iter().zip(&after).all(|(b, a)| (a - b - 0.1).abs() < 1e-5));
        assert!(keys.encoder().unwrap().forward(&noise(1, &[1, 1600])).is_ok());
    }
}
