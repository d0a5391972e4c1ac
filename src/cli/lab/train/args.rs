//! Arguments of `train`.

use std::path::PathBuf;

/// Train a CPC model, or go on with one.
#[derive(Debug, clap::Args)]
pub(in crate::cli::lab) struct TrainArgs {
    /// Folder with audio files, or a manifest.csv: its rows with split = train.
    #[arg(long, value_name = "DIR|manifest.csv")]
    pub(super) data: PathBuf,
    /// Where to write the model; checkpoint, log (.log.jsonl) and curves (.svg) stand beside it.
    #[arg(long, value_name = "FILE", default_value = "runs/cpc.safetensors")]
    pub(super) out: PathBuf,
    /// TOML file with the settings of the run (config/train.toml documents them).
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Optimiser steps.
    #[arg(long)]
    pub(super) steps: Option<usize>,
    /// Shape: spectral, edge, 256 or 512.
    #[arg(long)]
    pub(super) arch: Option<String>,
    /// Seed of every random choice.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Begin with the weights of this model.
    #[arg(long, value_name = "FILE")]
    pub(super) init: Option<PathBuf>,
    /// Leave encoder and context network of `--init` as they are; make heads and negatives for them.
    #[arg(long, requires = "init")]
    pub(super) heads_only: bool,
    /// Leave the model of `--init` as it is; teach a critic for it, from a folder with a manifest.csv.
    #[arg(long, requires = "init", conflicts_with_all = ["heads_only", "resume", "restart"])]
    pub(super) critic_only: bool,
    /// Go on from the checkpoint of a run that was interrupted.
    #[arg(long, conflicts_with = "restart")]
    pub(super) resume: bool,
    /// Start again although there is a checkpoint.
    #[arg(long)]
    pub(super) restart: bool,
    /// Name in the manifest; the name of the file if left out.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Licence of the weights in the manifest.
    #[arg(long, default_value = "unspecified")]
    pub(super) licence: String,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    pub(super) threads: usize,
    /// Minutes between two checkpoints.
    #[arg(long)]
    pub(super) checkpoint_minutes: Option<f64>,
    /// Where the model trains: cpu, or cuda[:N] in a build with that feature.
    #[arg(long, default_value = "cpu")]
    pub(super) device: String,
}
