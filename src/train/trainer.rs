//! The training loop.

mod best;
mod saved;
mod terms;

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};

use super::adam::Adam;
use super::checkpointable_rng::CheckpointableRng;
use super::moco_queue::MocoQueue;
use super::representation_metrics::RepresentationMetrics;
use super::sampler::{Batch, Sampler, Sampling};
use super::start::{Start, fingerprint, statistics_of};
use crate::config::TrainConfig;
use crate::context::ContextState;
use crate::corpus::{Recording, windows_of};
use crate::encode::{EncoderConfig, EncoderState};
use crate::error::{Error, Result};
use crate::model::{Architecture, Cpc, DataCard, Figures, WINDOW, measure};
use crate::nn::{BatchState, StreamingModule, Tensors};
use crate::predict::Anchors;
use crate::units::{HOP, samples_to_seconds};

/// Frames of a window.
const FRAMES: usize = WINDOW / HOP;

/// Figures of one step, or of a validation.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Steps done.
    pub step: usize,
    /// Mean loss of the step in nats, over the kinds of negatives that share a term.
    pub loss: f64,
    /// Loss of the queue's term, where there is one.
    pub queue_loss: Option<f64>,
    /// Mean accuracy of the step.
    pub accuracy: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Set when the model was validated after this step.
    pub validation: Option<Validation>,
}

/// The result of a validation.
#[derive(Debug, Clone)]
pub struct Validation {
    /// On the held-out sound.
    pub figures: Figures,
    /// Of the latents.
    pub metrics: RepresentationMetrics,
    /// Warnings, a line each.
    pub alarms: Vec<String>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// State of the rows between windows, detached from gradients.
struct CarriedState {
    encoder: EncoderState,
    context: ContextState,
}

/// A training run.
pub struct Trainer {
    config: TrainConfig,
    architecture: Architecture,
    heads_only: bool,
    device: Device,
    /// Trained variables, in the order of names, so that sums over them are the same in every run.
    vars: BTreeMap<String, Var>,
    /// Frozen tensors.
    frozen: Tensors,
    adam: Adam,
    sampler: Sampler,
    rng: CheckpointableRng,
    queue: Option<MocoQueue>,
    carried: Option<CarriedState>,
    held_out: Vec<Vec<f32>>,
    held_out_clips: usize,
    best: Option<(f64, usize, Tensors)>,
    worse: usize,
    data: DataCard,
    fingerprint: String,
    step: usize,
    minutes_before: f64,
    started: Instant,
}

impl Trainer {
    /// Prepares a run on `train`, validated on `held_out`. Of `data`, clips and hours are filled in here.
    ///
    /// # Errors
    /// When the configuration is out of range, or the recordings are too short.
    pub fn new(
        config: TrainConfig,
        start: Start,
        train: Vec<Recording>,
        held_out: &[Recording],
        mut data: DataCard,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        data.clips = train.iter().map(|r| r.clips).sum();
        data.hours = train.iter().map(|r| samples_to_seconds(r.len() as u64)).sum::<f64>() / 3600.0;
        let fingerprint = fingerprint(train.iter().chain(held_out));
        let sampling = Sampling {
            lanes: config.batch,
            gain_db: config.gain_db,
            microphone_db: config.augment.microphone_db,
            compose: config.compose,
            compose_windows: config.compose_windows,
        };
        let sampler = Sampler::new(train, sampling, config.seed);
        let found = sampler.recordings().len();
        if found < 2 {
            return Err(Error::config(
                format!("{found} recordings of 1.28 s or more found to train on; 2 or more are needed"),
                "give more recordings, or longer ones",
            ));
        }
        let (mut architecture, given, heads_only) = start.resolve(&config)?;
        if let (EncoderConfig::Spectral { bands, statistics, .. }, None) = (&mut architecture.encoder, &given)
        {
            *statistics = statistics_of(&sampler, *bands, &config)?;
        }
        architecture.validate()?;
        let mut rng = CheckpointableRng::new(config.seed, 0);
        let mut vars = BTreeMap::new();
        let mut frozen = Tensors::new();
        for (name, fresh) in Cpc::init(rng.rng(), &architecture, device)? {
            let value = given.as_ref().and_then(|tensors| tensors.get(&name));
            match value {
                Some(value) if heads_only && !name.starts_with("heads.") => {
                    frozen.insert(name, value.to_device(device)?);
                }
                Some(value) => {
                    vars.insert(name, Var::from_tensor(&value.to_device(device)?)?);
                }
                None => {
                    vars.insert(name, fresh);
                }
            }
        }
        let held_windows = windows_of(held_out, WINDOW);
        if held_windows.len() < 2 {
            return Err(Error::config(
                format!(
                    "{} windows of 1.28 s held out for validation; 2 or more are needed",
                    held_windows.len()
                ),
                "give more or longer recordings, or a larger `hold_out`",
            ));
        }
        let wants_queue = config.negatives.queue() > 0 && !heads_only;
        let queue = wants_queue
            .then(|| MocoQueue::new(&architecture.encoder, &vars, config.queue.size))
            .transpose()?;
        Ok(Self {
            architecture,
            heads_only,
            device: device.clone(),
            vars,
            frozen,
            adam: Adam::default(),
            sampler,
            rng: CheckpointableRng::new(config.seed, 3),
            queue,
            carried: None,
            held_out: held_windows,
            held_out_clips: held_out.iter().map(|r| r.clips).sum(),
            best: None,
            worse: 0,
            data,
            fingerprint,
            step: 0,
            minutes_before: 0.0,
            started: Instant::now(),
            config,
        })
    }

