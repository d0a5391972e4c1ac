//! Training of the critic on generated scenes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::adam::Adam;
use super::checkpointable_rng::CheckpointableRng;
use super::critic_dataset::{CriticDataset, TrainingScene};
use crate::config::CriticTraining;
use crate::critic::{Channel, Critic, CriticConfig, USUAL};
use crate::detect::{BackgroundModel, FeatureExtractor, ROW};
use crate::error::{Error, Result};
use crate::model::{Cpc, Manifest};
use crate::nn::{StreamingModule, Tensors, WeightSource};
use crate::roc::Roc;
use crate::units::{BANDS, FRAME_RATE, HOP, seconds_to_frames};

/// Rows of a second.
const ROWS_A_SECOND: usize = FRAME_RATE as usize / ROW;
/// Rows of a training window: 5 s.
const ROWS: usize = 100;
/// Rows before it that are stepped without a loss.
const LEAD: usize = 6;
/// Steps of features that an integer holds.
const STEPS_A_UNIT: f32 = 15.0;
/// A row counts as foreign if at least this share of it is.
const FOREIGN_SHARE: f64 = 0.6;
/// Rows within this time after a foreign sound have no label.
const AFTER_S: f64 = 0.2;
/// Hops of a step of the model.
const PIECE: usize = 500;
/// Largest norm of a gradient.
const CLIP_NORM: f64 = 1.0;
/// One scene of this many is held out.
const HELD_OUT: u64 = 16;
/// For this many scenes there is a plain one, without foreign sounds, for the reference maxima.
const PLAIN_EVERY: usize = 5;
/// Steps between two evaluations on held-out scenes.
const EVALUATE_EVERY: usize = 200;
/// Decay of weights, for each step at a learning rate of 1.
const DECAY: f64 = 0.01;

/// Features of a scene after its calibration part, and the label of each row.
struct SceneFeatures {
    /// `[rows, inputs]`, 15 steps a unit.
    features: Vec<i8>,
    /// 1 for foreign sound, 0 for none, `None` for rows without a label.
    labels: Vec<Option<f32>>,
}

/// The result of a training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CriticResult {
    /// The step with the lowest held-out loss, whose weights are returned.
    pub step: usize,
    /// Mean loss of the last steps (binary cross-entropy, nats).
    pub loss: f64,
    /// The same over held-out scenes.
    pub held_out: f64,
    /// Area under the ROC curve over rows of held-out scenes.
    pub auc: f64,
}

