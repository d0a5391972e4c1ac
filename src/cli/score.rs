//! `score`: events in recordings, faster than real time.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{SetThreads, open_model, stdout, stop_flag, use_threads};
use super::special::{is_special, stopped_at_a_pipe, until_stopped};
use crate::archive::{ScoreJob, ScoreProgress, Skipped, Summary, least_taught_s, score};
use crate::config::load;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::units::counted;

/// Find events in recordings. Each is a stream of its own: its first minutes teach what is normal in it, the rest is
/// watched. A run that was stopped or killed goes on when the same command is given again.
#[derive(Debug, clap::Args)]
pub(super) struct ScoreArgs {
    /// Recordings (WAV, FLAC, OGG, MP3, M4A, AIFF, CAF and more, any rate, all channels mixed into one), or folders with recordings.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write the events: a JSON object a line. An older file there is replaced, once all is scored.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write scores as CSV, 10 rows a second of every recording, the part that normal is learnt from included.
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    /// Seconds at the start of each recording from which normal is learnt, 10 to 3600; 300 if left out.
    #[arg(long, value_name = "S")]
    calibrate_seconds: Option<f64>,
    /// Learn what is normal over the first recordings of each folder, in the order of their names, and score the ones after them by
    /// that: for recorders that write many short files. Names must sort by time, and a folder must hold one microphone.
    #[arg(long)]
    calibrate_across: bool,
    /// The false-alarm budget: how many events an hour normal sound may cause; whoever looks through recordings puts up
    /// with more than whoever is called. The daemon's own budget (of the configuration) is not used.
    #[arg(long, value_name = "N", default_value_t = 12.0)]
    events_per_hour: f64,
    /// Hold the budget online, as the daemon does: alarms raise the threshold, and ordinary ones are capped.
    #[arg(long)]
    hold_budget: bool,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Configuration file, of which [detect] and model.path matter here.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Recordings that are scored at a time, one a core; all cores if left out.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// The flags under their keys of the configuration.
#[derive(Serialize)]
struct Flags<'a> {
    detect: DetectFlags,
    model: ModelFlags<'a>,
}

#[derive(Serialize)]
struct DetectFlags {
    #[serde(skip_serializing_if = "Option::is_none")]
    calibrate_seconds: Option<f64>,
    events_per_hour: f64,
}

#[derive(Serialize)]
struct ModelFlags<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a PathBuf>,
}

/// Runs it. Recordings that cannot be scored are reported on stderr and skipped.
///
/// # Errors
/// When nothing can be scored, an output cannot be written, or a setting is out of range.
pub(super) fn run(args: &ScoreArgs, set: SetThreads) -> Result<()> {
    let flags = Flags {
        detect: DetectFlags {
            calibrate_seconds: args.calibrate_seconds,
            events_per_hour: args.events_per_hour,
        },
        model: ModelFlags { path: args.model.as_ref() },
    };
    let config = load(args.config.as_deref(), flags)?.config;
    // recordings side by side need no help within one
    use_threads(1, set)?;
    let cores = thread::available_parallelism().map_or(1, usize::from).min(256);
    let job = ScoreJob {
        inputs: args.files.clone(),
        out: args.out.clone(),
        frames: args.frames.clone(),
        detect: DetectConfig { hold_budget: args.hold_budget, ..config.detect },
        threads: args.threads.unwrap_or(cores),
        calibrate_across: args.calibrate_across,
    };
    let (manifest, cpc) = open_model(config.model.file())?;
    let stop = stop_flag()?;
    let style = ProgressStyle::with_template("{pos}/{len} files {bar:30} {msg} {elapsed}");
    let bar = ProgressBar::new(0).with_style(style.map_err(|e| Error::internal(e.to_string()))?);
    let (begun, received) = (Instant::now(), Mutex::new(0.0));
    let watch = {
        let bar = bar.clone();
        move |progress| match progress {
            ScoreProgress::Begins { files } => bar.set_length(files as u64),
            ScoreProgress::Scored { seconds } => {
                let Ok(mut received) = received.lock() else { return };
                *received += seconds;
                let speed = *received / begun.elapsed().as_secs_f64().max(1e-3);
                bar.set_message(format!("{:.2} h of sound, {speed:.0} × real time", *received / 3600.0));
            }
            ScoreProgress::Done => bar.inc(1),
        }
    };
    let older = std::fs::metadata(&job.out).is_ok_and(|found| found.is_file() && found.len() > 0);
    let special = job.inputs.iter().chain([&job.out]).chain(&job.frames).any(|path| is_special(path));
    let (work, stopped) = (job.clone(), Arc::clone(&stop));
    let summary = until_stopped(&stop, special, move || score(&work, (&manifest, cpc), &stopped, &watch));
    bar.finish_and_clear();
    let summary = summary?;
    if summary.stopped && special {
        return Err(stopped_at_a_pipe());
    }
    tell(&summary, &job, older)
}

