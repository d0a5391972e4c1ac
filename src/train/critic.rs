//! Training of the critic on lessons.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::adam::Adam;
use super::dice::Dice;
use super::lessons::{Lesson, Lessons};
use crate::config::CriticTraining;
use crate::critic::{Channel, Critic, CriticConfig, USUAL};
use crate::detect::{BackgroundModel, FeatureExtractor, ROW};
use crate::error::{Error, Result};
use crate::model::{Cpc, Manifest};
use crate::nn::{StreamingModule, Tensors, WeightSource};
use crate::units::{BANDS, FRAME_RATE, HOP, seconds_to_frames};

/// Rows of a second.
const ROWS_A_SECOND: usize = FRAME_RATE as usize / ROW;
/// Rows of a training window: 5 s.
const ROWS: usize = 100;
/// Rows before it that are heard but not asked about.
const LEAD: usize = 6;
/// Steps of features that an integer holds.
const STEPS_A_UNIT: f32 = 15.0;
/// A row counts as foreign if at least this share of it is.
const FILLED: f64 = 0.6;
/// Rows within this time after a sound are neither.
const AFTER_S: f64 = 0.2;
/// Hops that the model hears at once.
const PIECE: usize = 500;
/// Largest norm of a gradient.
const CLIP_NORM: f64 = 1.0;
/// Every so many lessons one is held out.
const HELD_OUT: u64 = 16;
/// For every so many lessons there is a plain one, from which it is learnt what is usual.
const PLAIN: usize = 5;
/// Steps between two looks at held-out lessons.
const EXAMINED: usize = 200;
/// Decay of weights, for each step at a learning rate of 1.
const DECAY: f64 = 0.01;

/// Features of a lesson after its quiet part, and what each row is.
struct Notes {
    /// `[rows, inputs]`, 15 steps a unit.
    features: Vec<i8>,
    /// 1 foreign, 0 not, none to leave out.
    answers: Vec<Option<f32>>,
}

/// How training went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// The step after which it was taken: that with the lowest held-out loss.
    pub step: usize,
    /// Mean loss of the last steps (binary cross-entropy, nats).
    pub loss: f64,
    /// The same over held-out lessons.
    pub held_out: f64,
    /// Area under the ROC curve over rows of held-out lessons.
    pub auc: f64,
}

/// Teaches a new critic for `cpc`, a model on the CPU (faster without a bank of negatives, which nobody asks here), and gives its tensors with its shape. `progress` is called with
/// what is done now, how much is done, and how much there is; `stop` ends it.
///
/// # Errors
/// When it was stopped, or the model fails.
pub fn teach_critic(
    (cpc, manifest): (&Cpc, &Manifest),
    lessons: &Lessons,
    (config, seed): (&CriticTraining, u64),
    stop: &AtomicBool,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<(CriticConfig, Tensors, Mark)> {
    let stopped = || stop.load(Ordering::Relaxed);
    let refuse = || Error::config("the training of the critic was stopped", "run the same command again");
    let shape = CriticConfig::edge(config.channels.clone());
    let width = manifest.frame_shape().context;
    let done = AtomicUsize::new(0);
    let notes = (0..config.lessons as u64)
        .into_par_iter()
        .map(|number| {
            if stopped() {
                return Err(refuse());
            }
            let notes = take_notes(cpc, width, &shape.channels, &lessons.lesson(seed, number, false))?;
            progress("lessons", done.fetch_add(1, Ordering::Relaxed) + 1, config.lessons);
            Ok((number, notes))
        })
        .collect::<Result<Vec<_>>>()?;
    let plain = (0..(config.lessons / PLAIN) as u64)
        .into_par_iter()
        .map(|number| {
            if stopped() {
                return Err(refuse());
            }
            take_notes(cpc, width, &shape.channels, &lessons.lesson(seed, number, true))
        })
        .collect::<Result<Vec<_>>>()?;
    let (held, learnt): (Vec<_>, Vec<_>) = notes.into_iter().partition(|(n, _)| n % HELD_OUT == HELD_OUT - 1);
    let mut dice = Dice::new(seed, 50);
    let vars: BTreeMap<String, Var> = Critic::init(dice.rng(), &shape, &Device::Cpu)?.into_iter().collect();
    let critic = || -> Result<Critic> {
        let tensors: Tensors = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        Ok(Critic::load(WeightSource::new(&tensors), &shape)?)
    };
    let (mut adam, mut recent) = (Adam::default(), f64::NAN);
    let mut best: Option<(Mark, Tensors)> = None;
    for step in 0..config.steps {
        if stopped() {
            return Err(refuse());
        }
        let batch = draw(&learnt, config.batch, &shape, &mut dice)?;
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
        if (step + 1) % EXAMINED == 0 || step + 1 == config.steps {
            let (held_out, auc) = examine(&critic()?, &held, &shape)?;
            let mark = Mark { step: step + 1, loss: recent, held_out, auc };
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
            "give at least one step (config/train.toml: critic.steps)",
        ));
    };
    let usual = usual_of(&Critic::load(WeightSource::new(&tensors), &shape)?, &plain, &shape)?;
    if !usual.is_empty() {
        let count = usual.len();
        tensors.insert(USUAL.to_owned(), Tensor::from_vec(usual, count, &Device::Cpu)?);
    }
    Ok((shape, tensors, mark))
}

