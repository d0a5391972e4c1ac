//! `eval infonce`: the figures of a model's manifest, measured again.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::args::{SetThreads, open_model, stdout, use_threads};
use crate::cli::lab::train::figures;
use crate::config::TrainConfig;
use crate::corpus::{Corpus, Selection, hold_out, windows_of};
use crate::error::{Error, Result};
use crate::model::{Cpc, Figures, Protocol, WINDOW, measure};
use crate::predict::Negatives;

/// Recompute the figures of a model's manifest, or measure it on other recordings.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfonceArgs {
    /// The folder that the model was trained on, or another one.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// `held-out`: the recordings that training held out of `--data`; `eval`: rows with split = eval.
    #[arg(long, default_value = "held-out", value_parser = ["held-out", "eval"])]
    split: String,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the model or the data is not what it should be.
pub(super) fn run(args: &InfonceArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    cpc.require_heads()?;
    let protocol = manifest.training.protocol.unwrap_or_else(|| {
        let train = TrainConfig::default();
        Protocol { hold_out: train.hold_out, batch: train.batch, negatives: train.negatives }
    });
    let recordings = if args.split == "eval" {
        Corpus::load(&args.data, Selection::Eval, |_, _| ())?.recordings
    } else {
        hold_out(Corpus::load(&args.data, Selection::Train, |_, _| ())?.recordings, protocol.hold_out)?.1
    };
    let windows = windows_of(&recordings, WINDOW);
    let mut found = measure(&cpc, &windows, protocol.batch, &protocol.negatives)?;
    found.clips = recordings.iter().map(|r| r.clips).sum();
    let kinds = by_kind(&cpc, &windows, protocol.batch)?;
    let mut out = stdout();
    if args.json {
        let report = InfoNceReport { figures: &found, kinds: &kinds };
        let text = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    figures(&mut out, &found)?;
    if args.split == "held-out" {
        let stated = &manifest.training.validation;
        out.line(format_args!(
            "manifest of {} ({}): loss {:.4}, accuracy {:.4} on {} clips",
            manifest.name,
            manifest.short_hash(),
            stated.loss,
            stated.accuracy,
            stated.clips
        ))?;
    }
    out.line(format_args!(
        "\neach kind of negatives alone; nats below ln(N + 1), and accuracy in % by horizon\n"
    ))?;
    out.text(format_args!("{}", table(&kinds)))
}

/// The figures of one kind of negatives.
#[derive(Debug, Serialize)]
pub(super) struct Kind {
    /// Its name.
    pub(super) kind: &'static str,
    /// The result.
    pub(super) figures: Figures,
}

/// The figures, and those of each kind of negatives alone.
#[derive(Debug, Serialize)]
struct InfoNceReport<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    kinds: &'a [Kind],
}

/// Measures with each kind of negatives alone.
pub(super) fn by_kind(cpc: &Cpc, windows: &[Vec<f32>], batch: usize) -> Result<Vec<Kind>> {
    let kinds = [
        ("same window", Negatives::within_only()),
        ("other recordings", Negatives::cross_only(128)),
        ("queue", Negatives::queue_only(128)),
        ("foreign mix", Negatives::foreign_only(1)),
    ];
    let of_kind = |(kind, negatives): (&'static str, Negatives)| {
        Ok(Kind { kind, figures: measure(cpc, windows, batch, &negatives)? })
    };
    kinds.into_iter().map(of_kind).collect()
}

fn table(kinds: &[Kind]) -> String {
    let count = kinds.first().map_or(0, |kind| kind.figures.accuracy_per_k.len());
    let shown: Vec<usize> = [1, 2, 3, 6, 12, count].into_iter().filter(|&k| k <= count).collect();
    let mut shown = shown;
    shown.dedup();
    let mut text = "| negatives | N | nats below a guess | guess, % |".to_owned();
    let head =
        |text: &mut String, make: &dyn Fn(usize) -> String| shown.iter().for_each(|&k| *text += &make(k));
    head(&mut text, &|k| format!(" k = {k} |"));
    text += "\n| --- | --- | --- | --- |";
    head(&mut text, &|_| " --- |".to_owned());
    for Kind { kind, figures } in kinds {
        let below = figures.chance_loss - figures.loss;
        text += &format!(
            "\n| {kind} | {} | {below:.3} | {:.1} |",
            figures.negatives,
            100.0 * figures.chance_accuracy
        );
        let accuracy = |k: usize| figures.accuracy_per_k.get(k - 1).copied().unwrap_or(f64::NAN);
        head(&mut text, &|k| format!(" {:.1} |", 100.0 * accuracy(k)));
    }
    text + "\n"
}
