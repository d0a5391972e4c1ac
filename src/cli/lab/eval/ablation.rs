//! `eval ablation`: what each part of training brings, at the same cost.

use std::path::PathBuf;

use candle_core::Device;
use serde::Serialize;

use super::infonce::{Kind, by_kind};
use super::probe::{clips_and_columns, write};
use crate::cli::args::{SetThreads, stdout, use_threads};
use crate::cli::lab::bar::{bar, show_on};
use crate::config::{Augment, TrainConfig};
use crate::corpus::{Clip, Corpus, Recording, Selection, hold_out, windows_of};
use crate::error::{Error, Result};
use crate::eval::columns::Column;
use crate::eval::features::{Features, untrained};
use crate::eval::foreign::foreign_auc;
use crate::eval::plot::bars;
use crate::eval::probe::validated;
use crate::eval::table::{Best, Cell, Row, Table};
use crate::model::{Cpc, DataCard, WINDOW};
use crate::predict::Negatives;
use crate::train::{Start, Trainer};

/// Level of the foreign sounds that are to stand out.
const FOREIGN_DB: f32 = 0.0;

/// Train variants for the same number of steps and compare them on what training did not hear.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AblationArgs {
    /// Folder with a manifest.csv.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The varied setting.
    #[arg(long, value_enum)]
    what: What,
    /// Settings that all variants share (config/train.toml documents them).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Steps of each.
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Seeds: each variant is trained so many times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Folder to write the table to, as Markdown, JSON and SVG.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// The varied setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Where negatives come from.
    Negatives,
    /// K, how far the heads look ahead: 2, 4, 8, 12, 16.
    Horizons,
    /// Raw samples or bands, and whose statistics normalise these.
    Encoder,
    /// The input of contexts.
    Augment,
    /// Widths of the heads and scale of the logits.
    Heads,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Negatives => "negatives",
            Self::Horizons => "horizons",
            Self::Encoder => "encoder",
            Self::Augment => "augment",
            Self::Heads => "heads",
        }
    }

    fn variants(self, base: &TrainConfig) -> Vec<(String, TrainConfig)> {
        let with = |name: &str, change: &dyn Fn(&mut TrainConfig)| {
            let mut config = base.clone();
            change(&mut config);
            (name.to_owned(), config)
        };
        let negatives = |name: &str, negatives: Negatives| with(name, &|config| config.negatives = negatives);
        match self {
            Self::Negatives => vec![
                negatives("same window", Negatives::within_only()),
                negatives("other recordings", Negatives::cross_only(128)),
                negatives("queue", Negatives::queue_only(256)),
                negatives("foreign mix", Negatives::foreign_only(1)),
                negatives("same window + other recordings", Negatives { foreign: 0, ..Negatives::default() }),
                negatives("the three + queue", Negatives { queue: 256, ..Negatives::default() }),
                negatives("the three (default)", Negatives::default()),
            ],
            Self::Horizons => [2, 4, 8, 12, 16]
                .into_iter()
                .map(|k| with(&format!("K = {k}"), &|config| config.horizons = k))
                .collect(),
            Self::Encoder => vec![
                with("raw samples", &|config| config.architecture = "edge".to_owned()),
                with("bands, corpus", &|config| config.site_seconds = 0),
                with("bands, place (60 s)", &|config| config.site_seconds = 60),
            ],
            Self::Augment => vec![
                with("nothing", &|config| config.augment = Augment::none()),
                with("microphone", &|config| {
                    config.augment = Augment { microphone_db: 6.0, ..Augment::none() };
                }),
                with("past (default)", &|config| config.augment = Augment::default()),
                with("past and future", &|config| {
                    config.augment = Augment { past_only: false, ..Augment::default() };
                }),
                with("past, with pitch", &|config| {
                    config.augment = Augment { pitch: 0.3, ..Augment::default() };
                }),
            ],
            Self::Heads => vec![
                with("linear", &|config| config.head_hidden = 0),
                with("hidden layer of 128", &|config| config.head_hidden = 128),
                with("linear, scale 1/d", &|config| config.scale = crate::config::Scale::Mean),
            ],
        }
    }
}

#[derive(Debug, Serialize)]
struct AblationReport {
    what: &'static str,
    steps: usize,
    seeds: u64,
    table: Table,
}

