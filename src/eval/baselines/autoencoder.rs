//! The autoencoder of the DCASE baseline.

use candle_core::{Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::rows::smooth;
use super::sound::BANDS;
use super::{Baseline, ROW, StreamFeatures};
use crate::error::{Error, Result};
use crate::nn::uniform;

/// Frames side by side at the input.
const FRAMES: usize = 5;
const INPUT: usize = FRAMES * BANDS;
/// Widths of the hidden layers, as in DCASE 2020 task 2.
const HIDDEN: [usize; 9] = [128, 128, 128, 128, 8, 128, 128, 128, 128];
const BATCH: usize = 256;
const STEPS: usize = 700;
const LEARNING_RATE: f64 = 1e-3;

/// Squared error over 0.5 s of a bottleneck network that reproduces 5 frames of log-mel bands, trained on the quiet part
/// (each band standardised; Adam, 700 steps of 256).
#[derive(Debug, Clone, Copy)]
pub struct Autoencoder;

impl Baseline for Autoencoder {
    fn name(&self) -> &'static str {
        "autoencoder"
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let known = (quiet * ROW).min(sound.frames());
        if known < 2 * BATCH {
            return Err(Error::config(format!("{known} frames to train on"), "give a longer quiet part"));
        }
        let (device, frames) = (Device::Cpu, sound.frames());
        let bands = Tensor::from_slice(&sound.log_mel, (frames, BANDS), &device)?;
        let received = bands.narrow(0, 0, known)?;
        let mean = received.mean_keepdim(0)?;
        let deviation = (received.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?.sqrt()? + 1e-3)?;
        let bands = bands.broadcast_sub(&mean)?.broadcast_div(&deviation)?;
        let count = frames + 1 - FRAMES;
        let side_by_side: Vec<Tensor> =
            (0..FRAMES).map(|i| bands.narrow(0, i, count)).collect::<Result<_, _>>()?;
        let inputs = Tensor::cat(&side_by_side, 1)?;
        let network = Network::new(1)?;
        network.train(&inputs, known + 1 - FRAMES)?;
        let mut errors = vec![0f64; FRAMES - 1];
        for at in (0..count).step_by(4096) {
            let piece = inputs.narrow(0, at, 4096.min(count - at))?;
            let error = (network.forward(&piece)? - &piece)?.sqr()?.mean(1)?.to_vec1::<f32>()?;
            errors.extend(error.into_iter().map(f64::from));
        }
        Ok(smooth(&errors))
    }
}

struct Network {
    layers: Vec<(Var, Var)>,
}

impl Network {
    fn new(seed: u64) -> Result<Self> {
        let (mut rng, device) = (ChaCha8Rng::seed_from_u64(seed), Device::Cpu);
        let widths: Vec<usize> = std::iter::once(INPUT).chain(HIDDEN).chain([INPUT]).collect();
        let layer = |pair: &[usize]| -> Result<(Var, Var)> {
            let bound = (6.0 / pair[0] as f32).sqrt();
            let weight = uniform(&mut rng, &[pair[0], pair[1]], bound, &device)?;
            Ok((weight, uniform(&mut rng, &[pair[1]], 0.01, &device)?))
        };
        Ok(Self { layers: widths.windows(2).map(layer).collect::<Result<_>>()? })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            xs = xs.matmul(weight)?.broadcast_add(bias)?;
            if i + 1 < self.layers.len() {
                xs = xs.relu()?;
            }
        }
        Ok(xs)
    }

    fn train(&self, inputs: &Tensor, known: usize) -> Result<()> {
        let vars = self.layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
        let parameters = ParamsAdamW { lr: LEARNING_RATE, weight_decay: 0.0, ..ParamsAdamW::default() };
        let mut optimizer = AdamW::new(vars, parameters)?;
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut order: Vec<u32> = (0..known as u32).collect();
        let mut at = known;
        for _ in 0..STEPS {
            if at + BATCH > known {
                order.shuffle(&mut rng);
                at = 0;
            }
            let picked = order.get(at..at + BATCH).unwrap_or_default();
            let batch = inputs.index_select(&Tensor::from_slice(picked, BATCH, &Device::Cpu)?, 0)?;
            let loss = (self.forward(&batch)? - &batch)?.sqr()?.mean_all()?;
            optimizer.backward_step(&loss)?;
            at += BATCH;
        }
        Ok(())
    }
}
