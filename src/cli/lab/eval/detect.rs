//! `eval detect`: how well rare events are found, beside what others would build.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::material::material;
use super::streams::{file_name, refused, write_streams};
use crate::cli::args::{SetThreads, open_model, stdout, use_threads};
use crate::cli::lab::bar::{bar, show_on};
use crate::corpus::rare::{Family, SceneRecipe, Stream, StreamPlan};
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::eval::detection::{self, DaemonDetector, DetectorOutput, DetectorUnderTest, Options, Resampler};
use crate::eval::features::untrained_with_bank;
use crate::eval::{ablation, baselines};
use crate::model::WINDOW;
use crate::units::seconds_to_samples;

/// Streams whose quiet parts give the negatives of a model without training.
const BANK_STREAMS: usize = 8;

/// Plant anomalies of several families in long backgrounds, and count what is found, what is not and what is found in
/// error, beside baselines with the same calibration. Without `--data` the sounds are synthetic.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DetectArgs {
    /// Folder with a manifest.csv whose sets and labels are known: long recordings, ESC-50, strokes, motor states.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Part of the manifest: `eval` for figures, `train` to choose by.
    #[arg(long, default_value = "eval", value_parser = ["eval", "train"])]
    split: String,
    /// Families of streams: `foreign` sounds, `context` (a beat missing, early, late, out of order, another tempo, a machine
    /// that stops), `faults` of the machine that runs, `benign` changes.
    #[arg(long, value_delimiter = ',', default_value = "foreign,context,faults,benign")]
    families: Vec<Family>,
    /// Collection (column `set` of the manifest) that is not used. May be given several times.
    #[arg(long, value_name = "SET")]
    leave_out: Vec<String>,
    /// Model file; the built-in model if left out. Give it several times to compare.
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Seed of the streams.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Streams of each background in each family.
    #[arg(long, default_value_t = 1)]
    takes: usize,
    /// Most streams of each family, spread evenly over its backgrounds.
    #[arg(long, value_name = "N")]
    most_streams: Option<usize>,
    /// Length of a stream in seconds.
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Seconds of each stream that detectors learn from.
    #[arg(long, default_value_t = 120.0)]
    calibrate_seconds: f64,
    /// Seconds of a slot; an anomaly and a control take slots in turn.
    #[arg(long, default_value_t = 15.0)]
    slot_seconds: f64,
    /// Learn from no sound twice: of a recording that is too short for `--calibrate-seconds`, six tenths are learnt from. Ones
    /// that give less than 20 s are left out.
    #[arg(long)]
    no_repeats: bool,
    /// Share of those seconds that foreign sounds take, untold: 0 to 0.5.
    #[arg(long, default_value_t = 0.0)]
    contaminate: f64,
    /// Budgets in events an hour at which alarms are counted.
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    budgets: Vec<f64>,
    /// Hold the budget online, as the daemon does. Without it ours, like the others, keeps the threshold of the quiet part.
    #[arg(long)]
    hold_budget: bool,
    /// Draws of the bootstrap.
    #[arg(long, default_value_t = 200)]
    draws: usize,
    /// Small streams, for a test: 150 s with 60 s to learn from, slots of 10 s.
    #[arg(long)]
    slice: bool,
    /// Ours only: no baselines, no model without training.
    #[arg(long)]
    ours_only: bool,
    /// Beside ours, the parts of scores by themselves instead of baselines: negatives, horizons, densities.
    #[arg(long, conflicts_with = "ours_only")]
    parts: bool,
    /// Folder to write report.md, report.json and the plots to.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the streams (16 kHz WAV), truth.csv and streams.csv to this folder, and stop.
    #[arg(long, value_name = "DIR")]
    write_streams: Option<PathBuf>,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Runs it.
