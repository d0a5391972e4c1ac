//! The kernels on a GPU say what the layers on the processor say, for every kind of model that they know and whoever is
//! in a step. On a machine without a GPU there is nothing to compare, and the test says so.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod support;

use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::model::{Architecture, Cpc, LiveBatch, Stepping};
use cpc_stream::internal::units::HOP;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::models::{kinds, of_hops, random_on};

fn gpu() -> Option<Device> {
    let device = Device::new_cuda(0);
    if let Err(error) = &device {
        eprintln!("no GPU here, nothing compared: {error}");
    }
    device.ok()
}

/// Streams join, leave, reset and pause at random for `steps` steps; the largest difference of any number.
fn compare(models: [Arc<Cpc>; 2], streams: usize, steps: usize) -> [f32; 4] {
    let [gpu, cpu] = models;
    let mut found = LiveBatch::new(gpu).unwrap();
    let mut expected = LiveBatch::with(cpu, Stepping::Layers).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(streams as u64);
    let (mut taken, mut worst) = (Vec::new(), [0f32; 4]);
    for step in 0..steps {
        while taken.len() < streams && (taken.is_empty() || rng.random_bool(0.5)) {
            let slot = found.join(0).unwrap();
            assert_eq!(slot, expected.join(0).unwrap());
            taken.push(slot);
        }
        if rng.random_bool(0.1) {
            let slot = taken.swap_remove(rng.random_range(0..taken.len()));
            found.leave(slot).unwrap();
            expected.leave(slot).unwrap();
        }
        if let Some(&slot) = taken.first()
            && rng.random_bool(0.05)
        {
            found.reset(slot, 0).unwrap();
            expected.reset(slot, 0).unwrap();
        }
        let present: Vec<u32> =
            taken.iter().filter(|_| rng.random_bool(0.8)).map(|&slot| slot as u32).collect();
        if present.is_empty() {
            continue;
        }
        let loud = if step % 20 < 10 { 0.01 } else { 0.5 };
        let sound: Vec<f32> = (0..present.len() * HOP).map(|_| rng.random_range(-loud..loud)).collect();
        let found = found.step_rows(&present, &sound).unwrap();
        worst = of_hops(found, expected.step_rows(&present, &sound).unwrap(), worst);
    }
    worst
}

#[test]
fn for_every_kind_of_model_and_number_of_streams() {
    let Some(gpu) = gpu() else { return };
    for (name, architecture) in kinds() {
        for streams in [1, 3, 17, 70] {
            let worst = compare(random_on(&architecture, [&gpu, &Device::Cpu]), streams, 60);
            eprintln!("{name}, {streams} streams: pmi, z, c, bands {worst:?}");
            assert!(worst.iter().all(|d| *d <= 1e-3), "{name}, {streams} streams: {worst:?}");
        }
    }
}

#[test]
fn a_batch_fails_over_to_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let [gpu, cpu] = random_on(&Architecture::edge(), [&gpu, &Device::Cpu]);
    let mut batch = LiveBatch::new(gpu).unwrap();
    let slots = [batch.join(0).unwrap() as u32, batch.join(0).unwrap() as u32];
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut sound = || (0..2 * HOP).map(|_| rng.random_range(-0.1..0.1)).collect::<Vec<f32>>();
    for _ in 0..30 {
        batch.step_rows(&slots, &sound()).unwrap();
    }
    batch.enable_failover().unwrap();
    for _ in 0..250 {
        batch.step_rows(&slots, &sound()).unwrap();
    }
    let mut fail_over = batch.fail_over(cpu).unwrap();
    for _ in 0..20 {
        let sound = sound();
        let expected = fail_over.step_rows(&slots, &sound).unwrap();
        let worst = of_hops(batch.step_rows(&slots, &sound).unwrap(), expected, [0.0; 4]);
        assert!(worst.iter().all(|d| *d <= 1e-3), "{worst:?}");
    }
}
