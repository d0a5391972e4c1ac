//! `calibrate`: learns what is normal here, shows it, keeps it for `run`.

mod show;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::unbounded;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{SetThreads, open_model, stdout, stop_flag, use_threads};
use super::run::RunArgs;
use crate::capture::{self, Change};
use crate::detect::{Detector, DetectorState};
use crate::error::{Error, Result};
use crate::ring::Read;
use crate::runtime::{CalibrationStore, Engine, Heard, Lane};

/// Learn what is normal from one source, for as long as `--calibrate-seconds` says.
#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Draw histogram, tail and thresholds into this file (SVG).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
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
                Change::WrongRate { nominal, measured } => {
                    tracing::warn!(
                        "{}: it says {nominal} Hz and gives {measured}; it is taken at that",
                        notice.source
                    );
                }
                Change::RateOff { nominal, measured } => {
                    tracing::warn!(
                        "{}: {measured} samples a second come where {nominal} are configured; set its `pcm`",
                        notice.source
                    );
                }
                Change::Online { description } => bar.set_message(description),
                Change::Offline { reason } => bar.set_message(format!("offline: {reason}")),
                Change::Elsewhere { .. } | Change::Xrun { .. } | Change::Ended { .. } => {}
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
    show::show(&calibration, engine.instrument(), config.detect.events_per_hour, &mut out)?;
    if let Some(path) = &args.plot {
        let svg = show::picture(&calibration, engine.instrument())?;
        std::fs::write(path, svg).map_err(|e| {
            Error::config(
                format!("cannot write {}: {e}", path.display()),
                "check the folder and its permissions",
            )
        })?;
        out.line(format_args!("drawn in {}", path.display()))?;
    }
    if !args.dry_run && source.device.is_some() {
        let kept = CalibrationStore::new(&config.state_folder()?).save(&feed.id, &calibration.into())?;
        out.line(format_args!("kept in {}; `run` on this device watches at once", kept.display()))?;
    }
    Ok(())
}
