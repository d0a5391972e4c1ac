//! The training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};

use super::adam::Adam;
use super::augment;
use super::checkpoint::{self, Progress};
use super::dice::Dice;
use super::keys::Keys;
use super::sampler::{Batch, Sampler, Sampling};
use super::start::{Start, fingerprint, statistics_of};
use super::vitals::Vitals;
use crate::config::TrainConfig;
use crate::context::ContextState;
use crate::corpus::{Recording, windows_of};
use crate::encode::{EncoderConfig, EncoderState};
use crate::error::{Error, Result};
use crate::model::{
    Architecture, BANK, Cpc, DataCard, Figures, Manifest, Protocol, TrainingCard, WINDOW, bank_of, measure,
    save,
};
use crate::nn::{BatchState, StreamingModule, Tensors};
use crate::predict::{Anchors, InfoNceTerms, NegativeSet, from_other_windows, mixtures};
use crate::units::{HOP, samples_to_seconds};

/// Frames of a window.
const FRAMES: usize = WINDOW / HOP;
/// Windows that the bank is chosen from.
const BANK_WINDOWS: usize = 800;

/// Figures of one step, or of a validation.
#[derive(Debug, Clone)]
pub struct Report {
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

/// What a validation found.
#[derive(Debug, Clone)]
pub struct Validation {
    /// On the held-out sound.
    pub figures: Figures,
    /// Of the latents.
    pub vitals: Vitals,
    /// What is wrong, a line each.
    pub alarms: Vec<String>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// What rows remember between windows, cut from gradients.
struct Carried {
    encoder: EncoderState,
    context: ContextState,
}

/// A training run.
pub struct Trainer {
    config: TrainConfig,
    architecture: Architecture,
    heads_only: bool,
    device: Device,
    /// What is learnt, in the order of names, so that sums over them are the same in every run.
    vars: BTreeMap<String, Var>,
    /// What stays as it is.
    frozen: Tensors,
    adam: Adam,
    sampler: Sampler,
    dice: Dice,
    keys: Option<Keys>,
    carried: Option<Carried>,
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
        if found < config.batch.min(4) {
            return Err(Error::config(
                format!("{found} recordings of 1.28 s or more found to train on; 4 or more are needed"),
                "give more recordings, or longer ones",
            ));
        }
        let (mut architecture, given, heads_only) = start.resolve(&config)?;
        if let (EncoderConfig::Spectral { bands, statistics, .. }, None) = (&mut architecture.encoder, &given)
        {
            *statistics = statistics_of(&sampler, *bands, &config)?;
        }
        architecture.validate()?;
        let mut rng = Dice::new(config.seed, 0);
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
        let keys =
            wants_queue.then(|| Keys::new(&architecture.encoder, &vars, config.queue.size)).transpose()?;
        Ok(Self {
            architecture,
            heads_only,
            device: device.clone(),
            vars,
            frozen,
            adam: Adam::default(),
            sampler,
            dice: Dice::new(config.seed, 3),
            keys,
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

    /// Whether the last validations were no better than the best, for as long as the configuration bears.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.config.patience > 0 && self.worse >= self.config.patience
    }

    /// One step; validates when it is due.
    ///
    /// # Errors
    /// When the loss is not a number, or the device fails.
    pub fn step(&mut self) -> Result<Report> {
        let mut batch = Batch::default();
        self.sampler.next_batch(&mut batch);
        let cpc = self.model()?;
        let Carried { encoder: start, mut context } = self.carry(&cpc, &batch)?;
        let samples = self.tensor(batch.samples.clone())?;
        let mut encoder = start.clone();
        let latents = cpc.encoder().step(&samples, &mut encoder)?;
        let (latents, heard) = self.heard(&cpc, &batch, &start, latents)?;
        let contexts = cpc.context().step(&heard, &mut context)?;
        self.carried = Some(Carried { encoder: encoder.detach(), context: context.detach() });

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
        Ok(Report {
            step: self.step,
            loss: value,
            queue_loss,
            accuracy,
            gradient_norm,
            learning_rate,
            validation,
        })
    }

    /// The model with the lowest validation loss so far, with its bank.
    ///
    /// # Errors
    /// When no validation was made yet, or the device fails.
    pub fn best_model(&self) -> Result<Cpc> {
        Ok(Cpc::load(&self.best_tensors()?.1, &self.architecture)?)
    }

    /// The step of the lowest validation loss so far, and its tensors with the bank.
    fn best_tensors(&self) -> Result<(usize, Tensors)> {
        let Some((_, step, mut tensors)) = self.best.clone() else {
            return Err(Error::internal("no validated model yet"));
        };
        let bank = self.bank(&Cpc::load(&tensors, &self.architecture)?)?;
        tensors.insert(BANK.to_owned(), bank);
        Ok((step, tensors))
    }

    /// Writes the model with the lowest validation loss so far, with its bank and figures, to `path`.
    ///
    /// # Errors
    /// When no validation was made yet, or the disk refuses.
    pub fn save_best(&self, path: &Path, name: &str, licence: &str) -> Result<Manifest> {
        let (step, tensors) = self.best_tensors()?;
        let cpc = Cpc::load(&tensors, &self.architecture)?;
        let mut validation = measure(&cpc, &self.held_out, self.validation_batch(), &self.config.negatives)?;
        validation.clips = self.held_out_clips;
        let heard = (self.step * self.config.batch * WINDOW) as u64;
        let training = TrainingCard {
            steps: step,
            batch: self.config.batch,
            hours_heard: samples_to_seconds(heard) / 3600.0,
            minutes: self.minutes(),
            seed: self.config.seed,
            negatives: self.config.negatives.description(),
            settings: serde_json::to_value(&self.config).ok(),
            protocol: Some(Protocol {
                hold_out: self.config.hold_out,
                batch: self.validation_batch(),
                negatives: self.config.negatives,
            }),
            validation,
        };
        let card = (self.data.clone(), training);
        save(path, &tensors, Manifest::new(name, licence, self.architecture.clone(), card))
    }

    /// Writes all that the next step depends on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_checkpoint(&self, path: &Path) -> Result<()> {
        let (moments, adam_steps) = self.adam.written();
        let mut all = Tensors::new();
        all.extend(moments);
        all.extend(self.vars.iter().map(|(name, var)| (format!("var.{name}"), var.as_tensor().clone())));
        if let Some((.., best)) = &self.best {
            all.extend(best.iter().map(|(name, tensor)| (format!("best.{name}"), tensor.clone())));
        }
        let mut rows = |name: &str, tensors: Vec<&Tensor>| {
            all.extend(tensors.into_iter().enumerate().map(|(i, t)| (format!("{name}.{i}"), t.clone())));
        };
        if let Some(carried) = &self.carried {
            rows("encoder", carried.encoder.tensors());
            rows("context", carried.context.tensors());
        }
        if let Some(state) = self.keys.as_ref().and_then(|keys| keys.state.as_ref()) {
            rows("keys", state.tensors());
        }
        if let Some(keys) = &self.keys {
            all.extend(keys.written()?);
        }
        let progress = Progress {
            format: Progress::FORMAT,
            config: self.config.clone(),
            architecture: self.architecture.clone(),
            heads_only: self.heads_only,
            data: self.fingerprint.clone(),
            step: self.step,
            adam_steps,
            best_loss: self.best.as_ref().map(|(loss, ..)| *loss),
            best_step: self.best.as_ref().map_or(0, |(_, step, _)| *step),
            worse: self.worse,
            minutes: self.minutes(),
            sampler: self.sampler.place(),
            dice: self.dice.place(),
            queue_next: self.keys.as_ref().map_or(0, |keys| keys.next),
            queue_recordings: self.keys.as_ref().map_or(Vec::new(), |keys| keys.recordings.clone()),
        };
        checkpoint::write(path, &progress, &all)
    }

