//! The log of a run: a line of JSON for steps and validations, and a plot of them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::curves::{Curves, draw};
use super::trainer::{StepReport, Validation};
use crate::error::{Error, Result};

/// One step of this many is logged.
const EVERY: usize = 10;

/// The log and the curves of the run that makes the model at `out`: `.log.jsonl` and `.svg` beside it.
pub struct TrainingLog {
    file: File,
    path: PathBuf,
    picture: PathBuf,
    curves: Curves,
}

/// The log of the run that makes the model at `out`.
#[must_use]
pub fn training_log_path(out: &Path) -> PathBuf {
    out.with_extension("log.jsonl")
}

impl TrainingLog {
    /// A new log, or that of a run which resumes after `steps`: lines of later steps are removed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(out: &Path, steps: usize) -> Result<Self> {
        let path = training_log_path(out);
        let mut curves = Curves::default();
        let mut kept = String::new();
        let before =
            if steps > 0 { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        for line in before.lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let step = value.get("step").and_then(Value::as_u64).unwrap_or(0) as usize;
            if step <= steps {
                curves.add(&value);
                kept.push_str(line);
                kept.push('\n');
            }
        }
        crate::model::replace_file(&path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| refused(&path, &e))?;
        Ok(Self { file, path, picture: out.with_extension("svg"), curves })
    }

    /// Logs a step; after a validation, draws the curves again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, report: &StepReport, chance: f64) -> Result<()> {
        if report.step.is_multiple_of(EVERY) || report.step == 1 {
            self.line(&json!({
                "step": report.step, "loss": report.loss, "chance_loss": chance, "queue_loss": report.queue_loss,
                "accuracy": report.accuracy, "gradient_norm": report.gradient_norm,
                "learning_rate": report.learning_rate,
            }))?;
        }
        if let Some(Validation { figures, metrics, alarms, best }) = &report.validation {
            let bound = |loss: &f64| ((figures.negatives + 1) as f64).ln() - loss;
            self.line(&json!({
                "step": report.step, "validation": figures, "vitals": metrics, "alarms": alarms, "best": best,
                // I(z_{t+k}; c_t) is at least ln of the candidates, the true one and N negatives, less the loss (arXiv 1807.03748,
                // equation 5)
                "mutual_information_bound": figures.loss_per_k.iter().map(bound).collect::<Vec<_>>(),
            }))?;
            draw(&self.picture, &self.curves)?;
        }
        Ok(())
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        self.curves.add(value);
        writeln!(self.file, "{value}").map_err(|e| refused(&self.path, &e))
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::model(format!("cannot write {}: {error}", path.display()), "check the folder and the free space")
}