/// Features of a lesson under the statistics of its quiet part.
fn take_notes(cpc: &Cpc, width: usize, channels: &[Channel], lesson: &Lesson) -> Result<Notes> {
    let mut state = cpc.zero_state(1)?;
    let (mut all_bands, mut all_contexts) = (Vec::new(), Vec::new());
    let whole = lesson.samples.len() / HOP * HOP;
    for piece in lesson.samples.get(..whole).unwrap_or_default().chunks(PIECE * HOP) {
        let heard = cpc.step(&Tensor::from_slice(piece, (1, piece.len()), cpc.device())?, &mut state)?;
        all_bands.extend(heard.bands.flatten_all()?.to_vec1::<f32>()?);
        all_contexts.extend(heard.contexts.flatten_all()?.to_vec1::<f32>()?);
    }
    let quiet = seconds_to_frames(lesson.quiet_s);
    let quiet_bands = all_bands.get(..quiet * BANDS).unwrap_or_default();
    let site =
        BackgroundModel::fit(quiet_bands, all_contexts.get(..quiet * width).unwrap_or_default(), width)?;
    let (mut maker, mut raw, mut row) = (FeatureExtractor::new(), Vec::new(), Vec::new());
    let (mut features, mut answers) = (Vec::new(), Vec::new());
    // the windows and the slow average know the end of the quiet part
    let lead = quiet.saturating_sub(1000) / ROW * ROW;
    let frames = all_bands.chunks_exact(BANDS).zip(all_contexts.chunks_exact(width));
    for (i, frame) in frames.enumerate().skip(lead) {
        site.push(frame, &mut maker);
        if (i + 1) % ROW > 0 {
            continue;
        }
        maker.row(&mut raw);
        if i >= quiet {
            site.row(channels, &raw, &mut row);
            features.extend(row.iter().map(|x| (x * STEPS_A_UNIT).round().clamp(-127.0, 127.0) as i8));
            answers.push(answer(lesson, (i + 1 - ROW) as f64 / f64::from(FRAME_RATE)));
        }
    }
    Ok(Notes { features, answers })
}

fn row_s() -> f64 {
    ROW as f64 / f64::from(FRAME_RATE)
}

/// What the row that begins at `at_s` is.
fn answer(lesson: &Lesson, at_s: f64) -> Option<f32> {
    let end_s = at_s + row_s();
    let filled: f64 =
        lesson.events.iter().map(|e| (e.offset_s.min(end_s) - e.onset_s.max(at_s)).max(0.0)).sum();
    let fading = lesson.events.iter().any(|e| e.offset_s <= end_s && end_s < e.offset_s + AFTER_S);
    if filled >= FILLED * row_s() {
        Some(1.0)
    } else if filled > 0.0 || fading {
        None
    } else {
        Some(0.0)
    }
}