///
/// # Errors
/// When the model or the data is not what it should be.
pub(super) fn run(args: &DetectArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let progress = bar()?;
    let mut families = args.families.clone();
    families.sort_unstable();
    families.dedup();
    let recipe = SceneRecipe {
        seed: args.seed,
        families,
        takes: args.takes,
        most_streams: args.most_streams,
        contamination: args.contaminate,
        repeat_quiet: !args.no_repeats,
        ..if args.slice {
            SceneRecipe::slice()
        } else {
            SceneRecipe {
                seconds: args.seconds,
                quiet_s: args.calibrate_seconds,
                slot_s: args.slot_seconds,
                ..SceneRecipe::default()
            }
        }
    };
    recipe.validate()?;
    let material = material(args.data.as_deref(), &args.split, &args.leave_out, args.seed, &progress)?;
    let plans = recipe.plans(&material);
    for family in recipe.families.iter().filter(|f| plans.iter().all(|plan| plan.family() != **f)) {
        tracing::warn!("no stream of the family {family}: the data has no sound for it");
    }
    if let Some(folder) = &args.write_streams {
        return write_streams(folder, &plans);
    }
    let mut tested = ours(&args.model)?;
    if args.parts {
        let (_, cpc) = open_model(args.model.first().map(PathBuf::as_path))?;
        tested.extend(ablation::all(&cpc)?);
    } else if !args.ours_only {
        tested.extend(random(&args.model, &plans)?);
        tested.extend(
            baselines::all().into_iter().map(|baseline| Box::new(baseline) as Box<dyn DetectorUnderTest>),
        );
    }
    let options = Options {
        detect: DetectConfig { hold_budget: args.hold_budget, ..DetectConfig::default() },
        budgets: args.budgets.clone(),
        resampler: Resampler { draws: args.draws, seed: 1 },
    };
    let mut plot = |stream: &Stream, judged: &[(String, DetectorOutput)]| {
        let Some(folder) = &args.out else { return Ok(()) };
        write(folder, &format!("{}.svg", file_name(&stream.name)), &detection::time_plot(stream, judged)?)
    };
    let (report, outcomes) =
        detection::measure(&recipe, &plans, &mut tested, &options, &mut show_on(&progress), &mut plot)?;
    progress.finish_and_clear();
    let text = detection::markdown(&report);
    stdout().text(format_args!("{text}"))?;
    let Some(folder) = &args.out else { return Ok(()) };
    write(folder, "report.md", &text)?;
    let json = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
    write(folder, "report.json", &json)?;
    let named: Vec<_> =
        report.detectors.iter().map(|d| d.name.clone()).zip(outcomes.iter().map(Vec::as_slice)).collect();
    write(folder, "roc.svg", &detection::roc_plot(&named)?)?;
    stdout().line(format_args!("report.md, report.json and plots are in {}", folder.display()))
}

fn ours(models: &[PathBuf]) -> Result<Vec<Box<dyn DetectorUnderTest>>> {
    let paths: Vec<Option<&Path>> =
        if models.is_empty() { vec![None] } else { models.iter().map(|m| Some(m.as_path())).collect() };
    let several = paths.len() > 1;
    let one = |path: Option<&Path>| -> Result<Box<dyn DetectorUnderTest>> {
        let (manifest, cpc) = open_model(path)?;
        let name = if several { format!("cpc-stream, {}", manifest.name) } else { "cpc-stream".to_owned() };
        Ok(Box::new(DaemonDetector { name, cpc, manifest }))
    };
    paths.into_iter().map(one).collect()
}

/// The first model before training, with negatives out of the quiet parts of some streams.
fn random(models: &[PathBuf], plans: &[StreamPlan<'_>]) -> Result<Option<Box<dyn DetectorUnderTest>>> {
    let (manifest, _) = open_model(models.first().map(PathBuf::as_path))?;
    let some = plans.iter().step_by(plans.len().div_ceil(BANK_STREAMS).max(1));
    let quiet: Vec<Vec<f32>> = some
        .flat_map(|plan| {
            let stream = plan.stream();
            let quiet = stream.samples.get(..seconds_to_samples(stream.quiet_s) as usize).unwrap_or_default();
            quiet.chunks_exact(WINDOW).step_by(8).map(<[f32]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    let cpc = Arc::new(untrained_with_bank(&manifest.architecture, 1, quiet.into_iter())?);
    Ok(Some(Box::new(DaemonDetector { name: "the same, random weights".to_owned(), cpc, manifest })))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)).map_err(|e| refused(&path, &e))
}
