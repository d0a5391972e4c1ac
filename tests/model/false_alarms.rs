//! How many events the sound of a machine causes when nothing else is heard.

use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::detect::DetectConfig;
use cpc_stream::internal::event::{Evidence, Phase};
use cpc_stream::internal::model;
use cpc_stream::internal::runtime::{Engine, EngineOutput};
use cpc_stream::internal::units::MODEL_RATE;

/// Events by surprise and by novelty in `seconds` of the machine of scene `seed`, calibration included.
fn events(seed: u64, seconds: f64, calibrate_seconds: f64, events_per_hour: f64) -> (usize, usize) {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let scene = Scene::machine_room(seconds + 10.0, 1e-3, seed).unwrap();
    let alone = scene.samples.get(..(seconds * f64::from(MODEL_RATE)) as usize).unwrap();
    let config = DetectConfig { calibrate_seconds, events_per_hour, ..DetectConfig::default() };
    let mut engine = Engine::new(Arc::new(cpc), &manifest, config).unwrap();
    let stream = engine.add("machine", MODEL_RATE, None).unwrap();
    let (mut surprise, mut novelty) = (0, 0);
    engine.feed(stream, alone).unwrap();
    engine
        .run(&mut |heard| match heard {
            EngineOutput::Finding { finding, .. } if finding.phase == Phase::New => match finding.evidence {
                Evidence::Surprise => surprise += 1,
                Evidence::Novelty => novelty += 1,
            },
            _ => {}
        })
        .unwrap();
    (surprise, novelty)
}

#[test]
fn a_machine_alone_is_no_storm_of_events() {
    let (surprise, novelty) = events(1, 300.0, 120.0, 1.0);
    assert!(surprise + novelty <= 2, "{surprise} by surprise, {novelty} by novelty in three minutes");
}

#[test]
#[ignore = "an hour of sound for each row: a measurement, to be run with --release --nocapture"]
fn an_hour_of_a_machine_alone() {
    println!(
        "| seed | calibrated on | budget an hour | events | by surprise | by novelty |\n|---|---|---|---|---|---|"
    );
    for seed in 1..=4 {
        for calibrate in [60.0, 300.0] {
            for budget in [1.0, 10.0] {
                let (surprise, novelty) = events(seed, 3600.0 + calibrate, calibrate, budget);
                let sum = surprise + novelty;
                println!("| {seed} | {calibrate:.0} s | {budget:.0} | {sum} | {surprise} | {novelty} |");
            }
        }
    }
}
