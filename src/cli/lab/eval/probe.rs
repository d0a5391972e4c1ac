//! `eval probe`: the table of linear probes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::{SetThreads, open_model, stdout, use_threads};
use crate::cli::lab::bar::{bar, show_on};
use crate::corpus::{Clip, ClipRow, read_clips, read_rows};
use crate::error::{Error, Result};
use crate::eval::columns::{Column, plan};
use crate::eval::features::Features;
use crate::eval::plot::bars;
use crate::eval::probe::{Options, ProbeTable, measure};
use crate::eval::supervised;
use crate::eval::table::Best;
use crate::model::Architecture;

/// Measure how well linear probes read classes, words and speakers from frozen features.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ProbeArgs {
    /// Folder with a manifest.csv: columns file, split and label, and set, speaker and fold if it has them.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Model file, once for each model; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Folder to write probe.md, probe.json and probe.svg to.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs, each with other random weights and other 90 % of the clips to learn from.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Steps for which the network of the first model is trained with labels, for each column and run, as a row to
    /// compare with; 0 leaves the row out.
    #[arg(long, default_value_t = 0)]
    supervised_steps: usize,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// All that the command says.
#[derive(Debug, Serialize)]
struct ProbeReport {
    #[serde(flatten)]
    table: ProbeTable,
    models: Vec<ModelCard>,
    clips: usize,
    /// Columns that could not be formed and files that could not be read, a line of reason each.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ModelCard {
    name: String,
    sha256: String,
}

/// Runs it.
///
/// # Errors
/// When a model or the data is not what it should be, or no column can be formed.
pub(super) fn run(args: &ProbeArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let Sources { models, features, first } = sources(&args.model)?;
    let bar = bar()?;
    let mut show = show_on(&bar);
    let (clips, columns, left_out) = clips_and_columns(&args.data, &mut show)?;
    let options = Options { seeds: args.seeds, ..Options::default() };
    let mut table = measure(&clips, &columns, &features, &options, &mut show)?;
    if let (1.., Some(shape)) = (args.supervised_steps, &first) {
        let steps = args.supervised_steps;
        table.push(&supervised::row(&clips, &columns, shape, steps, &options, &mut show)?);
    }
    bar.finish_and_clear();
    let report = ProbeReport { table, models, clips: clips.len(), left_out };
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
    let text = markdown(&report);
    if let Some(folder) = &args.out {
        write(folder, "probe.md", &text)?;
        write(folder, "probe.json", &json)?;
        write(folder, "probe.svg", &bars(&report.table.mean_std, 100.0, 1)?)?;
    }
    stdout().line(format_args!("{}", if args.json { json } else { text }.trim_end()))
}

/// The sources of the table's rows.
struct Sources {
    models: Vec<ModelCard>,
    /// In the order of the rows.
    features: Vec<Features>,
    /// Shape of the first model.
    first: Option<Architecture>,
}

fn sources(paths: &[PathBuf]) -> Result<Sources> {
    let paths: Vec<Option<&Path>> =
        if paths.is_empty() { vec![None] } else { paths.iter().map(|path| Some(path.as_path())).collect() };
    let (mut models, mut first) = (Vec::new(), None);
    let (mut trained, mut shapes) = (Vec::new(), vec![("edge".to_owned(), Architecture::edge())]);
    for path in &paths {
        let (manifest, cpc) = open_model(*path)?;
        let name = if paths.len() == 1 { "CPC".to_owned() } else { format!("CPC {}", manifest.name) };
        trained.push(Features::Cpc { name, cpc });
        if !shapes.iter().any(|(_, shape)| *shape == manifest.architecture) {
            shapes.push((manifest.name.clone(), manifest.architecture.clone()));
        }
        first.get_or_insert(manifest.architecture);
        models.push(ModelCard { name: manifest.name, sha256: manifest.sha256 });
    }
    let many = shapes.len() > 1;
    let random = shapes.into_iter().map(|(shape, architecture)| {
        let name = if many { format!("random {shape}") } else { "random".to_owned() };
        Features::RandomInit { name, architecture }
    });
    let features = random.chain([Features::Spectral]).chain(trained).collect();
    Ok(Sources { models, features, first })
}

/// The clips that some column needs, the columns over them, and what was left out.
pub(super) fn clips_and_columns(
    folder: &Path,
    show: &mut dyn FnMut(&str, usize, usize),
) -> Result<(Vec<Clip>, Vec<Column>, Vec<String>)> {
    let none = |reasons: &[String]| {
        Error::config(
            format!("no column can be formed from {}: {}", folder.display(), reasons.join("; ")),
            "give a manifest.csv with two labels or speakers that stand both in split = train and in split = eval",
        )
    };
    let rows = read_rows(folder)?;
    let (planned, reasons) = plan(&rows);
    let mut wanted = vec![false; rows.len()];
    for example in planned.iter().flat_map(|column| column.train.iter().chain(&column.test)) {
        if let Some(place) = wanted.get_mut(example.clip) {
            *place = true;
        }
    }
    if planned.is_empty() {
        return Err(none(&reasons));
    }
    let used: Vec<&ClipRow> =
        rows.iter().zip(&wanted).filter(|(_, used)| **used).map(|(row, _)| row).collect();
    let (clips, skipped) = read_clips(folder, &used, |done, total| show("reading", done, total));
    // again, over what could be read
    let (columns, reasons_now) = plan(clips.iter().map(|clip| &clip.row));
    let mut left_out = reasons;
    left_out.extend(reasons_now);
    left_out.sort();
    left_out.dedup();
    left_out.extend(skipped.into_iter().map(|line| format!("not read: {line}")));
    if columns.is_empty() { Err(none(&left_out)) } else { Ok((clips, columns, left_out)) }
}

fn markdown(report: &ProbeReport) -> String {
    let ProbeTable { columns, seeds, mean_std, mean, .. } = &report.table;
    let mut text = format!("{}\n{}\n", mean_std.markdown(1, Best::Highest), mean.markdown(1, Best::Highest));
    let _ = writeln!(
        text,
        "Mean ± standard deviation over {seeds} runs; each draws other random weights (rows \"random\") and another \
         90 % of the clips to learn from. Features are frozen; digital silence is masked in every row.\n"
    );
    for column in columns {
        let (low, high) = crate::eval::logistic::wilson(0.5, column.test);
        let _ = writeln!(
            text,
            "- {}: {}. {} classes, {} clips to learn from, {} to be tested on (95 % interval at 50 %: ±{:.1}).",
            column.name,
            column.detail,
            column.classes,
            column.train,
            column.test,
            50.0 * (high - low)
        );
    }
    for model in &report.models {
        let _ = writeln!(text, "- model {} ({})", model.name, model.sha256.get(..12).unwrap_or_default());
    }
    for line in &report.left_out {
        let _ = writeln!(text, "- left out: {line}");
    }
    text
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)).map_err(|e| {
        Error::config(format!("cannot write {}: {e}", path.display()), "check the folder and the free space")
    })
}
