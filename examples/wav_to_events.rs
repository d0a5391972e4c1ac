//! Events in a recording: `cargo run --release --example wav_to_events -- RECORDING.wav [SECONDS]`.
//!
//! The first SECONDS (60 by default) are what is normal; prints a line for each event after them.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use cpc_stream::{Model, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: wav_to_events RECORDING.wav [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(60.0), |text| text.parse())?;
    let mut reader = hound::WavReader::open(&path)?;
    let spec = reader.spec();
    let scale = 1.0 / f32::from(i16::MAX);
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| sample.map(|x| f32::from(x) * scale))
        .collect::<Result<_, _>>()?;
    // the mean of all channels
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> =
        samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();

    let settings = Settings::default().calibrate_seconds(seconds).events_per_hour(4.0).hold_budget(false);
    let events = Model::built_in()?.score(&mono, spec.sample_rate, &settings)?;
    for event in &events {
        let end = event.offset_s.unwrap_or(event.emitted_s);
        println!("{:8.2} s to {end:.2} s  severity {:3}  {}", event.onset_s, event.severity, event.summary);
    }
    println!("{} events after the first {seconds} s", events.len());
    Ok(())
}
