//! `train`: a model from a folder of recordings.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{SetThreads, stdout, use_threads};
use crate::config::TrainConfig;
use crate::corpus::{Corpus, Selection, hold_out};
use crate::error::{Error, Result};
use crate::model::{DataCard, Figures, Manifest};
use crate::train::Trainer;

/// Train a CPC model.
#[derive(Debug, clap::Args)]
pub(super) struct TrainArgs {
    /// Folder with WAV, FLAC or OGG files; its manifest.csv, if it has one, says which are for training.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to write the model.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// TOML file with the settings of the run (config/train.toml documents them).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Optimiser steps.
    #[arg(long)]
    steps: Option<usize>,
    /// Shape: edge, 256 or 512.
    #[arg(long)]
    arch: Option<String>,
    /// Seed of every random choice.
    #[arg(long)]
    seed: Option<u64>,
    /// Name in the manifest.
    #[arg(long, default_value = "cpc-edge")]
    name: String,
    /// Licence of the weights in the manifest.
    #[arg(long, default_value = "unspecified")]
    licence: String,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Minutes between two checkpoints: the best model so far is written to `--out`.
    #[arg(long, default_value_t = 10.0)]
    checkpoint_minutes: f64,
}

/// Runs it.
///
/// # Errors
/// When settings, data or disk are not what they should be.
pub(super) fn run(args: &TrainArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let config = settings(args)?;
    let bar = ProgressBar::new(0).with_style(style("reading {pos}/{len} files {bar:30}")?);
    let corpus = Corpus::load(&args.data, Selection::Train, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let mut out = stdout();
    for line in &corpus.skipped {
        out.line(format_args!("skipped {line}"))?;
    }
    let licences =
        corpus.licences.iter().map(|(licence, clips)| format!("{licence} ({clips} clips)")).collect();
    let data = DataCard {
        description: format!("{} recordings, {:.2} h of sound", corpus.recordings.len(), corpus.hours()),
        sources: licences,
        ..DataCard::default()
    };
    let (train, held_out) = hold_out(corpus.recordings, config.hold_out)?;
    out.line(format_args!(
        "{}; {} recordings held out; architecture {}, {} steps of {} windows",
        data.description,
        held_out.len(),
        config.architecture,
        config.steps,
        config.batch
    ))?;
    let steps = config.steps;
    let mut trainer = Trainer::new(config, train, &held_out, data)?;
    let chance = trainer.chance_loss();
    let bar = ProgressBar::new(steps as u64).with_style(style("{msg} {bar:30} {pos}/{len} eta {eta}")?);
    let stop = super::args::stop_flag()?;
    let mut checkpoint = Instant::now();
    let pause = Duration::from_secs_f64(args.checkpoint_minutes.max(0.1) * 60.0);
    while trainer.steps_done() < steps && !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let report = trainer.step()?;
        bar.set_message(format!("loss {:.3} of {chance:.3}", report.loss));
        bar.inc(1);
        if let Some(figures) = &report.validation {
            let line = format!(
                "step {:6}  validation loss {:.4} (guess {:.4})  accuracy {:.4} (guess {:.4})",
                report.step, figures.loss, figures.chance_loss, figures.accuracy, figures.chance_accuracy
            );
            if bar.is_hidden() {
                out.line(format_args!("{line}"))?;
            } else {
                bar.println(line);
            }
            if checkpoint.elapsed() >= pause {
                trainer.save_best(&args.out, &args.name, &args.licence)?;
                checkpoint = Instant::now();
            }
        }
    }
    bar.finish_and_clear();
    let manifest = trainer.save_best(&args.out, &args.name, &args.licence)?;
    out.line(format_args!("wrote {} ({})", args.out.display(), manifest.short_hash()))?;
    figures(&mut out, &manifest.training.validation)?;
    report_margin(&mut out, &manifest)
}

fn report_margin(out: &mut super::args::Output, manifest: &Manifest) -> Result<()> {
    let figures = &manifest.training.validation;
    let margin = figures.chance_loss - figures.loss;
    out.line(format_args!("validation loss lies {margin:.3} nats below ln(N + 1)"))
}

/// The table of figures per horizon.
///
/// # Errors
/// When stdout is closed.
pub(super) fn figures(out: &mut super::args::Output, figures: &Figures) -> Result<()> {
    out.line(format_args!(
        "held out: {} clips, {} windows of 1.28 s, N = {} negatives",
        figures.clips, figures.windows, figures.negatives
    ))?;
    out.line(format_args!(
        "    k   loss (guess {:.4})   accuracy (guess {:.4})",
        figures.chance_loss, figures.chance_accuracy
    ))?;
    for (k, (loss, accuracy)) in (1..).zip(figures.loss_per_k.iter().zip(&figures.accuracy_per_k)) {
        out.line(format_args!("{k:>5}   {loss:.4}                {accuracy:.4}"))?;
    }
    out.line(format_args!(" mean   {:.4}                {:.4}", figures.loss, figures.accuracy))
}

fn settings(args: &TrainArgs) -> Result<TrainConfig> {
    let mut config = match &args.config {
        None => TrainConfig::default(),
        Some(path) => {
            let cause = |what: String| {
                Error::config(format!("{}: {what}", path.display()), "config/train.toml documents every key")
            };
            let text = std::fs::read_to_string(path).map_err(|e| cause(e.to_string()))?;
            toml::from_str(&text).map_err(|e| cause(e.to_string().lines().collect::<Vec<_>>().join(" ")))?
        }
    };
    if let Some(steps) = args.steps {
        config.steps = steps;
    }
    if let Some(arch) = &args.arch {
        config.architecture.clone_from(arch);
    }
    if let Some(seed) = args.seed {
        config.seed = seed;
    }
    config.validate_every = config.validate_every.min(config.steps);
    config.validate()?;
    Ok(config)
}

fn style(template: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(template).map_err(|e| Error::internal(e.to_string()))
}
