//! A moment of sound of each device.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};

use super::super::args::{Output, stdout};
use crate::capture::{CaptureConfig, Notice, SourceChange, SourceConfig, list_inputs, open};
use crate::error::{Error, Result};
use crate::ring::{Read, wait_any};
use crate::units::decibels;

/// How long a device may take until its first sample.
const PATIENCE: Duration = Duration::from_secs(3);
/// Level of a hiss that is no silence: a last bit of 16 that flickers.
const QUIET_DBFS: f64 = -90.0;

/// The fix of a failure that names none.
const NO_FIX: &str = "run `cpc-stream devices`; replug it";

/// Arguments of a probe.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ProbeArgs {
    /// Devices by the names that `devices` lists; all hardware if left out.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Seconds of sound from each.
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
}

/// The result of a probe.
#[derive(Debug, Default)]
pub(in crate::cli) struct Sound {
    /// Its form and what it is called.
    pub(in crate::cli) description: String,
    samples: u64,
    squares: f64,
    peak: f32,
    clipped: u64,
    lost: u64,
    xruns: u64,
    took: f64,
}

/// Captures from each device and prints a line about each.
///
/// # Errors
/// When `--seconds` is out of range, there is no device, or none gives sound.
pub(super) fn run(args: &ProbeArgs) -> Result<()> {
    if !(0.2..=60.0).contains(&args.seconds) {
        return Err(Error::config("--seconds must lie within 0.2..=60", "leave it out for 3 seconds"));
    }
    let mut names = args.names.clone();
    if names.is_empty() {
        names = list_inputs()?.into_iter().map(|input| input.id).filter(|id| id.starts_with("hw:")).collect();
    }
    if names.is_empty() {
        return Err(Error::device(
            "no capture device is here",
            "plug a microphone in; `cpc-stream devices` says more",
        ));
    }
    let (mut out, mut good, mut failures) = (stdout(), 0, Vec::new());
    for name in &names {
        match listen(name, args.seconds, &CaptureConfig::default()) {
            Ok(sound) => {
                good += usize::from(sound.level_dbfs() > QUIET_DBFS);
                show(&mut out, name, &sound)?;
            }
            Err(error) => {
                // of one device alone the failure tells it
                if names.len() > 1 {
                    out.prose(format_args!("{name}: {error} ({})", error.fix()))?;
                }
                failures.push((name.as_str(), error));
            }
        }
    }
    if good == 0 { Err(none_gives_sound(&names, failures)) } else { Ok(()) }
}

/// The failure where none of the devices called `names` gives sound, of which some could not be heard.
fn none_gives_sound(names: &[String], failures: Vec<(&str, Error)>) -> Error {
    let heard = failures.len() < names.len();
    match failures.into_iter().next().filter(|_| !heard) {
        Some((name, error)) if names.len() == 1 => {
            Error::device(format!("{name}: {error}"), error.fix().to_owned())
        }
        Some((name, error)) => Error::device(
            format!("none of {} devices gives sound; {name}: {error}", names.len()),
            error.fix().to_owned(),
        ),
        None => Error::device(
            match names {
                [name] => format!("{name} gives no sound"),
                _ => format!("none of {} devices gives sound", names.len()),
            },
            "unmute and turn up the microphone (`alsamixer -V capture`), or try another input",
        ),
    }
}

impl Sound {
    /// Mean level.
    pub(in crate::cli) fn level_dbfs(&self) -> f64 {
        decibels(self.squares / self.samples.max(1) as f64)
    }

    /// The result in words.
    fn verdict(&self) -> &'static str {
        self.complaint().unwrap_or("fine")
    }

    /// The fault, if there is one.
    pub(in crate::cli) fn complaint(&self) -> Option<&'static str> {
        let level = self.level_dbfs();
        if self.peak == 0.0 {
            Some("digital silence: muted, or nothing plugged in")
        } else if level <= QUIET_DBFS {
            Some("as good as silent: turn the capture level up")
        } else if self.clipped * 1000 > self.samples {
            Some("clips: turn the capture level down")
        } else if self.lost + self.xruns > 0 {
            Some("loses samples: the machine is busy, or the USB port is")
        } else {
            None
        }
    }
}