    /// Steps done.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Shape of the model.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Numbers that are learnt.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// ln(N + 1), the loss of a guess in nats, in the term that the kinds of negatives share.
    #[must_use]
    pub fn chance_loss(&self) -> f64 {
        let shared = self.config.negatives.count(FRAMES);
        let count = if shared > 0 { shared } else { self.config.negatives.queue() };
        ((count + 1) as f64).ln()
    }

    /// Whether validations have not improved on the best for as long as the configuration allows.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.config.patience > 0 && self.worse >= self.config.patience
    }

    /// One step; validates when it is due.
    ///
    /// # Errors
    /// When the loss is not a number, or the device fails.
    pub fn step(&mut self) -> Result<StepReport> {
        let mut batch = Batch::default();
        self.sampler.next_batch(&mut batch);
        let cpc = self.model()?;
        let CarriedState { encoder: start, mut context } = self.carry(&cpc, &batch)?;
        let samples = self.tensor(batch.samples.clone())?;
        let mut encoder = start.clone();
        let latents = cpc.encoder().step(&samples, &mut encoder)?;
        let (latents, received) = self.inputs(&cpc, &batch, &start, latents)?;
        let contexts = cpc.context().step(&received, &mut context)?;
        self.carried = Some(CarriedState { encoder: encoder.detach(), context: context.detach() });

        let heads = cpc.require_heads()?;
        let anchors = Anchors::new(heads, &contexts, &self.anchors(heads.horizons()))?;
        let shared = self.shared_term(&cpc, &anchors, &batch, &latents, &start)?;
        let queue = self.queue_term(&anchors, &batch, &samples, &start)?;
        let queue_loss = queue.as_ref().map(|terms| terms.loss.mean_all()).transpose()?;
        let weighted =
            queue_loss.as_ref().map(|loss| loss * self.config.negatives.queue_weight).transpose()?;
        let (terms, loss) = match (shared, queue, weighted) {
            (Some(shared), _, None) => (Some(shared.clone()), Some(shared.loss.mean_all()?)),
            (Some(shared), _, Some(more)) => (Some(shared.clone()), Some((shared.loss.mean_all()? + more)?)),
            (None, queue, more) => (queue, more),
        };
        let learning_rate = self.learning_rate();
        let (mut value, mut accuracy, mut gradient_norm) = (f64::NAN, f64::NAN, 0.0);
        // while a queue fills that is all there is to learn from, there is no loss
        if let (Some(terms), Some(loss)) = (terms, loss) {
            value = f64::from(terms.loss.mean_all()?.to_scalar::<f32>()?);
            accuracy = f64::from(terms.accuracy.mean_all()?.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(Error::internal(format!("the loss became {value} at step {}", self.step + 1)));
            }
            let gradients = loss.backward()?;
            gradient_norm = self.adam.step(&self.vars, &gradients, learning_rate, self.config.clip_norm)?;
        }
        self.step += 1;
        let due = self.step.is_multiple_of(self.config.validate_every) || self.step == self.config.steps;
        let validation = if due { Some(self.validate()?) } else { None };
        let queue_loss = queue_loss.map(|loss| loss.to_scalar::<f32>()).transpose()?.map(f64::from);
        Ok(StepReport {
            step: self.step,
            loss: value,
            queue_loss,
            accuracy,
            gradient_norm,
            learning_rate,
            validation,
        })
    }

