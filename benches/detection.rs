//! What a stream costs on one thread, model and detection apart, with so many streams that each finds its memory in a far cache:
//! `cargo bench --bench detection [-- STREAMS...]`.
//!
//! All streams have learnt the same sound, machine-like noise, and go on with later parts of it. Hops of a step are 10 ms apart in sound, and
//! follow each other at once here.

#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use candle_core::Device;
use cpc_stream::internal::detect::{DetectConfig, Detector, DetectorModel, Input};
use cpc_stream::internal::model::{LiveBatch, open};
use cpc_stream::internal::units::HOP;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sound that is learnt, in hops: 10 min, after which densities count as much as they ever will.
const LEARNT: usize = 60_000;

/// Hops of each stream that are measured, after as many that warm it up.
const HOPS: usize = 1000;

/// A hum of a machine that turns twice a second, in noise.
struct Sound {
    noise: ChaCha8Rng,
    sample: usize,
}

impl Sound {
    fn hop(&mut self) -> [f32; HOP] {
        let first = self.sample;
        self.sample += HOP;
        std::array::from_fn(|i| {
            let seconds = (first + i) as f32 / 16_000.0;
            let turn = 1.0 + 0.5 * (seconds.fract() * std::f32::consts::TAU * 2.0).sin();
            let hum = (seconds.fract() * std::f32::consts::TAU * 120.0).sin();
            turn * (0.02 * hum + self.noise.random_range(-0.01..0.01f32))
        })
    }
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (manifest, cpc) = open(None, &Device::Cpu).expect("the built-in model");
    let detector_model = DetectorModel::new(manifest.frame_shape(), manifest.sha256.clone(), cpc.critic())
        .expect("its critic can be read");
    let config = DetectConfig {
        calibrate_seconds: LEARNT as f64 / 100.0,
        provisional_seconds: 0.0,
        ..DetectConfig::default()
    };
    let mut learner = Detector::new(&config, detector_model).expect("a valid configuration");
    let mut sound = Sound { noise: ChaCha8Rng::seed_from_u64(1), sample: 0 };
    let (mut frames, mut findings) = (Vec::new(), Vec::new());
    let mut batch = LiveBatch::new(cpc.clone()).expect("it has negatives");
    let slot = batch.join(0).expect("the processor holds it");
    for _ in 0..LEARNT + 500 {
        frames.clear();
        batch.step(&[(slot, sound.hop())], &mut frames).expect("a hop");
        for frame in &frames {
            learner.push(frame, Input::GOOD, &mut findings);
        }
    }
    println!("{:>7} {:>16} {:>16} {:>16}", "streams", "model", "detection", "a second of one");
    println!("{:>7} {:>16} {:>16} {:>16}", "", "us/hop", "us/hop", "% of a core");
    for streams in if asked.is_empty() { vec![1, 4, 16, 32, 64] } else { asked } {
        let mut batch = LiveBatch::new(cpc.clone()).expect("it has negatives");
        let mut members: Vec<(usize, Detector)> = (0..streams as u64)
            .map(|number| {
                let mut detector = learner.clone();
                detector.gap(&mut findings);
                // rows of streams fall on different hops
                (batch.join(number).expect("the processor holds it"), detector)
            })
            .collect();
        let (mut hops, mut frames) = (Vec::new(), Vec::new());
        let mut took = [Duration::ZERO; 2];
        for round in 0..2 * HOPS {
            let samples = sound.hop();
            hops.clear();
            hops.extend(members.iter().map(|(slot, _)| (*slot, samples)));
            frames.drain(..).for_each(|frame| batch.reuse(frame));
            let begin = Instant::now();
            batch.step(&hops, &mut frames).expect("a hop of each stream");
            let stepped = Instant::now();
            for ((_, detector), frame) in members.iter_mut().zip(&frames) {
                detector.push(frame, Input::GOOD, &mut findings);
            }
            if round >= HOPS {
                took = [took[0] + (stepped - begin), took[1] + stepped.elapsed()];
            }
        }
        let [model, detection] = took.map(|took| took.as_secs_f64() * 1e6 / (HOPS * streams) as f64);
        println!("{streams:>7} {model:>16.1} {detection:>16.1} {:>16.2}", (model + detection) / 100.0);
    }
}
