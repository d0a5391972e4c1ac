//! The supervised row: the same network, trained end to end for each column.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::columns::{Column, Example};
use super::features::Features;
use super::probe::{Options, Progress, drawn, tested};
use super::table::Row;
use crate::corpus::Clip;
use crate::encode::Padding;
use crate::error::{Error, Result};
use crate::model::{Architecture, Cpc, WINDOW};
use crate::nn::{Tensors, uniform};
use crate::units::HOP;

const BATCH: usize = 16;
const LEARNING_RATE: f64 = 1e-3;
/// Places tried for a crop with sound in it.
const TRIES: usize = 4;

/// Encoder, context network and a linear classifier on the mean of c.
struct Network {
    architecture: Architecture,
    /// In the order of names, so that runs repeat.
    vars: BTreeMap<String, Var>,
    weight: Var,
    bias: Var,
}

/// Accuracy in % of networks of this shape, trained for `steps` steps of 16 crops (1.28 s at most) for each column
/// and run, with Adam and a learning rate that falls to 0.
///
/// # Errors
/// When the memory does not suffice, or the loss is not a number.
pub fn row(
    clips: &[Clip],
    columns: &[Column],
    architecture: &Architecture,
    steps: usize,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Row> {
    let mut cells = Vec::new();
    let runs_in_all = columns.len() * options.seeds as usize;
    for column in columns {
        let mut runs = Vec::new();
        for seed in 0..options.seeds {
            let before = (cells.len() * options.seeds as usize + runs.len()) * steps;
            let mut network = Network::new(architecture, column.classes.len(), seed)?;
            let examples = drawn(&column.train, options.share, seed);
            network.train(clips, &examples, steps, seed, &mut |step| {
                progress("supervised network", before + step, runs_in_all * steps);
            })?;
            runs.push(100.0 * network.accuracy(clips, &column.test)?);
        }
        cells.push(Some(tested(runs, column.test.len())));
    }
    Ok(Row { name: format!("supervised, same network ({steps} steps)"), cells })
}

impl Network {
    fn new(architecture: &Architecture, classes: usize, seed: u64) -> Result<Self> {
        let (mut rng, device) = (ChaCha8Rng::seed_from_u64(seed), Device::Cpu);
        let architecture = Architecture { heads: None, critic: None, ..architecture.clone() };
        let vars = Cpc::init(&mut rng, &architecture, &device)?.into_iter().collect();
        let width = architecture.context.width();
        let bound = 1.0 / (width as f32).sqrt();
        Ok(Self {
            weight: uniform(&mut rng, &[width, classes], bound, &device)?,
            bias: uniform(&mut rng, &[classes], bound, &device)?,
            architecture,
            vars,
        })
    }

    fn cpc(&self) -> Result<Cpc> {
        let tensors: Tensors =
            self.vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        Ok(Cpc::load(&tensors, &self.architecture)?)
    }

    fn train(
        &mut self,
        clips: &[Clip],
        examples: &[Example],
        steps: usize,
        seed: u64,
        progress: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(1));
        let trained = self.vars.values().chain([&self.weight, &self.bias]).cloned().collect();
        let parameters = ParamsAdamW { weight_decay: 0.0, ..ParamsAdamW::default() };
        let mut optimizer = AdamW::new(trained, parameters)?;
        let longest = examples.iter().filter_map(|e| clips.get(e.clip)).map(Clip::frames).max().unwrap_or(0);
        let frames = longest.min(WINDOW / HOP);
        for step in 0..steps {
            let (mut samples, mut weights, mut answers) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..BATCH {
                let Some(example) = examples.get(rng.random_range(0..examples.len().max(1))) else { break };
                let Some(clip) = clips.get(example.clip) else { break };
                crop(clip, frames, &mut rng, &mut samples, &mut weights);
                answers.push(example.class as u32);
            }
            let batch = answers.len();
            let samples = Tensor::from_vec(samples, (batch, frames * HOP), &Device::Cpu)?;
            let weights = Tensor::from_vec(weights, (batch, frames, 1), &Device::Cpu)?;
            let (_, contexts) = self.cpc()?.features(&samples, Padding::Causal)?;
            let pooled = contexts.broadcast_mul(&weights)?.sum(1)?;
            let logits = pooled.matmul(&self.weight)?.broadcast_add(&self.bias)?;
            let loss = cross_entropy(&logits, &Tensor::from_vec(answers, batch, &Device::Cpu)?)?;
            if !loss.to_scalar::<f32>()?.is_finite() {
                return Err(Error::internal(format!("the supervised loss became {loss} at step {step}")));
            }
            optimizer.set_learning_rate(LEARNING_RATE * (1.0 - step as f64 / steps as f64));
            optimizer.step(&loss.backward()?)?;
            progress(step + 1);
        }
        Ok(())
    }

    /// Over whole clips.
    fn accuracy(&self, clips: &[Clip], test: &[Example]) -> Result<f64> {
        let features = Features::Cpc { name: String::new(), cpc: Arc::new(self.cpc()?) };
        let asked: Vec<Clip> = test.iter().filter_map(|e| clips.get(e.clip)).cloned().collect();
        let pooled = features.pooled(&asked, 0, &mut |_| ())?;
        let Some(of_context) = pooled.last() else { return Ok(0.0) };
        let width = of_context.ncols() / 2;
        let means: Vec<f32> = of_context
            .rows()
            .into_iter()
            .flat_map(|row| row.iter().take(width).map(|&x| x as f32).collect::<Vec<_>>())
            .collect();
        let means = Tensor::from_vec(means, (asked.len(), width), &Device::Cpu)?;
        let logits = means.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        let found = logits.argmax(1)?.to_vec1::<u32>()?;
        let right = found.iter().zip(test).filter(|(found, e)| **found as usize == e.class).count();
        Ok(right as f64 / test.len().max(1) as f64)
    }
}

