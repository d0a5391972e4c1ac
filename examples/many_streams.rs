//! Many microphones on all cores: `cargo run --release --example many_streams -- [STREAMS] [SECONDS]`.
//!
//! Each thread has a listener with its share of the streams; one stream gets a beep that was never there before.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::thread;

use cpc_stream::{Listener, Model, Output, Phase, Settings};

const RATE: u32 = 16_000;
const CALIBRATION_S: u32 = 20;

/// Sound of microphone `number` at sample `i`: a hum in noise, with a beep 5 s before the end of the third one.
fn sample(number: u32, i: u32, seconds: u32) -> f32 {
    let hash =
        (i ^ number.rotate_left(16)).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B);
    let noise = hash as f32 / u32::MAX as f32 - 0.5;
    let wave = |hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / RATE as f32).sin();
    let beep = number == 2 && (seconds - 5) * RATE <= i && i < (seconds - 5) * RATE + RATE / 4;
    0.02 * wave(100.0 + 7.0 * number as f32) + 0.02 * noise + if beep { 0.1 * wave(3000.0) } else { 0.0 }
}

fn listen(model: &Model, microphones: &[u32], seconds: u32) -> cpc_stream::Result<Vec<String>> {
    let settings = Settings::default().calibrate_seconds(f64::from(CALIBRATION_S)).without_frames();
    let mut listener = Listener::new(model, &settings)?;
    let streams =
        microphones.iter().map(|_| listener.add_stream(RATE)).collect::<cpc_stream::Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    // 50 ms of every microphone at a time
    for start in (0..seconds * RATE).step_by(RATE as usize / 20) {
        for (&stream, &number) in streams.iter().zip(microphones) {
            let piece: Vec<f32> = (start..start + RATE / 20).map(|i| sample(number, i, seconds)).collect();
            listener.push(stream, &piece)?;
        }
        for output in listener.step()? {
            let Output::Finding { stream, finding } = output else { continue };
            let place = streams.iter().position(|other| *other == stream).unwrap_or_default();
            if finding.phase == Phase::New {
                let number = microphones.get(place).copied().unwrap_or_default();
                lines.push(format!("microphone {number}: {:.2} s {}", finding.onset_s, finding.summary));
            }
        }
    }
    Ok(lines)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let count = arguments.next().unwrap_or(Ok(8))?.max(3);
    let seconds = arguments.next().unwrap_or(Ok(40))?.max(CALIBRATION_S + 10);
    let model = Model::built_in()?;
    let cores = thread::available_parallelism()?.get() as u32;
    let lines = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let (model, mine) =
                    (model.clone(), (0..count).filter(|n| n % cores == core).collect::<Vec<_>>());
                scope.spawn(move || listen(&model, &mine, seconds))
            })
            .collect();
        threads.into_iter().flat_map(thread::ScopedJoinHandle::join).collect::<cpc_stream::Result<Vec<_>>>()
    })?;
    lines.iter().flatten().for_each(|line| println!("{line}"));
    println!("{count} microphones, {seconds} s each, {} events", lines.iter().flatten().count());
    Ok(())
}