/// Trains a new critic for `cpc`, a model on the CPU (faster without a bank of negatives, which is not used here), and
/// returns its shape and tensors. `progress` is called with the name of the phase, the work done and the whole work;
/// `stop` ends it.
///
/// # Errors
/// When it was stopped, or the model fails.
pub fn train_critic(
    (cpc, manifest): (&Cpc, &Manifest),
    dataset: &CriticDataset,
    (config, seed): (&CriticTraining, u64),
    stop: &AtomicBool,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<(CriticConfig, Tensors, CriticResult)> {
    let stopped = || stop.load(Ordering::Relaxed);
    let refuse = || Error::config("the training of the critic was stopped", "run the same command again");
    let shape = CriticConfig::edge(config.channels.clone());
    let width = manifest.frame_shape().context;
    let done = AtomicUsize::new(0);
    let notes = (0..config.scenes as u64)
        .into_par_iter()
        .map(|number| {
            if stopped() {
                return Err(refuse());
            }
            let notes = scene_features(cpc, width, &shape.channels, &dataset.scene(seed, number, false))?;
            progress("scenes", done.fetch_add(1, Ordering::Relaxed) + 1, config.scenes);
            Ok((number, notes))
        })
        .collect::<Result<Vec<_>>>()?;
    let plain = (0..(config.scenes / PLAIN_EVERY) as u64)
        .into_par_iter()
        .map(|number| {
            if stopped() {
                return Err(refuse());
            }
            scene_features(cpc, width, &shape.channels, &dataset.scene(seed, number, true))
        })
        .collect::<Result<Vec<_>>>()?;
    let (held, learnt): (Vec<_>, Vec<_>) = notes.into_iter().partition(|(n, _)| n % HELD_OUT == HELD_OUT - 1);
    let mut rng = CheckpointableRng::new(seed, 50);
    let vars: BTreeMap<String, Var> = Critic::init(rng.rng(), &shape, &Device::Cpu)?.into_iter().collect();
    let critic = || -> Result<Critic> {
        let tensors: Tensors = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        Ok(Critic::load(WeightSource::new(&tensors), &shape)?)
    };
    let (mut adam, mut recent) = (Adam::default(), f64::NAN);
    let mut best: Option<(CriticResult, Tensors)> = None;
    for step in 0..config.steps {
        if stopped() {
            return Err(refuse());
        }
        let batch = draw(&learnt, config.batch, &shape, &mut rng)?;
        let loss = loss_of(&critic()?, &batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::internal(format!("the critic's loss became {value} at step {step}")));
        }
        recent = if recent.is_nan() { value } else { 0.99 * recent + 0.01 * value };
        let (done, all) = (step as f64, config.steps as f64);
        let warm = (done / (0.05 * all).max(1.0)).min(1.0);
        let rate = config.learning_rate * warm * (0.5 + 0.5 * (std::f64::consts::PI * done / all).cos());
        adam.step(&vars, &loss.backward()?, rate.max(1e-6), CLIP_NORM)?;
        for (_, var) in vars.iter().filter(|(name, _)| name.contains("weight")) {
            var.set(&(var.as_tensor() * (1.0 - rate * DECAY))?.detach())?;
        }
        progress(&format!("critic, loss {recent:.4}"), step + 1, config.steps);
        if (step + 1) % EVALUATE_EVERY == 0 || step + 1 == config.steps {
            let (held_out, auc) = evaluate(&critic()?, &held, &shape)?;
            let mark = CriticResult { step: step + 1, loss: recent, held_out, auc };
            tracing::info!(step = step + 1, loss = recent, held_out, auc, "critic");
            if best.as_ref().is_none_or(|(b, _)| held_out < b.held_out) {
                let copied = vars.iter().map(|(n, v)| Ok((n.clone(), v.as_tensor().copy()?)));
                best = Some((mark, copied.collect::<Result<_>>()?));
            }
        }
    }
    let Some((mark, mut tensors)) = best else {
        return Err(Error::config(
            "no step was taken",
            "give at least one step: steps in [critic] of the file of --config",
        ));
    };
    let usual = reference_maxima(&Critic::load(WeightSource::new(&tensors), &shape)?, &plain, &shape)?;
    if !usual.is_empty() {
        let count = usual.len();
        tensors.insert(USUAL.to_owned(), Tensor::from_vec(usual, count, &Device::Cpu)?);
    }
    Ok((shape, tensors, mark))
}

/// Features of a scene, standardised by the statistics of its calibration part.
fn scene_features(
    cpc: &Cpc,
    width: usize,
    channels: &[Channel],
    scene: &TrainingScene,
) -> Result<SceneFeatures> {
    let mut state = cpc.zero_state(1)?;
    let (mut all_bands, mut all_contexts) = (Vec::new(), Vec::new());
    let whole = scene.samples.len() / HOP * HOP;
    for piece in scene.samples.get(..whole).unwrap_or_default().chunks(PIECE * HOP) {
        let received = cpc.step(&Tensor::from_slice(piece, (1, piece.len()), cpc.device())?, &mut state)?;
        all_bands.extend(received.bands.flatten_all()?.to_vec1::<f32>()?);
        all_contexts.extend(received.contexts.flatten_all()?.to_vec1::<f32>()?);
    }
    let quiet = seconds_to_frames(scene.quiet_s);
    let quiet_bands = all_bands.get(..quiet * BANDS).unwrap_or_default();
    let site =
        BackgroundModel::fit(quiet_bands, all_contexts.get(..quiet * width).unwrap_or_default(), width)?;
    let (mut maker, mut raw, mut row) = (FeatureExtractor::new(), Vec::new(), Vec::new());
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    // the windows and the slow average start with the end of the calibration part
    let lead = quiet.saturating_sub(1000) / ROW * ROW;
    let frames = all_bands.chunks_exact(BANDS).zip(all_contexts.chunks_exact(width));
    for (i, frame) in frames.enumerate().skip(lead) {
        site.push(frame, &mut maker);
        if (i + 1) % ROW > 0 {
            continue;
        }
        site.raw_row(&mut maker, &mut raw);
        if i >= quiet {
            site.row(channels, &raw, &mut row);
            features.extend(row.iter().map(|x| (x * STEPS_A_UNIT).round().clamp(-127.0, 127.0) as i8));
            labels.push(label_of(scene, (i + 1 - ROW) as f64 / f64::from(FRAME_RATE)));
        }
    }
    Ok(SceneFeatures { features, labels })
}

fn row_s() -> f64 {
    ROW as f64 / f64::from(FRAME_RATE)
}