struct Batch {
    features: Tensor,
    answers: Tensor,
    weights: Tensor,
}

fn batch_of(windows: &[(&Notes, usize, usize)], shape: &CriticConfig) -> Result<Batch> {
    let width = shape.inputs();
    let rows = windows.first().map_or(0, |w| w.2);
    let (mut features, mut answers, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for &(notes, from, rows) in windows {
        let values = notes.features.get(from * width..(from + rows) * width).unwrap_or_default();
        features.extend(values.iter().map(|&x| f32::from(x) / STEPS_A_UNIT));
        // the first rows have no past
        for (i, answer) in notes.answers.iter().skip(from).take(rows).enumerate() {
            answers.push(answer.unwrap_or(0.0));
            weights.push(if answer.is_some() && i >= LEAD { 1.0f32 } else { 0.0 });
        }
    }
    let count = windows.len();
    Ok(Batch {
        features: Tensor::from_vec(features, (count, rows, width), &Device::Cpu)?,
        answers: Tensor::from_vec(answers, (count, rows), &Device::Cpu)?,
        weights: Tensor::from_vec(weights, (count, rows), &Device::Cpu)?,
    })
}

fn draw(learnt: &[(u64, Notes)], batch: usize, shape: &CriticConfig, dice: &mut Dice) -> Result<Batch> {
    let windows: Vec<(&Notes, usize, usize)> = (0..batch)
        .filter_map(|_| {
            let (_, notes) = learnt.get(dice.below(learnt.len()))?;
            let rows = ROWS + LEAD;
            Some((notes, dice.below(notes.answers.len().saturating_sub(rows)), rows))
        })
        .collect();
    batch_of(&windows, shape)
}

/// Binary cross-entropy with logits: max(x, 0) − x y + ln(1 + e^{−|x|}), weighted mean.
fn loss_of(critic: &Critic, batch: &Batch) -> Result<Tensor> {
    let logits = critic.forward(&batch.features)?.squeeze(2)?;
    let softplus = ((logits.abs()?.neg()?.exp()? + 1.0)?.log()? + logits.relu()?)?;
    let losses = ((softplus - (&logits * &batch.answers)?)? * &batch.weights)?;
    Ok((losses.sum_all()? / (batch.weights.sum_all()?.to_scalar::<f32>()?.max(1.0) as f64))?)
}

/// The largest logit of each second of plain lessons, ascending.
fn usual_of(critic: &Critic, plain: &[Notes], shape: &CriticConfig) -> Result<Vec<f32>> {
    let mut usual = Vec::new();
    for notes in plain {
        let batch = batch_of(&[(notes, 0, notes.answers.len())], shape)?;
        let logits = critic.forward(&batch.features)?.flatten_all()?.to_vec1::<f32>()?;
        let seconds = logits.get(ROWS_A_SECOND..).unwrap_or_default().chunks_exact(ROWS_A_SECOND);
        usual.extend(seconds.map(|s| s.iter().copied().fold(f32::NEG_INFINITY, f32::max)));
    }
    usual.sort_by(f32::total_cmp);
    Ok(usual)
}

/// Mean loss and AUC over rows of held-out lessons.
fn examine(critic: &Critic, held: &[(u64, Notes)], shape: &CriticConfig) -> Result<(f64, f64)> {
    let (mut losses, mut scores) = (Vec::new(), Vec::new());
    for (_, notes) in held {
        let batch = batch_of(&[(notes, 0, notes.answers.len())], shape)?;
        losses.push(f64::from(loss_of(critic, &batch)?.to_scalar::<f32>()?));
        let logits = critic.forward(&batch.features)?.flatten_all()?.to_vec1::<f32>()?;
        let known = notes.answers.iter().zip(logits).skip(LEAD);
        scores.extend(known.filter_map(|(answer, logit)| answer.map(|a| (logit, a > 0.5))));
    }
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut won, mut strange) = (0f64, 0f64, 0f64);
    for (_, foreign) in &scores {
        if *foreign {
            won += below;
            strange += 1.0;
        } else {
            below += 1.0;
        }
    }
    let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    Ok((mean, won / (strange * below).max(1.0)))
}
