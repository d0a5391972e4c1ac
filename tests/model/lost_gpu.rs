//! P12: when the device of the model fails, the CPU takes over: no sample is lost, and scores are what they would have
//! been there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::sound::whistles;
use candle_core::Device;
use cpc_stream::internal::detect::DetectConfig;
use cpc_stream::internal::model;
use cpc_stream::internal::runtime::{Engine, EngineOutput};

const SECOND: usize = 16_000;
const PROMISED: Duration = Duration::from_secs(5);
const TOLERANCE: f64 = 1e-3;
/// The device fails here.
const FAILS_S: usize = 30;

fn engine() -> Engine {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let config = DetectConfig { calibrate_seconds: 10.0, events_per_hour: 20.0, ..DetectConfig::default() };
    let mut engine = Engine::new(Arc::new(cpc), &manifest, config).unwrap();
    engine.warm_up().unwrap();
    engine
}

/// Frame, surprise and novelty.
type Row = (u64, Option<f64>, Option<f64>);

/// Every reading, and how long the second took in which the device failed.
fn readings(engine: &mut Engine, sound: &[f32]) -> (Vec<Row>, Duration) {
    let stream = engine.add("room", 16_000, None).unwrap();
    let (mut all, mut slowest) = (Vec::new(), Duration::ZERO);
    for piece in sound.chunks(SECOND / 10) {
        let start = Instant::now();
        engine.feed(stream, piece).unwrap();
        engine
            .run(&mut |heard| {
                if let EngineOutput::Reading { frame, reading, .. } = heard {
                    all.push((frame, reading.surprise, reading.novelty));
                }
            })
            .unwrap();
        slowest = slowest.max(start.elapsed());
    }
    let counters = engine.end(stream, &mut |_| {}).unwrap();
    assert_eq!(counters.resampled, counters.scored + counters.shed);
    assert_eq!((counters.lost, counters.scored), (0, sound.len() as u64), "no sample is lost");
    (all, slowest)
}

#[test]
fn the_cpu_takes_over() {
    let sound: Vec<f32> = whistles(60, 12).iter().map(|&x| f32::from(x) / 32_768.0).collect();
    let (expected, _) = readings(&mut engine(), &sound);
    let mut broken = engine();
    let (_, spare) = model::embedded(&Device::Cpu).unwrap();
    broken.set_fallback(Arc::new(spare)).unwrap();
    broken.inject_failure_after(100 * FAILS_S as u64);
    assert!(!broken.is_on_last_device());
    let (found, took) = readings(&mut broken, &sound);
    assert!(broken.is_on_last_device());
    assert_eq!(found.len(), expected.len());
    let (mut worst, mut compared) = (0.0f64, 0);
    for (a, b) in found.iter().zip(&expected) {
        assert_eq!(a.0, b.0, "frames go on in order");
        for (a, b) in [(a.1, b.1), (a.2, b.2)] {
            assert_eq!(a.is_some(), b.is_some());
            let (Some(a), Some(b)) = (a, b) else { continue };
            worst = worst.max((a - b).abs() / b.abs().max(1.0));
            compared += 1;
        }
    }
    println!(
        "the CPU took over within {took:?} (promised {PROMISED:?}), {compared} scores differ by {worst:.1e} at most (promised {TOLERANCE:.0e})"
    );
    assert!(took <= PROMISED && worst <= TOLERANCE && compared > 5000);
}

#[test]
fn without_a_fallback_a_device_failure_is_reported() {
    let mut engine = engine();
    let stream = engine.add("room", 16_000, None).unwrap();
    engine.inject_failure_after(3);
    engine.feed(stream, &[0.0; 1600]).unwrap();
    assert!(engine.run(&mut |_| {}).unwrap_err().to_string().contains("device is gone"));
}