/// The label of the row that begins at `at_s`.
fn label_of(scene: &TrainingScene, at_s: f64) -> Option<f32> {
    let end_s = at_s + row_s();
    let filled: f64 =
        scene.events.iter().map(|e| (e.offset_s.min(end_s) - e.onset_s.max(at_s)).max(0.0)).sum();
    let fading = scene.events.iter().any(|e| e.offset_s <= end_s && end_s < e.offset_s + AFTER_S);
    if filled >= FOREIGN_SHARE * row_s() {
        Some(1.0)
    } else if filled > 0.0 || fading {
        None
    } else {
        Some(0.0)
    }
}

struct Batch {
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
}

fn batch_of(windows: &[(&SceneFeatures, usize, usize)], shape: &CriticConfig) -> Result<Batch> {
    let width = shape.inputs();
    let rows = windows.first().map_or(0, |w| w.2);
    let (mut features, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for &(notes, from, rows) in windows {
        let values = notes.features.get(from * width..(from + rows) * width).unwrap_or_default();
        features.extend(values.iter().map(|&x| f32::from(x) / STEPS_A_UNIT));
        // the first rows have no past
        for (i, answer) in notes.labels.iter().skip(from).take(rows).enumerate() {
            labels.push(answer.unwrap_or(0.0));
            weights.push(if answer.is_some() && i >= LEAD { 1.0f32 } else { 0.0 });
        }
    }
    let count = windows.len();
    Ok(Batch {
        features: Tensor::from_vec(features, (count, rows, width), &Device::Cpu)?,
        labels: Tensor::from_vec(labels, (count, rows), &Device::Cpu)?,
        weights: Tensor::from_vec(weights, (count, rows), &Device::Cpu)?,
    })
}

fn draw(
    learnt: &[(u64, SceneFeatures)],
    batch: usize,
    shape: &CriticConfig,
    rng: &mut CheckpointableRng,
) -> Result<Batch> {
    let windows: Vec<(&SceneFeatures, usize, usize)> = (0..batch)
        .filter_map(|_| {
            let (_, notes) = learnt.get(rng.below(learnt.len()))?;
            let rows = ROWS + LEAD;
            Some((notes, rng.below(notes.labels.len().saturating_sub(rows)), rows))
        })
        .collect();
    batch_of(&windows, shape)
}

/// Binary cross-entropy with logits: max(x, 0) − x y + ln(1 + e^{−|x|}), weighted mean.
fn loss_of(critic: &Critic, batch: &Batch) -> Result<Tensor> {
    let logits = critic.forward(&batch.features)?.squeeze(2)?;
    let softplus = ((logits.abs()?.neg()?.exp()? + 1.0)?.log()? + logits.relu()?)?;
    let losses = ((softplus - (&logits * &batch.labels)?)? * &batch.weights)?;
    Ok((losses.sum_all()? / (batch.weights.sum_all()?.to_scalar::<f32>()?.max(1.0) as f64))?)
}

/// The largest logit of each second of plain scenes, ascending.
fn reference_maxima(critic: &Critic, plain: &[SceneFeatures], shape: &CriticConfig) -> Result<Vec<f32>> {
    let mut usual = Vec::new();
    for notes in plain {
        let batch = batch_of(&[(notes, 0, notes.labels.len())], shape)?;
        let logits = critic.forward(&batch.features)?.flatten_all()?.to_vec1::<f32>()?;
        let seconds = logits.get(ROWS_A_SECOND..).unwrap_or_default().chunks_exact(ROWS_A_SECOND);
        usual.extend(seconds.map(|s| s.iter().copied().fold(f32::NEG_INFINITY, f32::max)));
    }
    usual.sort_by(f32::total_cmp);
    Ok(usual)
}

/// Mean loss and AUC over rows of held-out scenes.
fn evaluate(critic: &Critic, held: &[(u64, SceneFeatures)], shape: &CriticConfig) -> Result<(f64, f64)> {
    let (mut losses, mut foreign, mut normal) = (Vec::new(), Vec::new(), Vec::new());
    for (_, notes) in held {
        let batch = batch_of(&[(notes, 0, notes.labels.len())], shape)?;
        losses.push(f64::from(loss_of(critic, &batch)?.to_scalar::<f32>()?));
        let logits = critic.forward(&batch.features)?.flatten_all()?.to_vec1::<f32>()?;
        for (answer, logit) in notes.labels.iter().zip(logits).skip(LEAD) {
            if let Some(answer) = answer {
                let of = if *answer > 0.5 { &mut foreign } else { &mut normal };
                of.push(f64::from(logit));
            }
        }
    }
    let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    Ok((mean, Roc::of(&foreign, &normal).map_or(0.0, |roc| roc.auc())))
}
