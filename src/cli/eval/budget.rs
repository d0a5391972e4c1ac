//! `eval budget`: false alarms an hour on sound without events, beside the budget.

use std::path::PathBuf;

use super::super::args::{SetThreads, open_model, stdout, use_threads};
use super::material::material;
use crate::cli::bar::{bar, show_on};
use crate::error::{Error, Result};
use crate::eval::budget::{Count, Plan, measure};

/// Run the detector over hours of backgrounds without events, their gain drifting by 1 dB: half steady, a quarter after
/// a gain step of 3 dB, a quarter in another place. Without `--data` the sounds are synthetic.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BudgetArgs {
    /// Folder with a manifest.csv whose rows of set `esc50` have the labels of ESC-50.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Part of the manifest.
    #[arg(long, default_value = "eval", value_parser = ["eval", "train"])]
    split: String,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Hours of each stream.
    #[arg(long, default_value_t = 4.0)]
    hours: f64,
    /// Most backgrounds, a stream each.
    #[arg(long, default_value_t = 12)]
    backgrounds: usize,
    /// Budgets, events an hour.
    #[arg(long, value_delimiter = ',', default_value = "0.5,1,4")]
    budgets: Vec<f64>,
    /// Minutes of calibration.
    #[arg(long, value_delimiter = ',', default_value = "10,30")]
    minutes: Vec<f64>,
    /// Seed of the streams.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON, with each alarm.
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the model or the data is not what it should be.
pub(super) fn run(args: &BudgetArgs, set: SetThreads) -> Result<()> {
    use_threads(1, set)?;
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let progress = bar()?;
    let material = material(args.data.as_deref(), &args.split, &[], args.seed, &progress)?;
    let plan = Plan {
        hours: args.hours,
        backgrounds: args.backgrounds,
        budgets: args.budgets.clone(),
        minutes: args.minutes.clone(),
        seed: args.seed,
    };
    let rows = measure((&manifest, &cpc), &material, &plan, &mut show_on(&progress))?;
    progress.finish_and_clear();
    let mut out = stdout();
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    let streams = material.backgrounds.len().min(args.backgrounds);
    out.line(format_args!(
        "{streams} streams of {} h without events; false alarms an hour (95 % interval, alarms in hours)\n",
        args.hours
    ))?;
    out.line(format_args!(
        "| calibration | budget | steady | after a gain step of 3 dB | in another place |"
    ))?;
    out.line(format_args!("| --- | --- | --- | --- | --- |"))?;
    for row in &rows {
        out.line(format_args!(
            "| {} min | {} / h | {} | {} | {} |",
            row.minutes,
            row.budget,
            shown(&row.steady),
            shown(&row.stepped),
            shown(&row.moved)
        ))?;
    }
    Ok(())
}

fn shown(count: &Count) -> String {
    let (low, high) = count.interval();
    format!("{:.2} ({low:.2}–{high:.2}; {} in {:.1} h)", count.rate(), count.alarms, count.hours)
}
