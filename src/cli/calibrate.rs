//! `calibrate`: learns what is normal here, shows it, keeps it for `run`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::unbounded;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Output, SetThreads, open_model, stdout, stop_flag, use_threads};
use super::run::RunArgs;
use crate::capture::{self, Change};
use crate::detect::{Calibration, Conformal, Detector, DetectorState, Tail};
use crate::error::{Error, Result};
use crate::ring::Read;
use crate::runtime::{CalibrationStore, Engine, Heard, Lane};

/// Budgets that are compared, events an hour.
const BUDGETS: [f64; 5] = [0.1, 0.5, 1.0, 4.0, 20.0];
const HISTOGRAM_ROWS: usize = 10;
const HISTOGRAM_WIDTH: usize = 40;

/// Learn what is normal from one source, for as long as `--calibrate-seconds` says.
#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Show it only, keep nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// When there is not exactly one source with one stream, or its sound ends before normal is known.
pub(super) fn run(args: &CalibrateArgs, set: SetThreads) -> Result<()> {
    let config = args.run.load()?.config;
    use_threads(config.model.threads, set)?;
    let mut sources = config.source.clone();
    capture::assign_ids(&mut sources)?;
    let [source] = sources.as_slice() else {
        return Err(Error::config(
            format!("{} sources are configured; calibrate listens to one", sources.len()),
            "name one with `--device NAME` or `--input FILE`",
        ));
    };
    let (manifest, cpc) = open_model(config.model.file())?;
    let mut engine = Engine::new(cpc, &manifest, config.detect.clone())?;
    let (notify, notices) = unbounded();
    let mut open = capture::open(source, &config.capture, notify)?;
    let mut feed = match open.feeds.len() {
        1 => open.feeds.remove(0),
        n => {
            return Err(Error::config(
                format!("the source has {n} streams; calibrate listens to one"),
                "name one channel with `--channel N`, or leave it out to mix all",
            ));
        }
    };
    let stop = stop_flag()?;
    let style = ProgressStyle::with_template("learning {bar:40} {percent}%  {msg}")
        .map_err(|e| Error::internal(e.to_string()))?;
    let bar = ProgressBar::new(100).with_style(style);
    let (mut stream, mut piece) = (None, vec![0f32; 4096]);
    let learnt = loop {
        for notice in notices.try_iter() {
            match notice.change {
                Change::Online { description } => bar.set_message(description),
                Change::Offline { reason } => bar.set_message(format!("offline: {reason}")),
                Change::Xrun { .. } | Change::Ended { .. } => {}
            }
        }
        match (feed.reader.read(&mut piece), stream) {
            (Read::Rate(rate), None) => stream = Some(engine.add(&feed.id, rate, None)?),
            (Read::Rate(rate), Some(number)) => engine.gap(number, 0, rate, &mut |_| ())?,
            (Read::Gap { lost }, Some(number)) => {
                let rate = feed.reader.rate();
                engine.gap(number, lost, rate, &mut |_| ())?;
            }
            (Read::Samples(count), Some(number)) => {
                engine.feed(number, piece.get(..count).unwrap_or_default())?;
                let mut known = false;
                engine.run(&mut |heard| known |= matches!(heard, Heard::Calibrated { .. }))?;
                let detector = engine.lane(number).map(Lane::detector);
                if let Some(DetectorState::Calibrating { done }) = detector.map(Detector::state) {
                    bar.set_position((done * 100.0) as u64);
                }
                if known {
                    break detector.and_then(Detector::calibration).cloned();
                }
            }
            (Read::Empty, _) => {
                let _ = feed.reader.wait(Duration::from_millis(50));
            }
            (Read::Closed, _) => break None,
            (Read::Samples(_) | Read::Gap { .. }, None) => {}
        }
        if stop.load(Ordering::Relaxed) {
            break None;
        }
    };
    bar.finish_and_clear();
    let Some(calibration) = learnt else {
        return Err(Error::device(
            format!("the sound ended before {:.0} s of it were heard", config.detect.calibrate_seconds),
            "give more sound, or a smaller `--calibrate-seconds` (10 or more)",
        ));
    };
    let mut out = stdout();
    show(&calibration, config.detect.events_per_hour, &mut out)?;
    if !args.dry_run && source.device.is_some() {
        let kept = CalibrationStore::new(&config.state_folder()?).save(&feed.id, &calibration.into())?;
        out.line(format_args!("kept in {}; `run` on this device watches at once", kept.display()))?;
    }
    Ok(())
}

fn show(calibration: &Calibration, budget: f64, out: &mut Output) -> Result<()> {
    out.line(format_args!(
        "normal, learnt from {:.0} s of sound at {:.1} dBFS (calibration {})",
        calibration.seconds(),
        calibration.background_dbfs(),
        calibration.id()
    ))?;
    for (name, tail) in [("surprise", calibration.surprise().1), ("novelty", calibration.novelty().1)] {
        out.line(format_args!("\n{name}: highest value of each second"))?;
        histogram(tail, budget, out)?;
    }
    out.line(format_args!(
        "\n{:>14} {:>10} {:>10} {:>24}  {}",
        "events an hour", "surprise >", "novelty >", "seconds above, just now", "by"
    ))?;
    let (surprise, novelty) = (calibration.surprise().1, calibration.novelty().1);
    // a rank among n seconds is valid whatever their law, but knows nothing rarer than once in n + 1 of them
    let lowest = |tail: &Tail| Ok(Conformal::new(tail.maxima().to_vec())?.lowest_rate_per_hour());
    let lowest: Result<f64> = lowest(surprise).and_then(|s: f64| Ok(s.max(lowest(novelty)?)));
    let lowest = 2.0 * lowest?;
    for budget in BUDGETS {
        // each score has half of the budget
        let q = budget / 3600.0 / 2.0;
        let (s, n) = (surprise.quantile(q), novelty.quantile(q));
        let above = |tail: &Tail, z: f64| tail.maxima().iter().filter(|&&m| m > z).count();
        out.line(format_args!(
            "{budget:>14} {s:>10.2} {n:>10.2} {:>24}  {}",
            above(surprise, s) + above(novelty, n),
            if budget < lowest { "extrapolated tail" } else { "rank among what was heard" }
        ))?;
    }
    out.line(format_args!(
        "\nBelow {lowest:.1} events an hour nothing as rare was heard: there the tail is extrapolated, until hours of \
         watching have taught it."
    ))?;
    Ok(())
}

fn histogram(tail: &Tail, budget: f64, out: &mut Output) -> Result<()> {
    let maxima = tail.maxima();
    let (Some(&low), Some(&high)) = (maxima.first(), maxima.last()) else { return Ok(()) };
    let alarm = tail.quantile(budget / 3600.0 / 2.0);
    let width = ((high.max(alarm) - low) / HISTOGRAM_ROWS as f64).max(f64::MIN_POSITIVE);
    let count = |from: f64| maxima.iter().filter(|&&m| m >= from && m < from + width).count();
    let most = (0..=HISTOGRAM_ROWS).map(|row| count(low + row as f64 * width)).max().unwrap_or(1).max(1);
    for row in 0..=HISTOGRAM_ROWS {
        let from = low + row as f64 * width;
        let bar = "█".repeat((count(from) * HISTOGRAM_WIDTH).div_ceil(most));
        let note = if (from..from + width).contains(&alarm) { "◀ alarm" } else { "" };
        out.line(format_args!("{from:>9.2} {bar} {note}"))?;
    }
    Ok(())
}
