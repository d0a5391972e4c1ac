//! Configuration of `train`.

use serde::{Deserialize, Serialize};

use super::CriticTraining;
use crate::error::{Error, Result};
use crate::predict::Negatives;

/// A training run. The same values, the same data and the same number of threads give the same model on the same
/// machine. `config/train.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Shape of the model: `spectral`, `edge`, `256` or `512`.
    pub architecture: String,
    /// K, how many frames ahead the heads look.
    pub horizons: usize,
    /// Units of a hidden layer in each head; 0 for linear heads.
    pub head_hidden: usize,
    /// Factor of the inner product: `sqrt` for 1/√d, `mean` for 1/d as CPC_audio has it, `one` for none.
    pub scale: Scale,
    /// Optimiser steps.
    pub steps: usize,
    /// Windows of 1.28 s a step.
    pub batch: usize,
    /// The common property of the windows of a batch.
    pub compose: Compose,
    /// Windows after which the batch is composed again.
    pub compose_windows: usize,
    /// Frames of a window, drawn again each step, from which the heads predict; 0 for all.
    pub anchors: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Share of the steps over which the learning rate rises from 0; after that it falls as a cosine.
    pub warm_up: f64,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip_norm: f64,
    /// Gain of each recording is drawn from this range, in dB.
    pub gain_db: (f32, f32),
    /// Chance that a row of the batch forgets its context between two windows. Contexts are carried over otherwise,
    /// since the daemon runs for weeks.
    pub reset_probability: f64,
    /// The same chance where a row goes on with another recording.
    pub join_reset_probability: f64,
    /// Memory of the running statistics of the site in seconds, for spectral models; 0 keeps those of the corpus.
    pub site_seconds: u32,
    /// Share of the sound held out for validation.
    pub hold_out: f64,
    /// Steps between two validations.
    pub validate_every: usize,
    /// Most windows of one validation on the way; the last one takes all.
    pub validate_windows: usize,
    /// Validations without a better one after which the run ends; 0 for never.
    pub patience: usize,
    /// Minutes between two checkpoints, from which `--resume` goes on.
    pub checkpoint_minutes: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// The negatives.
    pub negatives: Negatives,
    /// The queue of negatives from outside the batch.
    pub queue: Queue,
    /// Augmentation of the sound behind contexts.
    pub augment: Augment,
    /// How the critic is taught, once the model is.
    pub critic: CriticTraining,
}

/// Factor of the inner product zᵀ ŷ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 1/√d.
    Sqrt,
    /// 1/d.
    Mean,
    /// 1.
    One,
}

impl Scale {
    /// The factor for latents of width d.
    #[must_use]
    pub fn factor(self, latent: usize) -> f64 {
        match self {
            Self::Sqrt => 1.0 / (latent as f64).sqrt(),
            Self::Mean => 1.0 / latent as f64,
            Self::One => 1.0,
        }
    }
}

/// The common property of the windows of a batch, which are one another's negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compose {
    /// Nothing: any recordings, each row another one.
    Uniform,
    /// The collection.
    SameSet,
    /// The speaker (or the collection, without a speaker).
    SameSpeaker,
    /// The recording.
    SameRecording,
}

/// The queue of negatives from outside the batch, made by a slowly following copy of the encoder (MoCo, arXiv
/// 1911.05722). Used where `negatives.queue` is above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Latents kept.
    pub size: usize,
    /// How much of the copy stays at each step.
    pub momentum: f64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 4096, momentum: 0.999 }
    }
}

/// Augmentation of the sound. Each probability is that of a window; `past_only` leaves the latents that are predicted
/// untouched (Kharitonov et al., arXiv 2007.00991).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Contexts hear the changed sound, targets and negatives are of the true one.
    pub past_only: bool,
    /// Chance of another pitch.
    pub pitch: f64,
    /// Largest change of pitch in cents.
    pub pitch_cents: f32,
    /// Chance of a room.
    pub reverb: f64,
    /// Longest reverberation (60 dB) in seconds.
    pub reverb_s: f32,
    /// Chance of another recording beneath it.
    pub noise: f64,
    /// Level of the window over that recording, drawn from this range in dB.
    pub noise_snr_db: (f32, f32),
    /// Chance of a missing band.
    pub band_reject: f64,
    /// Chance of a moment of silence.
    pub dropout: f64,
    /// Longest such moment in ms.
    pub dropout_ms: f32,
    /// Chance of clipping.
    pub clip: f64,
    /// Largest gain or cut of a microphone's response, in dB, drawn for each recording, for targets and contexts; 0 for
    /// none.
    pub microphone_db: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            past_only: true,
            pitch: 0.0,
            pitch_cents: 300.0,
            reverb: 0.2,
            reverb_s: 0.4,
            noise: 0.3,
            noise_snr_db: (0.0, 20.0),
            band_reject: 0.2,
            dropout: 0.2,
            dropout_ms: 50.0,
            clip: 0.05,
            microphone_db: 6.0,
        }
    }
}

impl Augment {
    /// Nothing is done to the sound.
    #[must_use]
    pub fn none() -> Self {
        Self {
            pitch: 0.0,
            reverb: 0.0,
            noise: 0.0,
            band_reject: 0.0,
            dropout: 0.0,
            clip: 0.0,
            microphone_db: 0.0,
            ..Self::default()
        }
    }

