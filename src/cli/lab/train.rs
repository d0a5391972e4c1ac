//! `train`: a model from a folder of recordings.

mod args;
mod critic;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use args::TrainArgs;

use crate::cli::args::{Output, SetThreads, stdout, use_threads};
use crate::config::TrainConfig;
use crate::corpus::{Corpus, Selection, hold_out};
use crate::error::{Error, Result};
use crate::model::{self, DataCard, Figures, Manifest};
use crate::train::{Start, Trainer, TrainingLog, Validation, checkpoint_path};

/// Runs it.
///
/// # Errors
/// When settings, data or disk are not what they should be.
pub(super) fn run(args: &TrainArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let device = model::compute_device(&args.device)?;
    let config = settings(args)?;
    if args.critic_only {
        return critic::run(args, &config);
    }
    let checkpoint = checkpoint_path(&args.out);
    guard(args, &checkpoint)?;
    let mut out = stdout();
    let mut trainer = prepare(args, &config, &device, &mut out)?;
    if args.resume {
        trainer.resume(&checkpoint)?;
        out.line(format_args!("goes on after step {}", trainer.steps_done()))?;
    }
    let mut journal = TrainingLog::open(&args.out, trainer.steps_done())?;
    let chance = trainer.chance_loss();
    let steps = config.steps as u64;
    let bar = ProgressBar::new(steps).with_style(style("{msg} {bar:30} {pos}/{len} eta {eta}")?);
    bar.set_position(trainer.steps_done() as u64);
    let stop = crate::cli::args::stop_flag()?;
    let pause = Duration::from_secs_f64(config.checkpoint_minutes * 60.0);
    let mut written = Instant::now();
    while trainer.steps_done() < config.steps && !trainer.has_stalled() {
        if stop.load(Ordering::Relaxed) {
            trainer.write_checkpoint(&checkpoint)?;
            bar.finish_and_clear();
            let done = trainer.steps_done();
            return out
                .line(format_args!("stopped after step {done} of {steps}; `--resume` goes on from there"));
        }
        let report = trainer.step()?;
        journal.write(&report, chance)?;
        bar.set_message(format!("loss {:.3} of {chance:.3}", report.loss));
        bar.set_position(report.step as u64);
        if let Some(validation) = &report.validation {
            for line in lines_of(report.step, validation) {
                if bar.is_hidden() {
                    out.line(format_args!("{line}"))?;
                } else {
                    bar.println(line);
                }
            }
        }
        if written.elapsed() >= pause {
            trainer.write_checkpoint(&checkpoint)?;
            written = Instant::now();
        }
    }
    bar.finish_and_clear();
    if trainer.has_stalled() {
        let done = trainer.steps_done();
        out.line(format_args!(
            "no better validation for {} in a row: ended after step {done}",
            config.patience
        ))?;
    }
    let manifest = trainer.save_best(&args.out, &name_of(args), &args.licence)?;
    match std::fs::remove_file(&checkpoint) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %checkpoint.display(), error = %e, "the checkpoint of the finished run cannot be removed");
        }
        _ => {}
    }
    out.line(format_args!("wrote {} ({})", args.out.display(), manifest.short_hash()))?;
    figures(&mut out, &manifest.training.validation)?;
    report_margin(&mut out, &manifest)
}

fn name_of(args: &TrainArgs) -> String {
    let stem = args.out.file_stem().and_then(|stem| stem.to_str());
    args.name.clone().unwrap_or_else(|| stem.unwrap_or("cpc").to_owned())
}

/// An unfinished run is not overwritten by accident.
fn guard(args: &TrainArgs, checkpoint: &Path) -> Result<()> {
    if args.resume && !checkpoint.exists() {
        return Err(Error::config(
            format!("there is no checkpoint {} to resume", checkpoint.display()),
            "leave out `--resume`, or give the `--out` of the run that was interrupted",
        ));
    }
    if checkpoint.exists() && !args.resume && !args.restart {
        return Err(Error::config(
            format!("{} holds a run that was interrupted", checkpoint.display()),
            "go on with `--resume`, or begin anew with `--restart`",
        ));
    }
    Ok(())
}