    /// Minutes that the run has taken, over interruptions.
    #[must_use]
    pub fn minutes(&self) -> f64 {
        self.minutes_before + self.started.elapsed().as_secs_f64() / 60.0
    }

    fn model(&self) -> Result<Cpc> {
        let mut tensors = self.frozen.clone();
        tensors.extend(self.vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())));
        Ok(Cpc::load(&tensors, &self.architecture)?)
    }

    fn tensor(&self, samples: Vec<f32>) -> Result<Tensor> {
        Ok(Tensor::from_vec(samples, (self.config.batch, WINDOW), &self.device)?)
    }

    fn fresh(&self, cpc: &Cpc) -> Result<CarriedState> {
        Ok(CarriedState {
            encoder: cpc.encoder().zero_state(self.config.batch)?,
            context: cpc.context().zero_state(self.config.batch)?,
        })
    }

    /// State of the rows after the windows before; some rows are reset.
    fn carry(&mut self, cpc: &Cpc, batch: &Batch) -> Result<CarriedState> {
        let fresh = self.fresh(cpc)?;
        let Some(carried) = self.carried.take() else { return Ok(fresh) };
        let mut forgotten = Vec::new();
        for (row, &joined) in (0..).zip(&batch.joined) {
            let chance =
                if joined { self.config.join_reset_probability } else { self.config.reset_probability };
            if self.rng.chance(chance) {
                forgotten.push(row);
            }
        }
        if forgotten.is_empty() {
            return Ok(carried);
        }
        if let Some(queue) = &mut self.queue {
            let part = fresh.encoder.select(&forgotten)?;
            queue.state = queue.state.take().map(|state| state.replace(&forgotten, &part)).transpose()?;
        }
        Ok(CarriedState {
            encoder: carried.encoder.replace(&forgotten, &fresh.encoder.select(&forgotten)?)?,
            context: carried.context.replace(&forgotten, &fresh.context.select(&forgotten)?)?,
        })
    }

    /// Windows of a batch in validation: as in training, or fewer where fewer are held out.
    fn validation_batch(&self) -> usize {
        self.config.batch.min(self.held_out.len())
    }

    fn learning_rate(&self) -> f64 {
        let done = self.step as f64 / self.config.steps as f64;
        let rise = (done / self.config.warm_up.max(f64::MIN_POSITIVE)).clamp(1e-3, 1.0);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.config.learning_rate * rise * fall.max(0.01)
    }

    fn validate(&mut self) -> Result<Validation> {
        let cpc = self.model()?;
        let most = self.config.validate_windows.min(self.held_out.len());
        let windows = self.held_out.get(..most).unwrap_or(&self.held_out);
        let figures = measure(&cpc, windows, self.validation_batch(), &self.config.negatives)?;
        let metrics = RepresentationMetrics::of(&cpc, windows)?;
        let warmed_up = self.step as f64 > 2.0 * self.config.warm_up * self.config.steps as f64;
        let alarms = metrics.alarms(&figures, warmed_up);
        let best = self.best.as_ref().is_none_or(|(loss, ..)| figures.loss < *loss);
        if best {
            let mut all = self.frozen.clone();
            for (name, var) in &self.vars {
                all.insert(name.clone(), var.as_tensor().detach().copy()?);
            }
            self.best = Some((figures.loss, self.step, all));
        }
        self.worse = if best { 0 } else { self.worse + 1 };
        Ok(Validation { figures, metrics, alarms, best })
    }
}