fn show(out: &mut Output, name: &str, sound: &Sound) -> Result<()> {
    let peak = 20.0 * f64::from(sound.peak).max(1e-6).log10();
    out.prose(format_args!("{name}: {}", sound.verdict()))?;
    out.prose(format_args!("  {}", sound.description))?;
    out.prose(format_args!(
        "  level {:.1} dBFS, peak {peak:.1} dBFS, {} samples clipped, {} lost; {:.0} samples a second",
        sound.level_dbfs(),
        sound.clipped,
        sound.lost,
        sound.samples as f64 / sound.took.max(1e-3)
    ))
}

/// Probes the device called `name` for so many seconds.
///
/// # Errors
/// When it is not there, cannot be opened or gives nothing.
pub(in crate::cli) fn listen(name: &str, seconds: f64, capture: &CaptureConfig) -> Result<Sound> {
    let capture = CaptureConfig { must_exist: true, ..capture.clone() };
    let source = SourceConfig { id: Some("probe".to_owned()), ..SourceConfig::from_device(name) };
    let (sender, notices) = unbounded();
    let mut source = open(&source, &capture, sender)?;
    let (mut sound, mut piece) = (Sound::default(), vec![0f32; 4096]);
    let (asked, mut began) = (Instant::now(), None::<Instant>);
    loop {
        let Some(feed) = source.feeds.first_mut() else {
            return Err(Error::internal("a source without a stream"));
        };
        match feed.reader.read(&mut piece) {
            Read::Samples(count) => {
                // the first piece fills the buffers: it says nothing of the rate
                if began.is_some() {
                    sound.take(piece.get(..count).unwrap_or_default());
                }
                began.get_or_insert_with(Instant::now);
            }
            Read::Gap { lost } => sound.lost += lost,
            Read::Rate(_) => {}
            Read::Closed => return Err(Error::device("it ended", "try again")),
            Read::Empty => {
                let _ = wait_any([&feed.reader], Duration::from_millis(20));
            }
        }
        heed(&notices, &mut sound)?;
        match began {
            Some(began) if began.elapsed().as_secs_f64() >= seconds => {
                sound.took = began.elapsed().as_secs_f64();
                sound.xruns = source.counters.xruns();
                return Ok(sound);
            }
            None if asked.elapsed() > PATIENCE => {
                return Err(Error::device(
                    format!("it gave no sample in {} s", PATIENCE.as_secs()),
                    "replug it, or try it as plughw: instead of hw:",
                ));
            }
            _ => {}
        }
    }
}

impl Sound {
    fn take(&mut self, samples: &[f32]) {
        self.samples += samples.len() as u64;
        for x in samples {
            self.squares += f64::from(x * x);
            self.peak = self.peak.max(x.abs());
            self.clipped += u64::from(x.abs() >= 0.9999);
        }
    }
}

fn heed(notices: &Receiver<Notice>, sound: &mut Sound) -> Result<()> {
    for notice in notices.try_iter() {
        match notice.change {
            SourceChange::Online { description } => sound.description = description,
            SourceChange::Offline { reason } => return Err(Error::of_notice(&reason, NO_FIX)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_is_that_of_the_cause() {
        let names = ["hw:7", "hw:8"].map(str::to_owned);
        let away = || Error::device("it is not there", "plug it in");
        let error = none_gives_sound(&names[..1], vec![("hw:7", away())]);
        assert_eq!((error.to_string().as_str(), error.fix()), ("hw:7: it is not there", "plug it in"));
        let error = none_gives_sound(&names, vec![("hw:7", away()), ("hw:8", away())]);
        assert!(error.to_string().starts_with("none of 2 devices gives sound; hw:7: it is not"), "{error}");
        assert_eq!(error.fix(), "plug it in");
        let error = none_gives_sound(&names, vec![("hw:7", away())]);
        assert!(error.fix().contains("unmute"), "one of the two was heard, and is silent: {}", error.fix());
    }

    #[test]
    fn the_input_level_is_described_in_words() {
        let mut sound = Sound::default();
        sound.take(&[0.0; 1000]);
        assert!(sound.verdict().contains("digital silence"));
        sound.take(&[1e-6; 1000]);
        assert!(sound.verdict().contains("turn the capture level up"));
        sound.take(&[0.1; 1000]);
        assert_eq!(sound.verdict(), "fine");
        sound.take(&[1.0; 10]);
        assert!(sound.verdict().contains("clips"));
        let lossy = Sound { samples: 10, squares: 1.0, peak: 0.3, lost: 5, ..Sound::default() };
        assert!(lossy.verdict().contains("loses samples"));
    }
}
