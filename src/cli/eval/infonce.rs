//! `eval infonce`: the figures of a model's manifest, measured again.

use std::path::PathBuf;

use super::super::args::{SetThreads, open_model, stdout, use_threads};
use super::super::train::figures;
use crate::config::TrainConfig;
use crate::corpus::{Corpus, Selection, hold_out, windows_of};
use crate::error::{Error, Result};
use crate::model::{Protocol, WINDOW, measure};

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
    let protocol = manifest.training.protocol.unwrap_or_else(|| {
        let train = TrainConfig::default();
        Protocol { hold_out: train.hold_out, batch: train.batch, negatives: train.negatives() }
    });
    let recordings = if args.split == "eval" {
        Corpus::load(&args.data, Selection::Eval, |_, _| ())?.recordings
    } else {
        hold_out(Corpus::load(&args.data, Selection::Train, |_, _| ())?.recordings, protocol.hold_out)?.1
    };
    let mut found = measure(&cpc, &windows_of(&recordings, WINDOW), protocol.batch, protocol.negatives)?;
    found.clips = recordings.iter().map(|r| r.clips).sum();
    let mut out = stdout();
    if args.json {
        let text = serde_json::to_string_pretty(&found).map_err(|e| Error::internal(e.to_string()))?;
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
    Ok(())
}
