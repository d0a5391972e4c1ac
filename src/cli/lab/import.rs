//! `import`: a model from a PyTorch checkpoint of CPC_audio.

use std::path::{Path, PathBuf};

use crate::audio_file::read_mono;
use crate::cli::args::{Output, SetThreads, stdout, use_threads};
use crate::context::ContextConfig;
use crate::corpus::{Corpus, Recording, Selection};
use crate::encode::{EncoderConfig, Normalisation};
use crate::error::{Error, Result};
use crate::model::import::{ImportOptions, Imported, import};
use crate::model::{Architecture, BANK, Cpc, DataCard, Manifest, TrainingCard, WINDOW, bank_of, save};
use crate::resample::resample_clip;
use crate::units::samples_to_seconds;

/// Windows that the bank is chosen from, at most.
const BANK_WINDOWS: usize = 1000;

/// Import a checkpoint: training checkpoints, the form of torch.hub, or a bare state dict.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The checkpoint (.pt), a zip archive or the older form.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Where to write the model.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Its settings; `checkpoint_args.json` beside it if left out.
    #[arg(long, value_name = "JSON")]
    args: Option<PathBuf>,
    /// Leave the prediction heads in the file: features only, until `train --heads-only` makes new ones.
    #[arg(long)]
    without_heads: bool,
    /// Recordings (folder or file) to choose the 64 negatives of live scoring from.
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    bank_from: Vec<PathBuf>,
    /// Name in the manifest.
    #[arg(long, default_value = "cpc-audio")]
    name: String,
    /// Licence of the weights in the manifest.
    #[arg(long, visible_alias = "license", default_value = "unspecified")]
    licence: String,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Runs it.
///
/// # Errors
/// When the checkpoint cannot be read or run as a stream, or recordings and disk are not what they should be.
pub(super) fn run(args: &ImportArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let options = ImportOptions { args: args.args.clone(), without_heads: args.without_heads };
    let mut imported = import(&args.checkpoint, &options)?;
    let mut out = stdout();
    describe(&mut out, &imported)?;
    let mut data = DataCard {
        description: format!("imported from {}", file_name(&args.checkpoint)),
        ..DataCard::default()
    };
    if !args.bank_from.is_empty() {
        let seconds = add_bank(&mut imported, &args.bank_from, &mut out)?;
        data.sources.push(format!(
            "bank of negatives: {:.1} min of {}",
            seconds / 60.0,
            names(&args.bank_from)
        ));
    }
    let cards = (data, TrainingCard::default());
    let manifest = Manifest::new(&args.name, &args.licence, imported.architecture, cards);
    let manifest = save(&args.out, &imported.tensors, manifest)?;
    let model = args.out.display();
    out.line(format_args!("wrote     {model} ({})", manifest.short_hash()))?;
    next(&mut out, &manifest, &args.out, &args.checkpoint)
}

fn describe(out: &mut Output, imported: &Imported) -> Result<()> {
    let (report, Architecture { encoder, context, heads, .. }) = (&imported.report, &imported.architecture);
    out.line(format_args!("found     {}; settings: {}", report.form, report.settings))?;
    if let EncoderConfig::Raw { channels, normalisation } = encoder {
        let norm = match normalisation {
            Normalisation::Channel => "channel norm",
            Normalisation::Folded => "no norm of their own",
        };
        out.line(format_args!("encoder   5 convolutions of {channels:?} channels, {norm}"))?;
    }
    let (kind, layers) = match context {
        ContextConfig::Gru { layers, .. } => ("GRU", layers),
        ContextConfig::Lstm { layers, .. } => ("LSTM", layers),
    };
    out.line(format_args!("context   {kind}, layers: {layers}, width {}", context.width()))?;
    match heads {
        Some(heads) => {
            let kind = heads.hidden.map_or("linear".to_owned(), |units| format!("{units} hidden units"));
            out.line(format_args!(
                "heads     K = {}, {kind}, logits times {:.5}",
                heads.horizons, heads.scale
            ))?;
        }
        None => out.line(format_args!("heads     none"))?,
    }
    let left = if report.skipped.is_empty() { "nothing".to_owned() } else { report.skipped.join(", ") };
    out.line(format_args!("tensors   {} read; left in the file: {left}", report.tensors))?;
    for (word, lines) in [("folded ", &report.folded), ("assumed", &report.assumed)] {
        for line in lines {
            out.line(format_args!("{word}   {line}"))?;
        }
    }
    Ok(())
}

/// Chooses negatives from recordings; gives the length of these in seconds.
fn add_bank(imported: &mut Imported, paths: &[PathBuf], out: &mut Output) -> Result<f64> {
    if imported.architecture.heads.is_none() {
        return Err(Error::config(
            "--bank-from is given, but there are no prediction heads that would use a bank",
            "leave it out: `cpc-lab train --heads-only` makes heads and bank",
        ));
    }
    let mut recordings = Vec::new();
    for path in paths {
        if path.is_dir() {
            let corpus = Corpus::load(path, Selection::Train, |_, _| ())?;
            for line in &corpus.skipped {
                out.line(format_args!("skipped   {line}"))?;
            }
            recordings.extend(corpus.recordings);
        } else {
            let (samples, rate) = read_mono(path)?;
            let mut recording = Recording::new(path.display().to_string());
            recording.push_clip(&resample_clip(&samples, rate)?);
            recordings.push(recording);
        }
    }
    let places: Vec<(&Recording, usize)> = recordings
        .iter()
        .flat_map(|recording| (0..recording.len() / WINDOW).map(move |i| (recording, i * WINDOW)))
        .collect();
    let every = places.len().div_ceil(BANK_WINDOWS).max(1);
    let windows = places.iter().step_by(every).filter_map(|(recording, start)| {
        let mut window = vec![0.0; WINDOW];
        recording.copy_to(*start, 1.0, &mut window).then_some(window)
    });
    let cpc = Cpc::load(&imported.tensors, &imported.architecture)?;
    let bank = bank_of(&cpc, windows, 0)?;
    let seconds = samples_to_seconds(recordings.iter().map(|r| r.len() as u64).sum());
    out.line(format_args!("bank      {} negatives from {:.1} min of sound", bank.dim(0)?, seconds / 60.0))?;
    imported.tensors.insert(BANK.to_owned(), bank);
    Ok(seconds)
}

/// The abilities of the model, and the next command.
fn next(out: &mut Output, manifest: &Manifest, model: &Path, checkpoint: &Path) -> Result<()> {
    let (model, checkpoint) = (model.display(), checkpoint.display());
    if manifest.architecture.heads.is_none() {
        out.line(format_args!(
            "gives     features, no surprise: prediction heads are missing, and with them the bank of negatives"
        ))?;
        return out
            .line(format_args!("next      cpc-lab train --heads-only --init {model} --data DIR --out FILE"));
    }
    if manifest.bank == 0 {
        out.line(format_args!(
            "gives     features, no live surprise yet: that is scored against a bank of negatives, which no checkpoint holds"
        ))?;
        return out.line(format_args!(
            "next      cpc-lab import {checkpoint} --out {model} --bank-from DIR   (or train --heads-only --init {model})"
        ));
    }
    out.line(format_args!("gives     features and live surprise"))?;
    out.line(format_args!("next      cpc-stream demo --model {model}"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| file_name(path)).collect::<Vec<_>>().join(", ")
}
