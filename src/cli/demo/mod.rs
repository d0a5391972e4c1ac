//! `demo`: no hardware, no broker, no file. A bundled scene runs through the real pipeline.

mod chart;
mod scene;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use scene::{Planted, Scene};

use self::chart::Chart;
use super::args::{Output, SetThreads, open_model, stdout, stop_flag, use_threads};
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::event::{Finding, Phase};
use crate::output_file::write_whole;
use crate::runtime::{Engine, Heard};
use crate::units::{HOP, MODEL_RATE};

/// Seconds of the machine alone, on which the demo calibrates (the first second settles).
const QUIET_S: f64 = 61.0;
const SPACING_S: f64 = 14.0;

/// Hear a bundled scene: a running machine and six sounds that do not belong there.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many times faster than real time the scene is played; 1 is real time.
    #[arg(long, default_value_t = 4.0)]
    speed: f64,
    /// Seed of the scene.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Write the scene to this WAV file, to listen to, and end.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// False alarms an hour that are put up with.
    #[arg(long, default_value_t = 1.0)]
    events_per_hour: f64,
}

/// What the demo remembers of an event.
struct Event {
    /// When it was confirmed, seconds of sound.
    decided_s: f64,
    finding: Finding,
}

/// Plays it and shows what was planted and what was heard.
///
/// # Errors
/// When the model cannot be read or stdout cannot be written.
pub(super) fn run(args: &DemoArgs, set: SetThreads) -> Result<()> {
    use_threads(1, set)?;
    let mut out = stdout();
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let scene = Scene::machine_room(QUIET_S, SPACING_S, args.seed)?;
    if let Some(path) = &args.save {
        return save(&scene, path, &mut out);
    }
    let detect = DetectConfig {
        events_per_hour: args.events_per_hour,
        calibrate_seconds: QUIET_S - 1.0,
        ..DetectConfig::default()
    };
    out.line(format_args!(
        "A machine runs for {QUIET_S:.0} s; then {} sounds that do not belong there are planted. Model {} ({}), no \
         labels: the first minute is all it learns of this room. Budget {} false alarms an hour.",
        scene.planted.len(),
        manifest.name,
        manifest.short_hash(),
        args.events_per_hour
    ))?;
    out.line(format_args!("score = -log10 p, one sign a second: {}\n", chart::LEGEND))?;
    let mut engine = Engine::new(cpc, &manifest, detect)?;
    let stream = engine.add("demo", MODEL_RATE, None)?;
    let stop = stop_flag()?;
    let mut chart = Chart::new(&scene.planted);
    let (mut found, started) = (Vec::new(), Instant::now());
    for piece in scene.samples.chunks(10 * HOP) {
        engine.feed(stream, piece)?;
        let mut heard = Vec::new();
        engine.run(&mut |h| heard.push(h))?;
        for item in heard {
            show(item, &mut chart, &mut found, &mut out)?;
        }
        let audio = chart.seconds();
        let due = Duration::from_secs_f64(audio / args.speed.clamp(0.1, 1e6));
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
    }
    let mut rest = Vec::new();
    engine.end(stream, &mut |h| rest.push(h))?;
    for item in rest {
        show(item, &mut chart, &mut found, &mut out)?;
    }
    chart.finish(&mut out)?;
    summary(&scene, &found, chart.seconds(), &mut out)?;
    let times = engine.hop_times().percentiles();
    out.line(format_args!(
        "\nA hop of 10 ms took {:.2} ms (p50), {:.2} ms (p99) of one core.",
        times.p50 / 1e3,
        times.p99 / 1e3
    ))?;
    out.line(format_args!(
        "Now with your microphone: `cpc-stream devices`, then `cpc-stream --device hw:0 --calibrate-seconds 60`."
    ))
}

fn save(scene: &Scene, path: &Path, out: &mut Output) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: MODEL_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = Cursor::new(Vec::new());
    let mut write = || -> hound::Result<()> {
        let mut file = hound::WavWriter::new(&mut wav, spec)?;
        for sample in &scene.samples {
            file.write_sample((sample * 32767.0).round() as i16)?;
        }
        file.finalize()
    };
    write().map_err(|e| Error::internal(format!("the scene has no form as WAV: {e}")))?;
    write_whole(path, wav.get_ref()).map_err(|e| {
        Error::config(format!("cannot write {}: {e}", path.display()), "check the folder and the free space")
    })?;
    for planted in &scene.planted {
        out.line(format_args!("{:7.2} s  {}", planted.onset_s, planted.name))?;
    }
    out.line(format_args!("wrote {} ({:.0} s)", path.display(), scene.seconds()))
}

fn show(heard: Heard, chart: &mut Chart, found: &mut Vec<Event>, out: &mut Output) -> Result<()> {
    match heard {
        Heard::Reading { reading, .. } => chart.frame(reading.score, out),
        Heard::Calibrated { .. }
        | Heard::Embedding { .. }
        | Heard::State { .. }
        | Heard::Strip { .. }
        | Heard::Excerpt { .. } => Ok(()),
        Heard::Finding { finding, .. } => {
            if finding.phase == Phase::New {
                chart.event(&finding);
                found.push(Event { decided_s: finding.emitted_s, finding: *finding });
            } else if let Some(event) = found.iter_mut().find(|e| e.finding.number == finding.number) {
                event.finding = *finding;
            }
            Ok(())
        }
    }
}

fn summary(scene: &Scene, found: &[Event], heard_s: f64, out: &mut Output) -> Result<()> {
    out.line(format_args!(
        "\n{:>8}  {:<16} {:>8} {:>8} {:>9}  by",
        "planted", "what", "heard", "score", "decided"
    ))?;
    let mut explained = vec![false; found.len()];
    let mut hits = 0;
    for planted in &scene.planted {
        let first = found.iter().find(|event| planted.explains(event.finding.onset_s));
        for (mark, event) in explained.iter_mut().zip(found) {
            *mark |= planted.explains(event.finding.onset_s);
        }
        match first {
            Some(Event { decided_s, finding: f }) => {
                hits += 1;
                let evidence = format!("{:?}", f.evidence).to_lowercase();
                let by = format!("{evidence}, {:+.0} dB over the room", f.level_dbfs - f.background_dbfs);
                let delay = decided_s - planted.onset_s;
                out.line(format_args!(
                    "{:>7.2}s  {:<16} {:>7.2}s {:>8.1} {:>6.0} ms  {by}",
                    planted.onset_s,
                    planted.name,
                    f.onset_s,
                    f.score,
                    delay.max(0.0) * 1e3
                ))?;
            }
            None => out.line(format_args!("{:>7.2}s  {:<16}   missed", planted.onset_s, planted.name))?,
        }
    }
    let wrong = explained.iter().filter(|&&e| !e).count();
    out.line(format_args!(
        "\nheard {hits} of {} planted sounds, {wrong} false alarms in {:.0} s after calibration",
        scene.planted.len(),
        heard_s - QUIET_S
    ))?;
    Ok(())
}
