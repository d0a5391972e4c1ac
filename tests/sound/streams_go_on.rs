//! Streams go on over inputs that break and over restarts, with the shipped model.

use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::detect::{DetectConfig, Detector, DetectorState, InputState, StreamState};
use cpc_stream::internal::event::{Finding, Phase};
use cpc_stream::internal::model;
use cpc_stream::internal::runtime::{CalibrationStore, Engine, EngineOutput, StreamPipeline};
use cpc_stream::internal::units::MODEL_RATE;

const SECOND: usize = MODEL_RATE as usize;

/// A stream of the machine room with nothing planted, calibrated on 40 s.
struct Room {
    engine: Engine,
    stream: usize,
    sound: Vec<f32>,
    findings: Vec<Finding>,
    state: Option<StreamState>,
}

fn engine() -> Engine {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let config = DetectConfig { calibrate_seconds: 40.0, events_per_hour: 4.0, ..DetectConfig::default() };
    Engine::new(Arc::new(cpc), &manifest, config).unwrap()
}

/// What is done to the sound, and what the monitor calls it.
type Break = (&'static str, InputState, fn(f32) -> f32);

impl Room {
    fn new() -> Self {
        let sound = Scene::machine_room(130.0, 1e-3, 3).unwrap().samples;
        let mut engine = engine();
        let stream = engine.add("room", MODEL_RATE, None).unwrap();
        let mut room = Self { engine, stream, sound, findings: Vec::new(), state: None };
        room.hear(0, 45, |x| x);
        assert_eq!(room.detector().state(), DetectorState::Watching);
        room
    }

    fn pipeline(&self) -> &StreamPipeline {
        self.engine.pipeline(self.stream).unwrap()
    }

    fn detector(&self) -> &Detector {
        self.pipeline().detector()
    }

    /// The seconds `from` to `to` of the room, as `spoil` lets them through.
    fn hear(&mut self, from: usize, to: usize, spoil: impl Fn(f32) -> f32) {
        let piece: Vec<f32> = self.sound[from * SECOND..to * SECOND].iter().map(|&x| spoil(x)).collect();
        self.engine.feed(self.stream, &piece).unwrap();
        let findings = &mut self.findings;
        let mut take = |heard: EngineOutput| {
            if let EngineOutput::Finding { finding, .. } = heard {
                findings.push(*finding);
            }
        };
        self.engine.run(&mut take).unwrap();
    }
}

#[test]
fn inputs_that_break_are_no_storm_of_events() {
    let mut room = Room::new();
    let breaks: [Break; 4] = [
        ("digital silence", InputState::Silent, |_| 0.0),
        ("a constant", InputState::Stuck, |_| 0.3),
        ("no numbers", InputState::Invalid, |_| f32::NAN),
        ("clipped sound", InputState::Clipping, |x| (x * 300.0).clamp(-1.0, 1.0)),
    ];
    let mut second = 45;
    for (what, state, spoil) in breaks {
        for _ in 0..2 {
            room.hear(second, second + 3, spoil);
            assert_eq!(room.pipeline().figures().input, state, "{what}");
            room.hear(second + 3, second + 8, |x| x);
            assert_eq!(room.pipeline().figures().input, InputState::Good, "{what}");
            second += 8;
        }
    }
    let hops = room.pipeline().figures().hops;
    assert!(hops.silent > 500 && hops.stuck > 500 && hops.invalid > 500, "{hops:?}");
    let began = room.findings.iter().filter(|f| f.phase == Phase::New).count();
    assert!(began <= 6, "{began} events: {:?}", room.findings);
    assert_eq!(room.detector().counts().invalid, 0, "nothing that is no number reached the model");
}

#[test]
fn a_restart_needs_no_new_calibration_and_keeps_its_threshold() {
    let home = tempfile::tempdir().unwrap();
    let mut room = Room::new();
    room.hear(45, 60, |x| (x * 4.0).clamp(-1.0, 1.0));
    room.hear(60, 80, |x| x);
    let state = &mut room.state;
    let mut take = |heard: EngineOutput| {
        if let EngineOutput::State { state: known, .. } = heard {
            *state = Some(*known);
        }
    };
    let threshold = room.engine.pipeline(room.stream).unwrap().detector().threshold();
    room.engine.end(room.stream, &mut take).unwrap();
    let store = CalibrationStore::new(home.path());
    let path = store.save("room", room.state.as_ref().expect("a state at the end")).unwrap();

    let known = store.load("room").unwrap();
    let mut again = engine();
    let stream = again.add("room", MODEL_RATE, Some(known)).unwrap();
    let detector = again.pipeline(stream).unwrap().detector();
    assert_eq!((detector.state(), detector.threshold()), (DetectorState::Watching, threshold));

    // as it was kept before there was a state
    let old = serde_json::to_vec(room.state.unwrap().calibration()).unwrap();
    std::fs::write(path, old).unwrap();
    let mut again = engine();
    let stream = again.add("room", MODEL_RATE, store.load("room")).unwrap();
    assert_eq!(again.pipeline(stream).unwrap().detector().state(), DetectorState::Watching);
}
