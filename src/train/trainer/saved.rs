//! Writing and resuming a checkpoint.

use std::path::Path;
use std::time::Instant;

use candle_core::Tensor;

use super::super::adam::Adam;
use super::super::checkpoint::{self, TrainingProgress};
use super::super::checkpointable_rng::CheckpointableRng;
use super::{CarriedState, Trainer};
use crate::error::{Error, Result};
use crate::nn::{BatchState, Tensors};

impl Trainer {
    /// Writes all that the next step depends on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_checkpoint(&self, path: &Path) -> Result<()> {
        let (moments, adam_steps) = self.adam.to_tensors();
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
        if let Some(state) = self.queue.as_ref().and_then(|queue| queue.state.as_ref()) {
            rows("keys", state.tensors());
        }
        if let Some(queue) = &self.queue {
            all.extend(queue.to_tensors()?);
        }
        let progress = TrainingProgress {
            format: TrainingProgress::FORMAT,
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
            sampler: self.sampler.position(),
            rng: self.rng.position(),
            queue_next: self.queue.as_ref().map_or(0, |queue| queue.next),
            queue_recordings: self.queue.as_ref().map_or(Vec::new(), |queue| queue.recordings.clone()),
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
            self.carried = Some(CarriedState {
                encoder: fresh.encoder.with_tensors(encoder),
                context: fresh.context.with_tensors(context),
            });
        }
        if let Some(queue) = &mut self.queue {
            queue.read(&tensors)?;
            queue.state =
                rows("keys", fresh.encoder.tensors()).map(|state| fresh.encoder.with_tensors(state));
            (queue.next, queue.recordings) = (progress.queue_next, progress.queue_recordings);
        }
        self.sampler.seek(progress.sampler);
        self.rng = CheckpointableRng::at(&progress.rng);
        (self.step, self.worse, self.minutes_before) = (progress.step, progress.worse, progress.minutes);
        self.started = Instant::now();
        Ok(())
    }
}
