//! `eval soak`: whether contexts stay bounded over hours of sound.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::{SetThreads, open_model, stdout, stop_flag, use_threads};
use crate::cli::demo::Scene;
use crate::corpus::{SoundFile, sound_files};
use crate::error::{Error, Result};
use crate::eval::soak::{SoakReport, SoakRow, TOLERANCE, soak};
use crate::units::seconds_to_samples;

/// Stream sound through the model hop by hop, faster than real time, and compare |c_t| and max |c_t,i| over the same
/// 10 s at the start, every 10 minutes and at the end. Exit code 4 where a quantile changed by more than 10 %.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SoakArgs {
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Seconds of sound, 40 or more.
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
    /// Recording, or folder of recordings, to stream one after the other, again and again; their first 20 s are what is
    /// heard again. Without it: a running machine with sounds planted.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Seed of the machine and its sounds.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// A model error where contexts did not stay bounded; when the model or the data is not what it should be.
pub(super) fn run(args: &SoakArgs, set: SetThreads) -> Result<()> {
    use_threads(1, set)?;
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let mut scenes = Scenes { seed: args.seed };
    let mut files = args.data.as_deref().map(Files::open).transpose()?;
    let mut out = stdout();
    if !args.json {
        out.line(format_args!(
            "model {} ({}), {} s of {}; quantiles of 10 s of the same sound",
            manifest.name,
            manifest.short_hash(),
            args.seconds,
            args.data.as_ref().map_or_else(|| "a machine".to_owned(), |data| data.display().to_string())
        ))?;
        out.line(format_args!("{:>8}   |c_t| {:>30}   max |c_t,i|", "", ""))?;
        let names = format_args!("{:>8} {:>8} {:>8} {:>8}", "p10", "p50", "p90", "max").to_string();
        out.line(format_args!("{:>8} {names}  {names}", "from s"))?;
    }
    let stop = stop_flag()?;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s of sound, eta {eta}");
    let bar = ProgressBar::new(args.seconds as u64);
    bar.set_style(style.map_err(|e| Error::internal(e.to_string()))?);
    let mut failed = None;
    let report = soak(
        &cpc,
        args.seconds,
        &mut |samples| match &mut files {
            Some(files) => files.more(samples),
            None => scenes.more(samples),
        },
        &mut |seconds, row| {
            bar.set_position(seconds as u64);
            if let Some(row) = row.filter(|_| !args.json) {
                failed = bar.suspend(|| out.line(format_args!("{}", line(row)))).err();
            }
            failed.is_none() && !stop.load(Ordering::Relaxed)
        },
    )?;
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }
    let mut out = stdout();
    let Some(report) = report else {
        return out.line(format_args!("asked to stop: no verdict"));
    };
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| Error::internal(e.to_string()))?;
        out.line(format_args!("{text}"))?;
    } else {
        out.line(format_args!(
            "largest of all frames: |c_t| {:.4}, |c_t,i| {:.4}",
            report.norm_max, report.peak_max
        ))?;
    }
    verdict(&report)?;
    if args.json { Ok(()) } else { out.line(format_args!("bounded: {}", reported(&report))) }
}

fn line(row: &SoakRow) -> String {
    let figures = |all: [f64; 4]| all.map(|x| format!("{x:>8.4}")).join(" ");
    format!("{:>8.0} {}  {}", row.at_s, figures(row.norm.all()), figures(row.peak.all()))
}

fn reported(report: &SoakReport) -> String {
    format!(
        "from the first hearing to the last, {:.0} s of sound, a quantile changed by at most {:.1} % ({:.0} % allowed)",
        report.seconds,
        100.0 * report.change,
        100.0 * TOLERANCE
    )
}

fn verdict(report: &SoakReport) -> Result<()> {
    if report.bounded {
        return Ok(());
    }
    Err(Error::model(
        format!("contexts drift: {}", reported(report)),
        "train with contexts carried over between windows (reset_probability in the file of --config)",
    ))
}

/// The machine of the demo, another lap of it each time.
struct Scenes {
    seed: u64,
}

impl Scenes {
    fn more(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        // sounds from the start, so that the passage has some
        let scene = Scene::machine_room(/* quiet_s */ 4.0, /* spacing_s */ 8.0, self.seed)?;
        self.seed = self.seed.wrapping_add(1);
        samples.extend_from_slice(&scene.samples);
        Ok(())
    }
}

/// Recordings one after the other, again and again.
struct Files {
    files: Vec<PathBuf>,
    next: usize,
    open: Option<SoundFile>,
    /// Samples since the first file was opened last.
    lap: usize,
    /// The first lap tells what cannot be read, and how much there is.
    first_lap: bool,
}

impl Files {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self { files: sound_files(path)?.files, next: 0, open: None, lap: 0, first_lap: true })
    }

    fn more(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        let before = samples.len();
        while samples.len() == before {
            let read = match &mut self.open {
                Some(sound) => sound.read(samples),
                None => self.following().map(|sound| {
                    self.open = Some(sound);
                    true
                }),
            };
            match read {
                Ok(true) => {}
                Ok(false) => self.open = None,
                Err(error) if error.kind() == crate::error::ErrorKind::Device => {
                    self.open = None;
                    if self.first_lap {
                        tracing::warn!("left out: {error}");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.lap += samples.len() - before;
        Ok(())
    }

    fn following(&mut self) -> Result<SoundFile> {
        if self.next == self.files.len() {
            let least = seconds_to_samples(20.0) as usize;
            if self.lap < least {
                return Err(Error::config(
                    format!("the recordings hold {:.1} s of sound, 20 s needed", self.lap as f64 / 16_000.0),
                    "give more recordings, or longer ones",
                ));
            }
            (self.next, self.lap, self.first_lap) = (0, 0, false);
        }
        self.next += 1;
        self.files
            .get(self.next - 1)
            .map_or_else(|| Err(Error::internal("no recording to go on with")), |path| SoundFile::open(path))
    }
}
