//! The best model of a run, with its bank of negatives and its figures.

use std::path::Path;

use candle_core::Tensor;

use super::super::checkpointable_rng::CheckpointableRng;
use super::Trainer;
use crate::corpus::Recording;
use crate::error::{Error, Result};
use crate::model::{BANK, Cpc, Manifest, Protocol, TrainingCard, WINDOW, bank_of, measure, save};
use crate::nn::Tensors;
use crate::units::samples_to_seconds;

/// Windows that the bank is chosen from.
const BANK_WINDOWS: usize = 800;

impl Trainer {
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
        let received = (self.step * self.config.batch * WINDOW) as u64;
        let training = TrainingCard {
            steps: step,
            batch: self.config.batch,
            hours_heard: samples_to_seconds(received) / 3600.0,
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

    fn bank(&self, cpc: &Cpc) -> Result<Tensor> {
        let mut rng = CheckpointableRng::new(self.config.seed, 4);
        // a small corpus is not drawn from again and again
        let sound: usize = self.sampler.recordings().iter().map(Recording::len).sum();
        let count = BANK_WINDOWS.min(2 * sound / WINDOW).max(16);
        let windows = (0..count).map(|_| {
            let mut window = Vec::new();
            self.sampler.foreign(u32::MAX, &mut rng, &mut window);
            window
        });
        bank_of(cpc, windows, self.config.seed)
    }
}
