//! `eval labels`: sounds that are known again by one example or five.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::probe::{clips_and_columns, write};
use crate::cli::args::{SetThreads, open_model, stdout, use_threads};
use crate::cli::lab::bar::{bar, show_on};
use crate::corpus::Selection;
use crate::corpus::rare::Material;
use crate::error::{Error, Result};
use crate::eval::features::Features;
use crate::eval::labels::{LabelsTable, Options, measure, space_of};
use crate::eval::sounds_in_sites::scenes;
use crate::eval::table::Best;
use crate::event_store::EventsConfig;
use crate::model::write_label_space;

/// Which sounds come where.
const SEED: u64 = 2;

/// Measure how well sounds are known again by one example or five, and whether unknown ones stay unknown, beside MFCC, log-mel and
/// random weights; or write the label space that the daemon uses.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LabelsArgs {
    /// Folder with a manifest.csv: columns file, split and label, and set, speaker and fold if it has them.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where the sounds that are asked for come from: `eval`, or other folds and speakers of `train`, to choose by.
    #[arg(long, default_value = "eval", value_parser = ["eval", "train"])]
    split: String,
    /// Draws of known labels and of their examples.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    episodes: u64,
    /// Write the label space of the model to this file (NAME.labels.safetensors beside NAME.safetensors), and measure nothing.
    #[arg(long, value_name = "FILE")]
    write_space: Option<PathBuf>,
    /// Folder to write labels.md and labels.json to.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// All that the command says.
#[derive(Debug, Serialize)]
struct LabelReport {
    #[serde(flatten)]
    table: LabelsTable,
    model: String,
    sha256: String,
    split: String,
    clips: usize,
    left_out: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When a model or the data is not what it should be, or no column can be formed.
pub(super) fn run(args: &LabelsArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let model = Features::Cpc { name: "CPC".to_owned(), cpc: Arc::clone(&cpc) };
    let bar = bar()?;
    let mut show = show_on(&bar);
    let (clips, mut columns, left_out) = clips_and_columns(&args.data, &mut show)?;
    columns.retain(|column| !column.name.ends_with("speaker"));
    if let Some(path) = &args.write_space {
        let space = space_of(&model, &clips, &mut show)?;
        write_label_space(path, &space, &manifest.sha256)?;
        bar.finish_and_clear();
        let coordinates = space.axes().len() / space.mean().len();
        return stdout().line(format_args!(
            "wrote {}: {coordinates} coordinates of model {} ({})",
            path.display(),
            manifest.name,
            manifest.short_hash()
        ));
    }
    let architecture = manifest.architecture.clone();
    let features =
        [Features::RandomInit { name: "random".to_owned(), architecture }, Features::Spectral, model];
    let split = if args.split == "eval" { Selection::Eval } else { Selection::Train };
    let least = EventsConfig::default().label_similarity;
    let options = Options { episodes: args.episodes, split, least };
    let scenes = match Material::read(&args.data, split, &[], |n, all| show("reading sites", n, all)) {
        Ok(material) => scenes(&material, SEED),
        Err(error) => {
            tracing::warn!("{error}: the tables of sounds in sites are empty");
            Vec::new()
        }
    };
    let table = measure(&clips, &columns, (&features, &scenes), &options, &mut show)?;
    bar.finish_and_clear();
    let report = LabelReport {
        table,
        model: manifest.name,
        sha256: manifest.sha256,
        split: args.split.clone(),
        clips: clips.len(),
        left_out,
    };
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
    let text = markdown(&report);
    if let Some(folder) = &args.out {
        write(folder, "labels.md", &text)?;
        write(folder, "labels.json", &json)?;
    }
    stdout().line(format_args!("{}", if args.json { json } else { text }.trim_end()))
}

fn markdown(report: &LabelReport) -> String {
    let LabelsTable { columns, episodes, accuracy, auroc, labelled, mislabelled, thresholds, sites } =
        &report.table;
    let tables = [accuracy, auroc, labelled].map(|table| table.markdown(1, Best::Highest));
    let mut text = format!(
        "{}\n{}\n{}\n",
        tables.join("\n"),
        mislabelled.markdown(1, Best::Lowest),
        thresholds.markdown(2, Best::Lowest)
    );
    let _ = writeln!(
        text,
        "Mean ± standard deviation over {episodes} episodes; in each, half of the labels are known by examples of split = train, and \
         sounds of all labels of split = {} are asked for. Each row is mean and standard deviation over the frames with sound, whitened by \
         the clips of split = train.\n",
        report.split
    );
    let _ = writeln!(
        text,
        "{}\n{}\n{}\nForeign sounds at −3 to +21 dB over a site, each twice: compared as the daemon compares, without what they have in common \
         with quiet seconds of the site, and with it.\n",
        sites.auroc.markdown(1, Best::Highest),
        sites.alike.markdown(1, Best::Mixed),
        sites.with_site.markdown(1, Best::Mixed),
    );
    for column in columns {
        let _ = writeln!(
            text,
            "- {}: {} classes of {}, {} sounds asked for.",
            column.name, column.classes, column.set, column.test
        );
    }
    let _ = writeln!(text, "- model {} ({})", report.model, report.sha256.get(..12).unwrap_or_default());
    for line in &report.left_out {
        let _ = writeln!(text, "- left out: {line}");
    }
    text
}