/// Runs it.
///
/// # Errors
/// When settings or data are not what they should be.
pub(super) fn run(args: &AblationArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let mut base = crate::cli::lab::train::read_settings(args.config.as_deref())?;
    base.steps = args.steps;
    base.validate_every = args.steps;
    base.validate()?;
    let bar = bar()?;
    let mut show = show_on(&bar);
    let corpus = Corpus::load(&args.data, Selection::Train, |done, total| show("reading", done, total))?;
    let (train, held_out) = hold_out(corpus.recordings, base.hold_out)?;
    let (clips, columns, left_out) = clips_and_columns(&args.data, &mut show)?;
    let bench = Bench { train, held_out, clips, columns };
    let mut table = Table {
        title: format!(
            "{} after {} steps of {} windows; nats below ln(N + 1) on held-out sound by kind of negatives, area under the \
             ROC curve for a foreign sound at {FOREIGN_DB:+.0} dB, and accuracy of linear probes on c in % \
             (cross-validated within split = train)",
            args.what.name(),
            base.steps,
            base.batch
        ),
        columns: bench.titles(),
        rows: vec![bench.random(&base, args.seeds)?],
    };
    for (name, config) in args.what.variants(&base) {
        let (mut runs, mut minutes) = (Vec::new(), 0.0);
        for seed in 0..args.seeds {
            let config = TrainConfig { seed: base.seed + seed, ..config.clone() };
            let (spent, figures) = bench.measure(config, |done, total| show(&name, done, total))?;
            minutes += spent / args.seeds as f64;
            runs.push(figures);
        }
        table.rows.push(row(format!("{name}, {minutes:.1} min"), &runs));
    }
    bar.finish_and_clear();
    let report = AblationReport { what: args.what.name(), steps: base.steps, seeds: args.seeds, table };
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
    let mut text = report.table.markdown(2, Best::Highest);
    for line in left_out {
        text += &format!("\n- left out: {line}");
    }
    if let Some(folder) = &args.out {
        let name = report.what;
        write(folder, &format!("{name}.md"), &text)?;
        write(folder, &format!("{name}.json"), &json)?;
        write(folder, &format!("{name}.svg"), &bars(&probes_of(&report.table), 100.0, 1)?)?;
    }
    stdout().line(format_args!("{}", text.trim_end()))
}

/// Columns that do not depend on the corpus.
const FIXED: usize = 6;

/// The part of the table that has accuracies.
fn probes_of(table: &Table) -> Table {
    let rows = table
        .rows
        .iter()
        .map(|row| Row { name: row.name.clone(), cells: row.cells.iter().skip(FIXED).cloned().collect() });
    Table {
        title: "Accuracy of linear probes on c, %".to_owned(),
        columns: table.columns.iter().skip(FIXED).cloned().collect(),
        rows: rows.collect(),
    }
}

/// One cell for each figure, over the runs.
fn row(name: String, runs: &[Vec<f64>]) -> Row {
    let count = runs.first().map_or(0, Vec::len);
    let cell = |i: usize| {
        let figures: Vec<f64> = runs.iter().filter_map(|run| run.get(i).copied()).collect();
        figures.iter().all(|x| x.is_finite()).then(|| Cell::of(figures))
    };
    Row { name, cells: (0..count).map(cell).collect() }
}

/// The data that variants are trained and measured on.
struct Bench {
    train: Vec<Recording>,
    held_out: Vec<Recording>,
    clips: Vec<Clip>,
    columns: Vec<Column>,
}

impl Bench {
    fn titles(&self) -> Vec<String> {
        let fixed = ["same window", "others", "queue", "foreign", "AUC surprise", "AUC distance"];
        let fixed = fixed.into_iter().map(str::to_owned);
        fixed.chain(self.columns.iter().map(|column| column.name.clone())).collect()
    }

    /// The probes of weights that have learnt nothing.
    fn random(&self, base: &TrainConfig, seeds: u64) -> Result<Row> {
        let mut runs = Vec::new();
        for seed in 0..seeds {
            let untrained_steps = TrainConfig { seed: base.seed + seed, ..base.clone() };
            let architecture = self.trainer(untrained_steps)?.architecture().clone();
            let cpc = untrained(&architecture, seed)?;
            let mut run = vec![f64::NAN; FIXED];
            run.extend(self.probes(cpc)?);
            runs.push(run);
        }
        Ok(row("random weights".to_owned(), &runs))
    }

    fn trainer(&self, config: TrainConfig) -> Result<Trainer> {
        let train = self.train.clone();
        Trainer::new(config, Start::Random, train, &self.held_out, DataCard::default(), &Device::Cpu)
    }

    /// Minutes of training, and the figures of the model that came of it.
    fn measure(
        &self,
        config: TrainConfig,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(f64, Vec<f64>)> {
        let (steps, batch) = (config.steps, config.batch);
        let mut trainer = self.trainer(config)?;
        while trainer.steps_done() < steps {
            trainer.step()?;
            progress(trainer.steps_done(), steps);
        }
        let minutes = trainer.minutes();
        let cpc = trainer.best_model()?;
        let windows = windows_of(&self.held_out, WINDOW);
        let mut figures = Vec::new();
        for Kind { figures: found, .. } in by_kind(&cpc, &windows, batch)? {
            figures.push(found.chance_loss - found.loss);
        }
        let auc = foreign_auc(&cpc, windows.get(..200.min(windows.len())).unwrap_or(&windows), FOREIGN_DB)?;
        figures.extend([auc.surprise, auc.distance]);
        figures.extend(self.probes(cpc)?);
        Ok((minutes, figures))
    }

    fn probes(&self, cpc: Cpc) -> Result<Vec<f64>> {
        let source = Features::Cpc { name: "CPC".to_owned(), cpc: std::sync::Arc::new(cpc) };
        validated(&self.clips, &self.columns, &source)
    }
}