    /// Goes on from a checkpoint of the same run: the same configuration, the same data.
    ///
    /// # Errors
    /// When it is of another run, or damaged.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let (progress, tensors) = checkpoint::read(path, &self.device)?;
        let differs = if progress.config != self.config {
            "settings"
        } else if progress.data != self.fingerprint {
            "recordings"
        } else if (&progress.architecture, progress.heads_only) != (&self.architecture, self.heads_only) {
            "architecture"
        } else {
            ""
        };
        if !differs.is_empty() {
            return Err(Error::config(
                format!("checkpoint {} is of a run with other {differs}", path.display()),
                "give the same settings and data, or begin anew with `--restart`",
            ));
        }
        let missing =
            |name: &str| Error::model(format!("checkpoint: `{name}` is missing"), "use `--restart`");
        for (name, var) in &self.vars {
            let key = format!("var.{name}");
            var.set(tensors.get(&key).ok_or_else(|| missing(&key))?)?;
        }
        self.adam = Adam::read(&tensors, progress.adam_steps);
        if let Some(loss) = progress.best_loss {
            let best = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix("best.")?.to_owned(), t.clone())));
            self.best = Some((loss, progress.best_step, best.collect()));
        }
        let rows = |name: &str, fresh: Vec<&Tensor>| -> Option<Vec<Tensor>> {
            (0..fresh.len()).map(|i| tensors.get(&format!("{name}.{i}")).cloned()).collect()
        };
        let cpc = self.model()?;
        let fresh = self.fresh(&cpc)?;
        if let (Some(encoder), Some(context)) =
            (rows("encoder", fresh.encoder.tensors()), rows("context", fresh.context.tensors()))
        {
            self.carried = Some(Carried {
                encoder: fresh.encoder.with_tensors(encoder),
                context: fresh.context.with_tensors(context),
            });
        }
        if let Some(keys) = &mut self.keys {
            keys.read(&tensors)?;
            keys.state = rows("keys", fresh.encoder.tensors()).map(|state| fresh.encoder.with_tensors(state));
            (keys.next, keys.recordings) = (progress.queue_next, progress.queue_recordings);
        }
        self.sampler.go_to(progress.sampler);
        self.dice = Dice::at(&progress.dice);
        (self.step, self.worse, self.minutes_before) = (progress.step, progress.worse, progress.minutes);
        self.started = Instant::now();
        Ok(())
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

    fn fresh(&self, cpc: &Cpc) -> Result<Carried> {
        Ok(Carried {
            encoder: cpc.encoder().zero_state(self.config.batch)?,
            context: cpc.context().zero_state(self.config.batch)?,
        })
    }

    /// What rows remember of the windows before; some of them forget.
    fn carry(&mut self, cpc: &Cpc, batch: &Batch) -> Result<Carried> {
        let fresh = self.fresh(cpc)?;
        let Some(carried) = self.carried.take() else { return Ok(fresh) };
        let mut forgotten = Vec::new();
        for (row, &joined) in (0..).zip(&batch.joined) {
            let chance =
                if joined { self.config.join_reset_probability } else { self.config.reset_probability };
            if self.dice.chance(chance) {
                forgotten.push(row);
            }
        }
        if forgotten.is_empty() {
            return Ok(carried);
        }
        if let Some(keys) = &mut self.keys {
            let part = fresh.encoder.select(&forgotten)?;
            keys.state = keys.state.take().map(|state| state.replace(&forgotten, &part)).transpose()?;
        }
        Ok(Carried {
            encoder: carried.encoder.replace(&forgotten, &fresh.encoder.select(&forgotten)?)?,
            context: carried.context.replace(&forgotten, &fresh.context.select(&forgotten)?)?,
        })
    }

    /// The latents that are predicted, and those that the contexts hear.
    fn heard(
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
            self.sampler.foreign(recording, &mut self.dice, &mut other);
            augment::change(&mut window, &other, &settings, &mut self.dice);
            changed.extend_from_slice(&window);
        }
        let heard = cpc.encoder().step(&self.tensor(changed)?, &mut start.clone())?;
        Ok(if settings.past_only { (latents, heard) } else { (heard.clone(), heard) })
    }

    fn anchors(&mut self, horizons: usize) -> Vec<u32> {
        let mut all = Anchors::all(FRAMES, horizons);
        if self.config.anchors == 0 || self.config.anchors >= all.len() {
            return all;
        }
        // the first places of a shuffle
        for i in 0..self.config.anchors {
            let j = i + self.dice.below(all.len() - i);
            all.swap(i, j);
        }
        all.truncate(self.config.anchors);
        all.sort_unstable();
        all
    }

    fn shared_term(
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
            let others = from_other_windows(latents, wanted.cross(), |below| self.dice.below(below))?;
            sets.push(NegativeSet::Shared { latents: others, weight: wanted.cross_weight });
        }
        for _ in 0..wanted.foreign() {
            let (mut others, mut levels, mut other) = (Vec::new(), Vec::new(), Vec::new());
            for &recording in &batch.recordings {
                self.sampler.foreign(recording, &mut self.dice, &mut other);
                others.push(other.clone());
                levels.push(self.dice.between(wanted.foreign_db));
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

    fn queue_term(
        &mut self,
        anchors: &Anchors,
        batch: &Batch,
        samples: &Tensor,
        start: &EncoderState,
    ) -> Result<Option<InfoNceTerms>> {
        let Some(keys) = &mut self.keys else { return Ok(None) };
        keys.follow(&self.vars, self.config.queue.momentum)?;
        let state = keys.state.take().unwrap_or_else(|| start.clone());
        let latents = keys.encode(samples, state)?;
        let drawn = keys.draw(&batch.recordings, self.config.negatives.queue(), &mut self.dice)?;
        let set = drawn.map(|latents| NegativeSet::Shared { latents, weight: 1.0 });
        let terms = set.map(|set| anchors.info_nce(&latents, &[set])).transpose()?;
        keys.push(&latents, &batch.recordings, &mut self.dice)?;
        Ok(terms)
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
        let vitals = Vitals::of(&cpc, windows)?;
        let warmed_up = self.step as f64 > 2.0 * self.config.warm_up * self.config.steps as f64;
        let alarms = vitals.alarms(&figures, warmed_up);
        let best = self.best.as_ref().is_none_or(|(loss, ..)| figures.loss < *loss);
        if best {
            let mut all = self.frozen.clone();
            for (name, var) in &self.vars {
                all.insert(name.clone(), var.as_tensor().detach().copy()?);
            }
            self.best = Some((figures.loss, self.step, all));
        }
        self.worse = if best { 0 } else { self.worse + 1 };
        Ok(Validation { figures, vitals, alarms, best })
    }

    fn bank(&self, cpc: &Cpc) -> Result<Tensor> {
        let mut dice = Dice::new(self.config.seed, 4);
        let windows = (0..BANK_WINDOWS).map(|_| {
            let mut window = Vec::new();
            self.sampler.foreign(u32::MAX, &mut dice, &mut window);
            window
        });
        bank_of(cpc, windows, self.config.seed)
    }
}
