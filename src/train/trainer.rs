//! The training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Sampler, bank};
use crate::config::TrainConfig;
use crate::context::ContextState;
use crate::corpus::{Recording, windows_of};
use crate::error::{Error, Result};
use crate::model::{
    Architecture, Cpc, DataCard, Figures, MANIFEST_FORMAT, Manifest, Protocol, TrainingCard, WINDOW, measure,
    save,
};
use crate::nn::{BatchState, StreamingModule, Tensors};
use crate::predict::InfoNce;
use crate::units::{HOP, MODEL_RATE, samples_to_seconds};

/// Vectors in the bank of a trained model.
const BANK: usize = 64;
/// Latents that the bank is chosen from.
const BANK_CANDIDATES: usize = 12_000;

/// Figures of one step, or of a validation.
#[derive(Debug, Clone)]
pub struct Report {
    /// Steps done.
    pub step: usize,
    /// Loss of the step in nats.
    pub loss: f64,
    /// Accuracy of the step.
    pub accuracy: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Set when the model was validated after this step.
    pub validation: Option<Figures>,
}

/// A training run.
pub struct Trainer {
    config: TrainConfig,
    architecture: Architecture,
    /// In the order of names, so that sums over them are the same in every run.
    vars: BTreeMap<String, Var>,
    optimizer: AdamW,
    sampler: Sampler,
    loss: InfoNce,
    held_out: Vec<Vec<f32>>,
    held_out_clips: usize,
    carried: Option<ContextState>,
    best: Option<(f64, Tensors)>,
    data: DataCard,
    step: usize,
    started: Instant,
}

impl Trainer {
    /// Prepares a run on `train`, validated on `held_out`. Of `data`, clips and hours are filled in here.
    ///
    /// # Errors
    /// When the configuration is out of range, or the recordings are too short.
    pub fn new(
        config: TrainConfig,
        train: Vec<Recording>,
        held_out: &[Recording],
        mut data: DataCard,
    ) -> Result<Self> {
        config.validate()?;
        let architecture = Architecture::named(&config.architecture)?;
        let device = Device::Cpu;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let vars: BTreeMap<String, Var> = Cpc::init(&mut rng, &architecture, &device)?.into_iter().collect();
        let parameters =
            ParamsAdamW { lr: config.learning_rate, weight_decay: 0.0, ..ParamsAdamW::default() };
        let optimizer = AdamW::new(vars.values().cloned().collect(), parameters)?;
        data.clips = train.iter().map(|r| r.clips).sum();
        data.hours = train.iter().map(|r| samples_to_seconds(r.len() as u64)).sum::<f64>() / 3600.0;
        let sampler = Sampler::new(train, config.batch, config.gain_db, config.seed.wrapping_add(1));
        if sampler.recordings() < config.batch {
            return Err(Error::config(
                format!(
                    "{} recordings of 1.28 s or more found; a batch of {} needs as many",
                    sampler.recordings(),
                    config.batch
                ),
                "give more recordings, or set a smaller `batch`",
            ));
        }
        let loss = InfoNce::new(config.negatives(), WINDOW / HOP, architecture.horizons(), &device)?;
        let held_out_clips = held_out.iter().map(|r| r.clips).sum();
        Ok(Self {
            architecture,
            vars,
            optimizer,
            sampler,
            loss,
            held_out: windows_of(held_out, WINDOW),
            held_out_clips,
            carried: None,
            best: None,
            data,
            step: 0,
            started: Instant::now(),
            config,
        })
    }

    /// Steps done.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// ln(N + 1), the loss of a guess in nats.
    #[must_use]
    pub fn chance_loss(&self) -> f64 {
        ((self.loss.negatives() + 1) as f64).ln()
    }