/// Says what became of the recordings; `older` where the file of events was there before.
fn tell(summary: &Summary, job: &ScoreJob, older: bool) -> Result<()> {
    for skipped in &summary.skipped {
        let (file, reason) = (skipped.file.display().to_string(), &skipped.reason);
        // most reasons of a reader name the file already
        let name = if reason.contains(&file) { String::new() } else { format!("{file}: ") };
        // stderr may be closed
        drop(writeln!(std::io::stderr(), "left out: {name}{reason}"));
    }
    if let Some(first) = summary.others.first() {
        let (count, first) = (summary.others.len(), first.display());
        drop(writeln!(
            std::io::stderr(),
            "passed over: {} in folders not named as audio ({first}{})",
            counted(count, "file"),
            if count == 1 { "" } else { ", …" }
        ));
    }
    let mut out = stdout();
    let (scored, files) = (summary.scored, summary.files);
    if summary.stopped {
        return out.prose(format_args!(
            "asked to stop: {scored} of {files} files are scored, nothing is written yet; the same command goes on"
        ));
    }
    if scored == 0 {
        let given = if job.calibrate_across { "folders" } else { "files" };
        return Err(Error::device(
            format!("none of the {given} could be scored, and nothing was written"),
            fix(&summary.skipped, job.calibrate_across, least_taught_s(&job.detect)),
        ));
    }
    let earlier = match summary.earlier {
        0 => String::new(),
        n => format!(" ({n} of them before)"),
    };
    out.prose(format_args!(
        "wrote {}{}: {} in {:.2} h of sound from {}{earlier}, {} left out, {:.0} × real time",
        job.out.display(),
        if older { " over an older one" } else { "" },
        counted(summary.events, "event"),
        summary.seconds / 3600.0,
        counted(scored, "file"),
        summary.skipped.len(),
        summary.seconds_now / summary.took.as_secs_f64().max(1e-3)
    ))
}

/// What to do where none could be scored, by what is wrong with them. `least_s` are the fewest seconds of a file that teaches where
/// a folder is learnt as one.
fn fix(skipped: &[Skipped], across: bool, least_s: f64) -> String {
    let longest = skipped.iter().filter_map(|skipped| skipped.short_s).max_by(f64::total_cmp);
    match longest {
        None => "check the path: it must lead to recordings that can be read, or to a folder of them".to_owned(),
        Some(longest) if longest < least_s => {
            format!("join the files, or record longer ones: {least_s} s are the least from which anything can be learnt")
        }
        Some(_) if across => {
            "give folders with more sound, or a smaller `--calibrate-seconds` (10 or more); the lines above say what is missing".to_owned()
        }
        Some(_) => format!(
            "give audio files that are longer than `--calibrate-seconds`, or learn over the short files of a folder ({least_s} s or \
             more each) with `--calibrate-across`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_is_that_of_the_cause() {
        let of = |short_s| Skipped { file: "a.wav".into(), reason: "it is bad".into(), short_s };
        assert!(fix(&[], false, 2.5).contains("check the path"));
        for across in [false, true] {
            assert!(fix(&[of(None)], across, 2.5).contains("check the path"));
            let short = fix(&[of(Some(2.0)), of(None)], across, 2.5);
            assert!(short.contains("join the files") && short.contains("2.5 s"), "{short}");
            let longer = fix(&[of(Some(2.0)), of(Some(20.0))], across, 2.5);
            assert_eq!(longer.contains("--calibrate-across"), !across, "{longer}");
            assert!(longer.contains("--calibrate-seconds"), "{longer}");
        }
    }
}
