//! Checkpoints of a training run: everything that its next step depends on, in one file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::checkpointable_rng::RngPosition;
use super::sampler::SamplerPosition;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::model::{Architecture, replace_file};
use crate::nn::Tensors;

const KEY: &str = "cpc-stream.training";
/// Version of the file; another one is refused.
const FORMAT: u32 = 1;

/// The scalar state of a run; its tensors stand beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainingProgress {
    pub(super) format: u32,
    pub(super) config: TrainConfig,
    pub(super) architecture: Architecture,
    pub(super) heads_only: bool,
    /// Hash of the training data.
    pub(super) data: String,
    pub(super) step: usize,
    pub(super) adam_steps: i32,
    pub(super) best_loss: Option<f64>,
    pub(super) best_step: usize,
    pub(super) worse: usize,
    pub(super) minutes: f64,
    pub(super) sampler: SamplerPosition,
    #[serde(rename = "dice")]
    pub(super) rng: RngPosition,
    pub(super) queue_next: usize,
    pub(super) queue_recordings: Vec<u32>,
}

impl TrainingProgress {
    pub(super) const FORMAT: u32 = FORMAT;
}

/// Path of the checkpoint of the run that writes the model to `out`.
#[must_use]
pub fn checkpoint_path(out: &Path) -> PathBuf {
    out.with_extension("checkpoint")
}

/// Writes a run by way of a file beside it, flushed to the disk, so that a kill leaves the one before or this one.
pub(super) fn write(path: &Path, progress: &TrainingProgress, tensors: &Tensors) -> Result<()> {
    let json = serde_json::to_string(progress).map_err(|e| Error::internal(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    let bytes = safetensors::serialize(tensors.iter(), Some(metadata))
        .map_err(|e| Error::internal(format!("the checkpoint cannot be serialised: {e}")))?;
    replace_file(path, &bytes)
}

/// Reads a run.
pub(super) fn read(path: &Path, device: &Device) -> Result<(TrainingProgress, Tensors)> {
    let name = path.display();
    let damaged = |what: String| {
        Error::model(
            format!("checkpoint {name}: {what}"),
            "begin anew with `--restart`, or give another `--out`",
        )
    };
    let bytes = std::fs::read(path).map_err(|e| damaged(e.to_string()))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| damaged(format!("it has no `{KEY}`")))?;
    let progress: TrainingProgress = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
    if progress.format != FORMAT {
        return Err(damaged(format!("format {} found, {FORMAT} expected", progress.format)));
    }
    let tensors =
        candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| damaged(e.to_string()))?;
    Ok((progress, tensors))
}