/// Appends `frames` frames of the clip from a random place with sound, filled up with silence, and the weight of
/// each frame in the mean.
fn crop(clip: &Clip, frames: usize, rng: &mut ChaCha8Rng, samples: &mut Vec<f32>, weights: &mut Vec<f32>) {
    let received = clip.has_sound();
    let mut place = || rng.random_range(0..=clip.frames().saturating_sub(frames));
    let sound = |start: usize| received.iter().skip(start).take(frames).filter(|h| **h).count();
    let mut start = place();
    for _ in 1..TRIES {
        if sound(start) > 0 {
            break;
        }
        start = place();
    }
    let end = samples.len() + frames * HOP;
    samples.extend(clip.samples().skip(start * HOP).take(frames * HOP));
    samples.resize(end, 0.0);
    let counted = sound(start);
    let share = 1.0 / (if counted > 0 { counted } else { frames }) as f32;
    let of = |u: usize| if counted == 0 || received.get(start + u) == Some(&true) { share } else { 0.0 };
    weights.extend((0..frames).map(of));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::ClipRow;

    #[test]
    fn a_crop_weighs_its_sound_alone() {
        let mut samples = vec![0.5f32; 4 * HOP];
        samples.resize(10 * HOP, 0.0);
        let clip = Clip::new(ClipRow::default(), &samples).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for frames in [1, 6, 10, 12] {
            let (mut cut, mut weights) = (Vec::new(), Vec::new());
            crop(&clip, frames, &mut rng, &mut cut, &mut weights);
            assert_eq!((cut.len(), weights.len()), (frames * HOP, frames));
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let loud = weights.iter().zip(cut.chunks(HOP)).filter(|(w, _)| **w > 0.0);
            let mut loud = loud.map(|(_, hop)| hop[0]).peekable();
            assert!(frames < 6 || loud.peek().is_some() && loud.all(|x| x == 0.5), "{frames} frames");
        }
    }

    #[test]
    fn labels_can_be_learnt() {
        let tone = |hz: f32| move |n: usize| 0.3 * (std::f32::consts::TAU * hz * n as f32 / 16_000.0).sin();
        let clip = |i: usize| {
            let hz = if i.is_multiple_of(2) { 300.0 } else { 2500.0 } + 10.0 * i as f32;
            Clip::new(ClipRow::default(), &(0..20 * HOP).map(tone(hz)).collect::<Vec<_>>()).unwrap()
        };
        let clips: Vec<Clip> = (0..12).map(clip).collect();
        let examples: Vec<Example> = (0..12).map(|i| Example { clip: i, class: i % 2, group: 0 }).collect();
        let mut network = Network::new(&Architecture::edge(), 2, 3).unwrap();
        network.train(&clips, &examples[..8], 30, 3, &mut |_| ()).unwrap();
        assert_eq!(network.accuracy(&clips, &examples[8..]).unwrap(), 1.0);
    }
}
