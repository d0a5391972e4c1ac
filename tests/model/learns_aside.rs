//! Learning what is normal on threads of its own changes nothing of what is heard, and neither do hops that wait for each
//! other: the same readings and findings, in the same order, for every stream.

use std::sync::Arc;

use crate::support::sound;
use candle_core::Device;
use cpc_stream::internal::detect::DetectConfig;
use cpc_stream::internal::model;
use cpc_stream::internal::runtime::{Engine, EngineOutput};

const STREAMS: usize = 3;

/// What a stream says: of readings the score, to be compared to rounding, since products of one stream and of three round
/// differently.
type Readings = Vec<(String, f64)>;

/// What each stream says.
fn readings_of(aside: bool, hop_batch: usize) -> Vec<Readings> {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let config = DetectConfig { calibrate_seconds: 15.0, events_per_hour: 60.0, ..DetectConfig::default() };
    let mut engine = Engine::new(Arc::new(cpc), &manifest, config).unwrap();
    engine.batch_hops(hop_batch);
    if aside {
        engine.calibrate_on_threads(2).unwrap();
    }
    let mut readings: Vec<Readings> = vec![Vec::new(); STREAMS];
    let mut note = |readings_of: EngineOutput| {
        let (stream, text, score) = match readings_of {
            EngineOutput::Reading { stream, frame, reading } => {
                let score = reading.score.unwrap_or(-1.0);
                (stream, format!("frame {frame} {:?} {:?}", reading.state, reading.quality), score)
            }
            EngineOutput::Finding { stream, finding } => {
                let text = format!("{:?} {} from {}", finding.phase, finding.number, finding.onset_sample);
                (stream, text, finding.score)
            }
            EngineOutput::Calibrated { stream } => (stream, "calibrated".to_owned(), 0.0),
            _ => return,
        };
        readings[stream].push((text, score));
    };
    for stream in 0..STREAMS {
        engine.add(format!("s{stream}"), 16_000, None).unwrap();
    }
    let samples: Vec<f32> = sound::whistles(32, 16).iter().map(|&x| f32::from(x) / 32_768.0).collect();
    for (number, piece) in samples.chunks(3200).enumerate() {
        for stream in 0..STREAMS {
            // each a little louder, and one of them with a hole at the moment in which it learns
            let louder: Vec<f32> = piece.iter().map(|x| x * (1.0 + 0.1 * stream as f32)).collect();
            engine.feed(stream, &louder).unwrap();
        }
        engine.run(&mut note).unwrap();
        if number == 75 {
            engine.gap(1, 1600, 16_000, &mut note).unwrap();
        }
    }
    for stream in 0..STREAMS {
        engine.end(stream, &mut note).unwrap();
    }
    readings
}

#[test]
fn aside_or_on_the_spot_is_the_same() {
    let on_the_spot = readings_of(false, 1);
    assert_same(&readings_of(true, 1), &on_the_spot, 1e-2);
    // pieces of 20 hops: 7 leave a rest, 32 have to wait for the next piece
    for (aside, hop_batch) in [(false, 7), (true, 7), (true, 32)] {
        // products of more rows round differently, and the tail makes more of it the higher the score
        assert_same(&readings_of(aside, hop_batch), &on_the_spot, 5e-2);
    }
}

fn assert_same(some: &[Readings], others: &[Readings], bound: f64) {
    for (stream, (a, b)) in some.iter().zip(others).enumerate() {
        let differs = |((a, x), (b, y)): (&(String, f64), &(String, f64))| a != b || (x - y).abs() > bound;
        let at = a.iter().zip(b).position(differs);
        assert_eq!((at, a.len()), (None, b.len()), "stream {stream}: {:?}", at.map(|at| (&a[at], &b[at])));
        assert!(
            a.iter().any(|(text, _)| text == "calibrated")
                && a.iter().any(|(text, _)| text.starts_with("End"))
        );
    }
}
