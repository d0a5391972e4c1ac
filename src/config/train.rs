//! What `train` is asked to do.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::predict::Negatives;

/// A training run. The same values and the same data give the same model on the same machine.
/// `config/train.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Shape of the model: `edge`, `256` or `512`.
    pub architecture: String,
    /// Optimiser steps.
    pub steps: usize,
    /// Windows of 1.28 s a step, each from another recording.
    pub batch: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Share of the steps over which the learning rate rises from 0; after that it falls as a cosine.
    pub warm_up: f64,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip_norm: f64,
    /// Frames of the same window serve as negatives unless this near to the positive.
    pub within_zone: Option<usize>,
    /// Negatives drawn from the other recordings of the batch for each window.
    pub cross: usize,
    /// Gain of each clip is drawn from this range, in dB.
    pub gain_db: (f32, f32),
    /// Chance that a lane forgets its context between two windows. Contexts are carried over otherwise, since
    /// the daemon runs for weeks.
    pub reset_probability: f64,
    /// Share of the sound held out for validation.
    pub hold_out: f64,
    /// Steps between two validations.
    pub validate_every: usize,
    /// Most windows of one validation on the way; the last one takes all.
    pub validate_windows: usize,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            architecture: "edge".to_owned(),
            steps: 6000,
            batch: 12,
            learning_rate: 1e-3,
            warm_up: 0.05,
            clip_norm: 1.0,
            within_zone: Some(2),
            cross: 128,
            gain_db: (-24.0, 6.0),
            reset_probability: 0.1,
            hold_out: 0.06,
            validate_every: 250,
            validate_windows: 96,
            seed: 1,
        }
    }
}

impl TrainConfig {
    /// The negatives.
    #[must_use]
    pub fn negatives(&self) -> Negatives {
        Negatives { within_zone: self.within_zone, cross: self.cross }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// Names the key and the range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("steps", self.steps >= 1, "1 or more"),
            ("batch", (2..=4096).contains(&self.batch), "2..=4096"),
            ("learning_rate", self.learning_rate > 0.0 && self.learning_rate < 1.0, "within 0..1"),
            ("warm_up", (0.0..1.0).contains(&self.warm_up), "within 0..1"),
            ("clip_norm", self.clip_norm > 0.0, "above 0"),
            ("within_zone", self.within_zone.is_none_or(|zone| zone <= 32), "32 or less"),
            ("cross", self.cross <= 4096, "4096 or less"),
            ("gain_db", self.gain_db.0 <= self.gain_db.1, "a range (low, high)"),
            ("reset_probability", (0.0..=1.0).contains(&self.reset_probability), "within 0..=1"),
            ("hold_out", self.hold_out > 0.0 && self.hold_out < 0.5, "within 0..0.5"),
            ("validate_every", self.validate_every >= 1, "1 or more"),
            ("validate_windows", self.validate_windows >= self.batch, "at least `batch`"),
        ];
        match checks.iter().find(|(_, ok, _)| !ok) {
            None => Ok(()),
            Some((key, _, range)) => {
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
        let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&written), keys(&known));
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_key() {
        assert!(TrainConfig::default().validate().is_ok());
        let wrong = TrainConfig { hold_out: 0.5, ..TrainConfig::default() };
        assert!(wrong.validate().unwrap_err().to_string().contains("`hold_out`"));
    }
}
