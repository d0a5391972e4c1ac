//! `eval budget`: false alarms an hour on sound without events, beside the budget.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;

use super::material::material;
use crate::cli::args::{SetThreads, open_model, stdout, use_threads};
use crate::cli::lab::bar::{bar, show_on};
use crate::corpus::rare::Material;
use crate::error::{Error, Result};
use crate::eval::budget::joined::{self, Plan};
use crate::eval::budget::{Count, recordings};
use crate::model::{Cpc, Manifest};

/// Run the detector over hours of backgrounds without events, their gain drifting by 1 dB: half steady, a quarter after
/// a gain step of 3 dB, a quarter in another place; with `--recordings`, over uninterrupted recordings, hour after hour.
/// Without `--data` the sounds are synthetic.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BudgetArgs {
    /// Folder with a manifest.csv whose sets and labels are known: long recordings, ESC-50.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Part of the manifest.
    #[arg(long, default_value = "eval", value_parser = ["eval", "train"])]
    split: String,
    /// Uninterrupted recordings instead of joined clips. A recording that is too short is learnt from in one part and
    /// tested on in the other, each going on from its end to its beginning.
    #[arg(long)]
    recordings: bool,
    /// Collection (column `set` of the manifest) that is not used. May be given several times.
    #[arg(long, value_name = "SET")]
    leave_out: Vec<String>,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Hours of each stream; with `--recordings`, after its calibration.
    #[arg(long, default_value_t = 4.0)]
    hours: f64,
    /// Most backgrounds, a stream each.
    #[arg(long, default_value_t = 12)]
    backgrounds: usize,
    /// Budgets, events an hour: 0.5, 1 and 4 if left out, with `--recordings` 1, 4 and 12.
    #[arg(long, value_delimiter = ',')]
    budgets: Vec<f64>,
    /// Minutes of calibration: 10 and 30 if left out, with `--recordings` 2 and 10.
    #[arg(long, value_delimiter = ',')]
    minutes: Vec<f64>,
    /// With `--recordings`: learn from no sound twice. Of a recording that is too short for `--minutes`, six tenths are learnt from.
    #[arg(long, requires = "recordings")]
    no_repeats: bool,
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
    let material = material(args.data.as_deref(), &args.split, &args.leave_out, args.seed, &progress)?;
    if args.recordings {
        return of_recordings(args, (&manifest, &cpc), &material, &progress);
    }
    let plan = Plan {
        hours: args.hours,
        backgrounds: args.backgrounds,
        budgets: given(&args.budgets, [0.5, 1.0, 4.0]),
        minutes: given(&args.minutes, [10.0, 30.0]),
        seed: args.seed,
    };
    let rows = joined::measure((&manifest, &cpc), &material, &plan, &mut show_on(&progress))?;
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

fn given<const N: usize>(values: &[f64], otherwise: [f64; N]) -> Vec<f64> {
    if values.is_empty() { otherwise.to_vec() } else { values.to_vec() }
}

fn of_recordings(
    args: &BudgetArgs,
    model: (&Manifest, &Arc<Cpc>),
    material: &Material,
    progress: &ProgressBar,
) -> Result<()> {
    let plan = recordings::Plan {
        hours: args.hours,
        recordings: args.backgrounds,
        budgets: given(&args.budgets, [1.0, 4.0, 12.0]),
        minutes: given(&args.minutes, [2.0, 10.0]),
        repeat_calibration: !args.no_repeats,
        seed: args.seed,
    };
    let rows = recordings::measure(model, material, &plan, &mut show_on(progress))?;
    progress.finish_and_clear();
    let mut out = stdout();
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    let Some(first) = rows.first() else { return Ok(()) };
    let hours: f64 = first.by_hour.iter().map(|c| c.hours).sum();
    out.line(format_args!(
        "{} uninterrupted recordings without events, {hours:.1} h after calibration, {:.2} h of it heard for the first \
         time and the rest played before, each recording from its end to its beginning; {}; false alarms an hour (95 % \
         interval, alarms in hours)\n",
        first.by_recording.len(),
        first.new.hours,
        learnt(first, args.no_repeats)
    ))?;
    let names: Vec<String> = (1..=first.by_hour.len()).map(|hour| format!("hour {hour}")).collect();
    out.line(format_args!(
        "| calibration | budget | {} | all | heard for the first time |",
        names.join(" | ")
    ))?;
    out.line(format_args!("|{}", " --- |".repeat(names.len() + 4)))?;
    for row in &rows {
        let hours: Vec<String> = row.by_hour.iter().map(shown).collect();
        let all = row.by_hour.iter().fold(Count::default(), |sum, c| Count {
            alarms: sum.alarms + c.alarms,
            hours: sum.hours + c.hours,
        });
        out.line(format_args!(
            "| {} min | {} / h | {} | {} | {} |",
            row.minutes,
            row.budget,
            hours.join(" | "),
            shown(&all),
            shown(&row.new)
        ))?;
    }
    out.line(format_args!("\n| recording, alarms by calibration and budget | {} |", {
        let heads: Vec<String> =
            rows.iter().map(|r| format!("{} min, {} / h", r.minutes, r.budget)).collect();
        heads.join(" | ")
    }))?;
    out.line(format_args!("|{}", " --- |".repeat(rows.len() + 1)))?;
    for (number, (name, _)) in first.by_recording.iter().enumerate() {
        let alarms =
            rows.iter().filter_map(|r| r.by_recording.get(number).map(|(_, c)| c.alarms.to_string()));
        out.line(format_args!("| {name} | {} |", alarms.collect::<Vec<_>>().join(" | ")))?;
    }
    Ok(())
}

/// What the recordings were learnt from.
fn learnt(row: &recordings::Row, no_repeats: bool) -> String {
    if !no_repeats {
        return "a calibration that is longer than its recording repeats it".to_owned();
    }
    let (least, most) = row.learnt_s.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &s| (a.min(s), b.max(s)));
    format!("learnt from without repeats, {least:.0} to {most:.0} s of each")
}

fn shown(count: &Count) -> String {
    let (low, high) = count.interval();
    format!("{:.2} ({low:.2}–{high:.2}; {} in {:.1} h)", count.rate(), count.alarms, count.hours)
}
