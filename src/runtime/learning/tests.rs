//! Background calibration delays no other stream, and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use candle_core::Device;

use super::*;
use crate::detect::DetectConfig;
use crate::event::Phase;
use crate::model;

const RATE: u32 = 16_000;
const CALIBRATE_S: usize = 10;

/// Locked by a test to hold calibrations back.
static GATE: Mutex<()> = Mutex::new(());

fn behind_the_gate(frame_job: FrameJob, detector: &mut Detector) -> FrameOutcome {
    drop(GATE.lock());
    frame_job.take(detector, Vec::new())
}

fn engine(learn: Learn) -> Engine {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let detect = DetectConfig {
        calibrate_seconds: CALIBRATE_S as f64,
        events_per_hour: 60.0,
        ..DetectConfig::default()
    };
    let mut engine = Engine::new(Arc::new(cpc), &manifest, detect).unwrap();
    engine.calibrate_on_threads_by(2, learn).unwrap();
    engine
}

/// Noise of `seconds`, with a whistle in the last half of a second where it is asked for.
fn sound(seconds: usize, whistle: bool) -> Vec<f32> {
    let mut seed = 1u32;
    let count = seconds * RATE as usize;
    (0..count)
        .map(|at| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = ((seed >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.02;
            let tone = if whistle && at > count - RATE as usize / 2 { 0.5 } else { 0.0 };
            noise + tone * (at as f32 * 0.6).sin()
        })
        .collect()
}

/// Both streams have enough sound for a calibration; only the first has started it.
fn one_calibrates<'a>(engine: &mut Engine, sink: &mut dyn FnMut(EngineOutput)) -> MutexGuard<'a, ()> {
    let gate = GATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for id in ["one", "other"] {
        engine.add(id, RATE, None).unwrap();
    }
    engine.feed(0, &sound(CALIBRATE_S + 2, false)).unwrap();
    engine.run(sink).unwrap();
    assert!(engine.learns(0) && !engine.learns(1));
    gate
}

#[test]
fn operations_on_a_calibrating_detector_wait_without_delaying_others() {
    let mut engine = engine(behind_the_gate);
    let mut said = Vec::new();
    let mut note = |received: EngineOutput| match received {
        EngineOutput::Reading { stream, frame, .. } => said.push((stream, format!("frame {frame}"))),
        EngineOutput::Calibrated { stream } => said.push((stream, "calibrated".to_owned())),
        EngineOutput::State { stream, .. } => said.push((stream, "state".to_owned())),
        _ => {}
    };
    let gate = one_calibrates(&mut engine, &mut note);
    // none of this may wait for the gate: it would for ever
    engine.gap(0, 1600, RATE, &mut note).unwrap();
    engine.feed(0, &sound(1, false)).unwrap();
    engine.gap(0, 0, 48_000, &mut note).unwrap();
    engine.feed(0, &sound(3, false)).unwrap();
    engine.set_events_per_hour(0, 7.0).unwrap();
    assert!(engine.set_events_per_hour(0, f64::NAN).is_err());
    let other = DetectConfig { events_per_hour: 5.0, ..engine.detect.clone() };
    engine.reconfigure(&other, &mut note).unwrap();
    engine.set_events_per_hour(0, 9.0).unwrap();
    engine.finish(0).unwrap();
    engine.feed(1, &sound(2, false)).unwrap();
    engine.run(&mut note).unwrap();
    assert!(engine.learns(0) && !engine.is_idle(0) && engine.is_idle(1));
    drop(gate);
    while !engine.is_idle(0) {
        engine.run_for(Duration::from_millis(1), &mut note).unwrap();
    }
    let budget =
        |engine: &Engine, stream: usize| engine.pipeline(stream).unwrap().detector().events_per_hour();
    assert!((budget(&engine, 0) - 9.0).abs() < 1e-9 && (budget(&engine, 1) - 5.0).abs() < 1e-9);
    let counters = engine.end(0, &mut note).unwrap();
    let one: Vec<&str> =
        said.iter().filter(|(stream, _)| *stream == 0).map(|(_, text)| text.as_str()).collect();
    let frames = |texts: &[&str]| texts.iter().filter(|text| text.starts_with("frame")).count();
    let before = 100 * (CALIBRATE_S + 2);
    assert!(one.contains(&"calibrated") && one.last() == Some(&"state"), "{one:?}");
    // 12 s, a hole of 0.1 s, 1 s, then 1 s at 48 kHz
    assert_eq!(frames(&one), before + 200);
    assert!(one.contains(&format!("frame {}", before + 10).as_str()));
    assert!(!one.contains(&format!("frame {}", before + 5).as_str()));
    assert_eq!((counters.gaps, counters.lost), (2, 1600));
    assert_eq!(counters.resampled, counters.scored + counters.shed);
    assert_eq!(said.iter().filter(|(stream, text)| *stream == 1 && text.starts_with("frame")).count(), 200);
}

#[test]
fn an_abandoned_stream_in_calibration_ends_at_once() {
    let mut engine = engine(behind_the_gate);
    let mut ends = 0;
    let mut note = |received: EngineOutput| {
        if let EngineOutput::Finding { finding, .. } = received {
            ends += u32::from(finding.phase == Phase::End);
        }
    };
    let gate = one_calibrates(&mut engine, &mut note);
    // an event is ongoing, as reported so far
    engine.pipelines[0].as_mut().unwrap().note_event(&crate::event::samples::finding(3));
    engine.feed(0, &sound(1, true)).unwrap();
    let counters = engine.abandon(0, &mut note).unwrap();
    assert_eq!(counters.resampled, counters.scored + counters.shed);
    assert!(counters.shed >= u64::from(RATE) && engine.pipeline(0).is_none());
    drop(gate);
    engine.run(&mut note).unwrap();
    assert_eq!(ends, 1, "the event ended");
}

static PANICS: AtomicU32 = AtomicU32::new(0);

fn panics_at_first(frame_job: FrameJob, detector: &mut Detector) -> FrameOutcome {
    assert!(PANICS.fetch_add(1, Ordering::Relaxed) >= 2, "no more threads");
    frame_job.take(detector, Vec::new())
}

#[test]
fn a_calibration_that_panics_is_reported_and_tried_again() {
    let mut engine = engine(panics_at_first);
    engine.add("one", RATE, None).unwrap();
    let mut calibrated = 0;
    for second in 0..4 * CALIBRATE_S {
        engine.feed(0, &sound(1, false)).unwrap();
        engine
            .catch_up(0, &mut |received| {
                calibrated += u32::from(matches!(received, EngineOutput::Calibrated { .. }));
            })
            .unwrap();
        if calibrated > 0 {
            assert!(second > 3 * CALIBRATE_S - 2, "learnt anew twice, after {second} s");
            break;
        }
    }
    assert_eq!((calibrated, engine.pipeline(0).unwrap().figures().learning_failed), (1, 2));
}

#[test]
fn a_calibration_that_always_fails_ends_the_analysis() {
    let mut engine = engine(|_, _| panic!("a drill"));
    engine.add("one", RATE, None).unwrap();
    let mut ended = None;
    for _ in 0..4 * CALIBRATE_S {
        engine.feed(0, &sound(1, false)).unwrap();
        ended = ended.or(engine.catch_up(0, &mut |_| ()).err());
    }
    let error = ended.unwrap();
    assert!(error.to_string().contains("failed 3 times in a row") && error.to_string().contains("a drill"));
}
