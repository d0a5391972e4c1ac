//! The model: whether it loads, and whether this machine is fast enough for it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::args::open_model;
use super::finding::{DoctorReport, Finding};
use super::settings::streams;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{Cpc, LiveBatch, Stepping};
use crate::runtime::{Capacity, Engine};
use crate::units::{HOP, MODEL_RATE, counted};

const CHECK: &str = "model";
const SPEED: &str = "speed";
/// Steps that are measured: a second.
const STEPS: usize = 100;
/// Steps before, in which caches fill.
const WARM: usize = 10;
/// Streams that are measured, at most.
const MOST: usize = 4096;
/// Loads it and steps it for a second; gives it where that went well.
pub(super) fn check(config: &Config, report: &mut DoctorReport) -> Result<Option<Arc<Cpc>>> {
    let (manifest, cpc) = match open_model(config.model.file()) {
        Ok(opened) => opened,
        Err(error) => {
            report.add(Finding::fail(CHECK, &error))?;
            return Ok(None);
        }
    };
    let from = config.model.file().map_or_else(|| "built in".to_owned(), |file| file.display().to_string());
    let name = format!("{} ({}), {from}", manifest.name, manifest.short_hash());
    report.add(Finding::ok(CHECK, name))?;
    let count = streams(config).clamp(1, MOST);
    let measured = || -> Result<(Times, usize)> {
        let times = time(&cpc, config.model.stepping().on_processor(), (count, config.model.hop_batch))?;
        let stepping = config.model.stepping().on_processor().by_one_thread().measured(&cpc)?;
        let engine = Engine::stepped(Arc::clone(&cpc), &manifest, config.detect.clone(), stepping)?;
        let capacity = Capacity::measure(&engine, config.model.threads())?;
        Ok((times, capacity.map_or(usize::MAX, |capacity| capacity.streams())))
    };
    match measured() {
        Ok((times, most)) => {
            report.add(judge(times, count, most))?;
            Ok(Some(cpc))
        }
        Err(error) => {
            report.add(Finding::fail(SPEED, &error.context("the model cannot be stepped")))?;
            Ok(None)
        }
    }
}

/// How long hops take, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The fastest tenth: what the machine can do where nothing else is in the way.
    quick: f64,
    median: f64,
    /// The slowest but one of [`STEPS`].
    slow: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms, 1 of 100 {:.2} ms or more", self.median, self.slow)
    }
}

/// Times of [`STEPS`] steps of noise by `each` hops of `count` streams, shared by those hops.
pub(super) fn time(cpc: &Arc<Cpc>, stepping: Stepping, (count, each): (usize, usize)) -> Result<Times> {
    let mut batch = LiveBatch::with(Arc::clone(cpc), stepping)?;
    let slots = (0..count).map(|_| Ok(batch.join(0)? as u32)).collect::<Result<Vec<_>>>()?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let sound: Vec<f32> = (0..count * each * HOP).map(|_| rng.random_range(-0.1..0.1)).collect();
    let mut times = Vec::with_capacity(STEPS);
    for step in 0..WARM + STEPS {
        let began = Instant::now();
        batch.step_rows(&slots, &sound)?;
        if step >= WARM {
            times.push(1e3 * began.elapsed().as_secs_f64() / each as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
    Ok(Times { quick: at(STEPS / 10), median: at(STEPS / 2), slow: at(STEPS - 2) })
}

/// A finding about `count` streams, of which this machine carries `most` with their detectors.
fn judge(times: Times, count: usize, most: usize) -> Finding {
    let hop_ms = 1e3 * HOP as f64 / f64::from(MODEL_RATE);
    let text = format!("a hop of {} may take {hop_ms:.0} ms and takes {times}", counted(count, "stream"));
    let fewer = "fewer streams, precision = \"auto\" and more threads in [model] make it faster";
    if times.quick > hop_ms {
        return Finding::fail(SPEED, &Error::model(format!("{text}: this machine is too slow"), fewer));
    }
    if times.median > hop_ms / 2.0 || times.slow > hop_ms {
        return Finding::warn(
            SPEED,
            format!("{text}: little is left for the rest, or the machine is busy now"),
            fewer,
        );
    }
    let text = format!("{text}; with all the rest this machine analyses about {}", counted(most, "stream"));
    if count > most {
        return Finding::warn(
            SPEED,
            format!(
                "{text}, and {count} are configured: with max_streams = \"auto\" the last of them are refused"
            ),
            format!("`cpc-stream bench --pipeline --streams {count}` measures all of it; {fewer}"),
        );
    }
    Finding::ok(SPEED, text)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn ten_milliseconds_are_all_there_is() {
        let of = |quick: f64, median: f64, slow: f64| judge(Times { quick, median, slow }, 4, 100).level;
        assert_eq!(of(0.3, 0.4, 0.9), Level::Ok);
        assert_eq!(of(5.0, 6.0, 7.0), Level::Warn);
        assert_eq!(of(0.5, 1.0, 12.0), Level::Warn);
        // a machine that is busy for a moment is not too slow
        assert_eq!(of(0.5, 11.0, 30.0), Level::Warn);
        assert_eq!(of(10.5, 11.0, 12.0), Level::Fail(ErrorKind::Model));
        let of = |count| judge(Times { quick: 1.0, median: 2.0, slow: 3.0 }, count, 150);
        assert!(of(100).level == Level::Ok && of(100).text.contains("about 150 streams"));
        let many = of(200);
        assert!(many.text.contains("and 200 are configured") && many.fix.unwrap().contains("--streams 200"));
    }
}