    /// One step; validates when it is due.
    ///
    /// # Errors
    /// When the loss is not a number, or the device fails.
    pub fn step(&mut self) -> Result<Report> {
        let mut samples = Vec::new();
        self.sampler.next_batch(&mut samples);
        let samples = Tensor::from_vec(samples, (self.config.batch, WINDOW), &Device::Cpu)?;
        let cpc = self.model()?;
        let mut context = self.context(&cpc)?;
        let (latents, contexts) = {
            let latents = cpc.encoder().forward(&samples)?;
            let contexts = cpc.context().step(&latents, &mut context)?;
            context = context.detach();
            (latents, contexts)
        };
        self.carried = Some(context);
        let sampler = &mut self.sampler;
        let terms =
            self.loss.terms(cpc.require_heads()?, &latents, &contexts, |below| sampler.draw(below))?;
        let loss = terms.loss.mean_all()?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::internal(format!("the loss became {value} at step {}", self.step + 1)));
        }
        let gradient_norm = self.descend(&loss)?;
        self.step += 1;
        let due = self.step.is_multiple_of(self.config.validate_every) || self.step == self.config.steps;
        let validation = if due { Some(self.validate()?) } else { None };
        let accuracy = f64::from(terms.accuracy.mean_all()?.to_scalar::<f32>()?);
        Ok(Report { step: self.step, loss: value, accuracy, gradient_norm, validation })
    }

    /// Writes the model with the lowest validation loss so far, with its bank and figures, to `path`.
    ///
    /// # Errors
    /// When no validation was made yet, or the disk refuses.
    pub fn save_best(&mut self, path: &Path, name: &str, licence: &str) -> Result<Manifest> {
        let Some((_, mut tensors)) = self.best.clone() else {
            return Err(Error::internal("no validated model to save yet"));
        };
        let cpc = Cpc::load(&tensors, &self.architecture)?;
        tensors.insert("bank.prototypes".to_owned(), self.bank(&cpc)?);
        let mut validation = measure(&cpc, &self.held_out, self.config.batch, self.config.negatives())?;
        validation.clips = self.held_out_clips;
        let heard = (self.step * self.config.batch * WINDOW) as u64;
        let within = self.config.within_zone.map(|zone| format!("same window beyond ±{zone} frames, "));
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            name: name.to_owned(),
            architecture: self.architecture.clone(),
            sample_rate: MODEL_RATE,
            hop: HOP,
            receptive_field: 0,
            bank: 0,
            licence: licence.to_owned(),
            data: self.data.clone(),
            training: TrainingCard {
                steps: self.step,
                batch: self.config.batch,
                hours_heard: samples_to_seconds(heard) / 3600.0,
                minutes: self.started.elapsed().as_secs_f64() / 60.0,
                seed: self.config.seed,
                negatives: format!("{}{} of other recordings", within.unwrap_or_default(), self.config.cross),
                protocol: Some(Protocol {
                    hold_out: self.config.hold_out,
                    batch: self.config.batch,
                    negatives: self.config.negatives(),
                }),
                validation,
            },
            sha256: String::new(),
        };
        save(path, &tensors, manifest)
    }

    fn model(&self) -> Result<Cpc> {
        let tensors: Tensors =
            self.vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        Ok(Cpc::load(&tensors, &self.architecture)?)
    }

    /// The contexts at the end of the windows before, some of them forgotten.
    fn context(&mut self, cpc: &Cpc) -> Result<ContextState> {
        let fresh = cpc.context().zero_state(self.config.batch)?;
        let Some(carried) = self.carried.take() else { return Ok(fresh) };
        let forgotten: Vec<u32> = (0..self.config.batch as u32)
            .filter(|_| self.sampler.chance(self.config.reset_probability))
            .collect();
        if forgotten.is_empty() {
            return Ok(carried);
        }
        Ok(carried.replace(&forgotten, &fresh.select(&forgotten)?)?)
    }

    fn descend(&mut self, loss: &Tensor) -> Result<f64> {
        let mut gradients = loss.backward()?;
        let mut squares = 0.0;
        for var in self.vars.values() {
            if let Some(gradient) = gradients.get(var) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let norm = squares.sqrt();
        if norm > self.config.clip_norm {
            let factor = self.config.clip_norm / norm;
            for var in self.vars.values() {
                if let Some(gradient) = gradients.remove(var) {
                    gradients.insert(var, (gradient * factor)?);
                }
            }
        }
        self.optimizer.set_learning_rate(self.learning_rate());
        self.optimizer.step(&gradients)?;
        Ok(norm)
    }

    fn learning_rate(&self) -> f64 {
        let done = self.step as f64 / self.config.steps as f64;
        let rise = (done / self.config.warm_up.max(f64::MIN_POSITIVE)).clamp(1e-3, 1.0);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.config.learning_rate * rise * fall.max(0.01)
    }

    fn validate(&mut self) -> Result<Figures> {
        let cpc = self.model()?;
        let most = self.config.validate_windows.min(self.held_out.len());
        let windows = self.held_out.get(..most).unwrap_or(&self.held_out);
        let figures = measure(&cpc, windows, self.config.batch, self.config.negatives())?;
        if self.best.as_ref().is_none_or(|(loss, _)| figures.loss < *loss) {
            let frozen = self.vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
            self.best = Some((figures.loss, frozen.collect::<Result<Tensors>>()?));
        }
        Ok(figures)
    }

    fn bank(&mut self, cpc: &Cpc) -> Result<Tensor> {
        let mut latents: Vec<Vec<f32>> = Vec::new();
        while latents.len() < BANK_CANDIDATES {
            let mut samples = Vec::new();
            self.sampler.next_batch(&mut samples);
            let samples = Tensor::from_vec(samples, (self.config.batch, WINDOW), &Device::Cpu)?;
            let windows = cpc.forward(&samples)?.latents.to_vec3::<f32>()?;
            // neighbours are alike, and the first frames hear the silence before the window
            latents.extend(windows.into_iter().flat_map(|frames| frames.into_iter().skip(8).step_by(8)));
        }
        let chosen = bank::prototypes(&latents, BANK, self.config.seed);
        Ok(Tensor::new(chosen, &Device::Cpu)?)
    }
}