    /// Whether the contexts hear something else than the targets.
    #[must_use]
    pub fn changes_windows(&self) -> bool {
        [self.pitch, self.reverb, self.noise, self.band_reject, self.dropout, self.clip]
            .iter()
            .any(|&p| p > 0.0)
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            architecture: "spectral".to_owned(),
            horizons: 12,
            head_hidden: 0,
            scale: Scale::Sqrt,
            steps: 6000,
            batch: 16,
            compose: Compose::Uniform,
            compose_windows: 8,
            anchors: 32,
            learning_rate: 1.5e-3,
            warm_up: 0.05,
            clip_norm: 1.0,
            gain_db: (-24.0, 6.0),
            reset_probability: 0.1,
            join_reset_probability: 0.5,
            site_seconds: 0,
            hold_out: 0.06,
            validate_every: 250,
            validate_windows: 96,
            patience: 0,
            checkpoint_minutes: 5.0,
            seed: 1,
            negatives: Negatives::default(),
            queue: Queue::default(),
            augment: Augment::default(),
            critic: CriticTraining::default(),
        }
    }
}

impl TrainConfig {
    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// Names the key and the range.
    pub fn validate(&self) -> Result<()> {
        let share = |p: f64| (0.0..=1.0).contains(&p);
        let augment = &self.augment;
        let checks = [
            ("steps", self.steps >= 1, "1 or more"),
            ("horizons", (1..=64).contains(&self.horizons), "1..=64"),
            ("head_hidden", self.head_hidden <= 4096 && self.head_hidden != 1, "0, or 2..=4096"),
            ("batch", (2..=4096).contains(&self.batch), "2..=4096"),
            ("compose_windows", self.compose_windows >= 1, "1 or more"),
            ("anchors", self.anchors <= 128, "128 or less"),
            ("learning_rate", self.learning_rate > 0.0 && self.learning_rate < 1.0, "within 0..1"),
            ("warm_up", (0.0..1.0).contains(&self.warm_up), "within 0..1"),
            ("clip_norm", self.clip_norm > 0.0, "above 0"),
            ("gain_db", self.gain_db.0 <= self.gain_db.1, "a range (low, high)"),
            ("reset_probability", share(self.reset_probability), "within 0..=1"),
            ("join_reset_probability", share(self.join_reset_probability), "within 0..=1"),
            ("site_seconds", self.site_seconds <= 86_400, "86400 or less"),
            ("hold_out", self.hold_out > 0.0 && self.hold_out < 0.5, "within 0..0.5"),
            ("validate_every", self.validate_every >= 1, "1 or more"),
            ("validate_windows", self.validate_windows >= self.batch, "at least `batch`"),
            ("checkpoint_minutes", self.checkpoint_minutes > 0.0, "above 0"),
            ("queue.size", (1..=1 << 20).contains(&self.queue.size), "1 to 1048576"),
            ("queue.momentum", (0.0..1.0).contains(&self.queue.momentum), "within 0..1"),
            ("augment.pitch", share(augment.pitch), "within 0..=1"),
            ("augment.pitch_cents", (0.0..=1200.0).contains(&augment.pitch_cents), "0 to 1200"),
            ("augment.reverb", share(augment.reverb), "within 0..=1"),
            ("augment.reverb_s", (0.05..=1.0).contains(&augment.reverb_s), "0.05 to 1"),
            ("augment.noise", share(augment.noise), "within 0..=1"),
            ("augment.noise_snr_db", augment.noise_snr_db.0 <= augment.noise_snr_db.1, "a range (low, high)"),
            ("augment.band_reject", share(augment.band_reject), "within 0..=1"),
            ("augment.dropout", share(augment.dropout), "within 0..=1"),
            ("augment.dropout_ms", (1.0..=500.0).contains(&augment.dropout_ms), "1 to 500"),
            ("augment.clip", share(augment.clip), "within 0..=1"),
            ("critic.scenes", (24..=100_000).contains(&self.critic.scenes), "24 to 100000"),
            ("critic.batch", (1..=4096).contains(&self.critic.batch), "1 to 4096"),
            (
                "critic.learning_rate",
                self.critic.learning_rate > 0.0 && self.critic.learning_rate < 1.0,
                "above 0, below 1",
            ),
            ("critic.channels", (1..=16).contains(&self.critic.channels.len()), "1 to 16 of them"),
            ("augment.microphone_db", (0.0..=24.0).contains(&augment.microphone_db), "0 to 24"),
        ];
        let wrong =
            checks.iter().find(|(_, fine, _)| !fine).map(|(key, _, range)| ((*key).to_owned(), *range));
        let wrong =
            wrong.or_else(|| self.negatives.fault().map(|(key, range)| (format!("negatives.{key}"), range)));
        match wrong {
            None => Ok(()),
            Some((key, range)) => {
                Err(Error::config(format!("train: `{key}` is out of range"), format!("set it to {range}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../config/train.toml");

    #[test]
    fn the_documented_file_holds_the_defaults_and_every_key() {
        let read: TrainConfig = toml::from_str(FILE).unwrap();
        assert_eq!(read, TrainConfig::default());
        let written: toml::Table = toml::from_str(FILE).unwrap();
        let known = toml::Table::try_from(TrainConfig::default()).unwrap();
        fn keys(table: &toml::Table) -> Vec<String> {
            let inner = |(key, value): (&String, &toml::Value)| match value {
                toml::Value::Table(table) => keys(table).iter().map(|k| format!("{key}.{k}")).collect(),
                _ => vec![key.clone()],
            };
            table.iter().flat_map(inner).collect()
        }
        assert_eq!(keys(&written), keys(&known));
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        assert!(TrainConfig::default().validate().is_ok());
        let wrong = TrainConfig { hold_out: 0.5, ..TrainConfig::default() };
        assert!(wrong.validate().unwrap_err().to_string().contains("`hold_out`"));
        let wrong = TrainConfig { negatives: Negatives::none(), ..TrainConfig::default() };
        assert!(wrong.validate().unwrap_err().to_string().contains("`negatives.within_weight`"));
    }
}
