//! `demo`: no hardware, no broker, no file. Two bundled scenes run through the real pipeline.

mod chart;
mod microphone;
mod press;
mod scene;
mod summary;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use scene::{Planted, Scene};

use self::chart::Chart;
use self::microphone::{Event, Microphone};
use super::args::{Output, SetThreads, open_model, stdout, stop_flag, use_threads};
use crate::config::told_by_flag;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::event::Phase;
use crate::output_file::write_whole;
use crate::runtime::{Engine, EngineOutput};
use crate::units::{HOP, MODEL_RATE, to_i16};

/// Seconds of the machines alone, on which the demo calibrates (the first second settles).
const QUIET_S: f64 = 61.0;
const SPACING_S: f64 = 14.0;

/// Hear two bundled scenes: a running machine and six sounds that do not belong there, and a press that goes wrong in six ways.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many times faster than real time the scenes are played; 1 is real time.
    #[arg(long, default_value_t = 4.0)]
    speed: f64,
    /// Seed of the scenes.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Write the scenes to this WAV file, to listen to, and end: the room on the left, the press on the right.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// False alarms an hour that are put up with.
    #[arg(long, default_value_t = 1.0)]
    events_per_hour: f64,
}

/// Plays the scenes and shows the planted sounds and the events found.
///
/// # Errors
/// When the model cannot be read or stdout cannot be written.
pub(super) fn run(args: &DemoArgs, set: SetThreads) -> Result<()> {
    use_threads(1, set)?;
    let mut out = stdout();
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let room = Scene::machine_room(QUIET_S, SPACING_S, args.seed)?;
    let press = Scene::press(QUIET_S, SPACING_S, args.seed);
    if let Some(path) = &args.save {
        return save([&room, &press], path, &mut out);
    }
    let detect = DetectConfig {
        events_per_hour: args.events_per_hour,
        calibrate_seconds: QUIET_S - 1.0,
        ..DetectConfig::default()
    };
    detect.validate().map_err(told_by_flag)?;
    out.prose(format_args!(
        "Two microphones hear machines run for {QUIET_S:.0} s; then {} sounds that do not belong there are planted in the room, \
         and the press goes wrong in {} ways. Model {} ({}), no labels: the first minute is all it learns of these places. \
         Budget {} an hour each.",
        room.planted.len(),
        press.planted.len(),
        manifest.name,
        manifest.short_hash(),
        false_alarms(args.events_per_hour)
    ))?;
    out.prose(format_args!("score = -log10 p, one sign a second: {}\n", chart::LEGEND))?;
    let mut engine = Engine::new(cpc, &manifest, detect)?;
    let mut microphones = Vec::new();
    for (name, scene) in [("room", &room), ("press", &press)] {
        let (stream, chart) = (engine.add(name, MODEL_RATE, None)?, Chart::new(name, &scene.planted));
        microphones.push(Microphone { scene, stream, chart, found: Vec::new() });
    }
    let heard_s = play(&mut engine, &mut microphones, args.speed, &mut out)?;
    if let [room, press] = &microphones[..] {
        summary::show(room, press, heard_s - QUIET_S, &mut out)?;
    }
    let times = engine.hop_times().percentiles();
    out.prose(format_args!(
        "\nA hop of 10 ms of both took {:.2} ms (p50), {:.2} ms (p99) of one core.",
        times.p50 / 1e3,
        times.p99 / 1e3
    ))?;
    out.prose(format_args!(
        "Now with your microphone: `cpc-stream devices`, then `cpc-stream --device hw:0`; it learns for 5 minutes what is normal."
    ))
}

/// `1 false alarm`, `0.5 false alarms`.
fn false_alarms(count: f64) -> String {
    format!("{count} false alarm{}", if count == 1.0 { "" } else { "s" })
}

/// Plays all scenes at the same time and draws the scores; returns the seconds of sound.
fn play(
    engine: &mut Engine,
    microphones: &mut [Microphone<'_>],
    speed: f64,
    out: &mut Output,
) -> Result<f64> {
    let (stop, started) = (stop_flag()?, Instant::now());
    let length = microphones.iter().map(|it| it.scene.samples.len()).min().unwrap_or(0);
    let mut played = 0;
    while played < length && !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let piece = played..(played + 10 * HOP).min(length);
        played = piece.end;
        for microphone in &*microphones {
            let samples = microphone.scene.samples.get(piece.clone()).unwrap_or_default();
            engine.feed(microphone.stream, samples)?;
        }
        let mut received = Vec::new();
        engine.run(&mut |h| received.push(h))?;
        received.into_iter().for_each(|item| take(item, microphones));
        draw(microphones, false, out)?;
        let audio_s = played as f64 / f64::from(MODEL_RATE);
        let due = Duration::from_secs_f64(audio_s / speed.clamp(0.1, 1e6));
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
    let mut rest = Vec::new();
    for microphone in &*microphones {
        engine.end(microphone.stream, &mut |h| rest.push(h))?;
    }
    rest.into_iter().for_each(|item| take(item, microphones));
    microphones.iter_mut().for_each(|microphone| microphone.chart.finish());
    draw(microphones, true, out)?;
    Ok(played as f64 / f64::from(MODEL_RATE))
}

fn take(received: EngineOutput, microphones: &mut [Microphone<'_>]) {
    let number = received.stream();
    let Some(of) = microphones.iter_mut().find(|microphone| microphone.stream == number) else { return };
    match received {
        EngineOutput::Reading { reading, .. } => of.chart.frame(reading.score),
        EngineOutput::Finding { finding, .. } if finding.phase == Phase::New => {
            of.chart.event(&finding);
            of.found.push(Event { decided_s: finding.emitted_s, finding: *finding });
        }
        EngineOutput::Finding { finding, .. } => {
            if let Some(event) = of.found.iter_mut().find(|e| e.finding.number == finding.number) {
                event.finding = *finding;
            }
        }
        _ => {}
    }
}

/// The first row grows as it is played; the others follow once it is complete.
fn draw(microphones: &mut [Microphone<'_>], over: bool, out: &mut Output) -> Result<()> {
    let Some((first, others)) = microphones.split_first_mut() else { return Ok(()) };
    out.text(format_args!("{}", first.chart.takes_text()))?;
    if over || first.chart.is_between_rows() {
        for other in others {
            out.text(format_args!("{}", other.chart.takes_text()))?;
        }
    }
    Ok(())
}

fn save(scenes: [&Scene; 2], path: &Path, out: &mut Output) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: MODEL_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let [left, right] = scenes.map(|scene| &scene.samples);
    let mut wav = Cursor::new(Vec::new());
    let mut write = || -> hound::Result<()> {
        let mut file = hound::WavWriter::new(&mut wav, spec)?;
        for sample in left.iter().zip(right).flat_map(|(left, right)| [left, right]) {
            file.write_sample(to_i16(*sample))?;
        }
        file.finalize()
    };
    write().map_err(|e| Error::internal(format!("the scene has no form as WAV: {e}")))?;
    write_whole(path, wav.get_ref()).map_err(|e| {
        Error::config(format!("cannot write {}: {e}", path.display()), "check the folder and the free space")
    })?;
    for (side, scene) in ["left", "right"].iter().zip(scenes) {
        for planted in &scene.planted {
            out.line(format_args!("{:7.2} s  {side:<5}  {}", planted.onset_s, planted.name))?;
        }
    }
    out.line(format_args!("wrote {} ({:.0} s)", path.display(), scenes[0].seconds()))
}