fn prepare(args: &TrainArgs, config: &TrainConfig, device: &Device, out: &mut Output) -> Result<Trainer> {
    let start = match &args.init {
        None => Start::Random,
        Some(path) => {
            let (manifest, tensors) = model::read(path, &Device::Cpu)?;
            Start::Model { manifest: Box::new(manifest), tensors, heads_only: args.heads_only }
        }
    };
    let bar = ProgressBar::new(0).with_style(style("reading {pos}/{len} files {bar:30}")?);
    let corpus = Corpus::load(&args.data, Selection::Train, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    for line in &corpus.skipped {
        out.line(format_args!("skipped {line}"))?;
    }
    for line in &corpus.handled {
        out.line(format_args!("note {line}"))?;
    }
    let licences =
        corpus.licences.iter().map(|(licence, clips)| format!("{licence} ({clips} clips)")).collect();
    let data = DataCard {
        description: format!("{} recordings, {:.2} h of sound", corpus.recordings.len(), corpus.hours()),
        sources: licences,
        ..DataCard::default()
    };
    let description = data.description.clone();
    let (train, held_out) = hold_out(corpus.recordings, config.hold_out)?;
    let held = held_out.len();
    let trainer = Trainer::new(config.clone(), start, train, &held_out, data, device)?;
    out.line(format_args!(
        "{description}, {held} held out; {} weights learn, {} steps of {} windows",
        trainer.parameters(),
        config.steps,
        config.batch
    ))?;
    Ok(trainer)
}

fn lines_of(step: usize, validation: &Validation) -> Vec<String> {
    let Validation { figures, metrics, alarms, best } = validation;
    let mut lines = vec![format!(
        "step {step:6}  held out: loss {:.4} (guess {:.4})  accuracy {:.4} (guess {:.4})  rank {:.0}{}",
        figures.loss,
        figures.chance_loss,
        figures.accuracy,
        figures.chance_accuracy,
        metrics.effective_rank,
        if *best { "  best" } else { "" }
    )];
    lines.extend(alarms.iter().map(|alarm| format!("step {step:6}  warning: {alarm}")));
    lines
}

fn report_margin(out: &mut Output, manifest: &Manifest) -> Result<()> {
    let figures = &manifest.training.validation;
    let margin = figures.chance_loss - figures.loss;
    out.line(format_args!("validation loss lies {margin:.3} nats below ln(N + 1)"))
}

/// The table of figures per horizon.
///
/// # Errors
/// When stdout is closed.
pub(super) fn figures(out: &mut Output, figures: &Figures) -> Result<()> {
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

/// The settings in a file, or the defaults.
///
/// # Errors
/// When the file cannot be read, or has an unknown key.
pub(super) fn read_settings(path: Option<&Path>) -> Result<TrainConfig> {
    let Some(path) = path else { return Ok(TrainConfig::default()) };
    let cause = |what: String| {
        Error::config(
            format!("{}: {what}", path.display()),
            "/usr/share/doc/cpc-lab/examples/train.toml documents every key",
        )
    };
    let text = std::fs::read_to_string(path).map_err(|e| cause(e.to_string()))?;
    toml::from_str(&text).map_err(|e| cause(e.to_string().lines().collect::<Vec<_>>().join(" ")))
}

fn settings(args: &TrainArgs) -> Result<TrainConfig> {
    let mut config = read_settings(args.config.as_deref())?;
    if let Some(steps) = args.steps {
        config.steps = steps;
    }
    if let Some(arch) = &args.arch {
        config.architecture.clone_from(arch);
    }
    if let Some(seed) = args.seed {
        config.seed = seed;
    }
    if let Some(minutes) = args.checkpoint_minutes {
        config.checkpoint_minutes = minutes;
    }
    config.validate_every = config.validate_every.min(config.steps);
    config.validate()?;
    Ok(config)
}

fn style(template: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(template).map_err(|e| Error::internal(e.to_string()))
}
