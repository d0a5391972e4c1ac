//! The way of a hop on a GPU (weights, memory, graphs, kernels, in that order and with those arguments), run by a driver
//! that does on the processor what libcuda and libcublas do on a GPU: it says what the layers say.
//!
//! The driver is compiled by g++ from `support/driver_on_a_processor.cpp`, which includes the kernels' own source. The
//! test starts itself anew with that driver in the place of NVIDIA's.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod support;

use std::path::Path;
use std::process::Command;

use cpc_stream::internal::kernels::{GpuStepper, Hops, Precision, Stepper};
use cpc_stream::internal::model::{LiveBatch, Stepping, plan_of};
use cpc_stream::internal::units::HOP;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::models::{kinds, of_hops, random};

const INSIDE: &str = "CPC_TEST_DRIVER_ON_A_PROCESSOR";

#[test]
fn a_hop_equals_the_layers() {
    if std::env::var_os(INSIDE).is_some() {
        return compare_all();
    }
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("libcuda.so.1");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/driver_on_a_processor.cpp");
    let made = Command::new("g++")
        .args(["-std=c++17", "-O2", "-fPIC", "-shared", "-Wno-unknown-pragmas", "-o"])
        .args([&driver, &source])
        .status()
        .unwrap();
    assert!(made.success());
    for name in ["libcublas.so.13", "libcublas.so.12"] {
        // one library under all its names: what is recorded is one list
        std::fs::hard_link(&driver, folder.path().join(name)).unwrap();
    }
    let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["a_hop_says_what_the_layers_say", "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("LD_LIBRARY_PATH", format!("{}:{path}", folder.path().display()))
        .status()
        .unwrap();
    assert!(again.success());
}

fn compare_all() {
    for (name, architecture) in kinds() {
        let cpc = random(&architecture);
        let plan = plan_of(&cpc).unwrap().unwrap();
        // 1 and 3 rows take the kernels for few rows, 17 cuBLAS
        for streams in [1usize, 3, 17] {
            let mut stepper = GpuStepper::new(&plan, 0, Precision::F32).unwrap();
            let mut layers = LiveBatch::with(cpc.clone(), Stepping::Layers).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(streams as u64);
            let (mut hops, mut worst) = (Hops::default(), [0f32; 4]);
            for step in 0..20 {
                // streams come one after another, and each has a hop most of the time
                let there = (step + 1).min(streams);
                if stepper.rows() < there {
                    stepper.reserve(there).unwrap();
                    layers.join(0).unwrap();
                }
                let present: Vec<u32> = (0..there as u32).filter(|_| rng.random_bool(0.8)).collect();
                let sound: Vec<f32> = (0..present.len() * HOP).map(|_| rng.random_range(-0.3..0.3)).collect();
                if present.is_empty() {
                    continue;
                }
                stepper.step(&present, &sound, &mut hops).unwrap();
                worst = of_hops(&hops, layers.step_rows(&present, &sound).unwrap(), worst);
            }
            eprintln!("{name}, {streams} streams: pmi, z, c, bands {worst:?}");
            assert!(worst.iter().all(|d| *d <= 1e-3), "{name}, {streams} streams: {worst:?}");
            let (mut kept, mut again) = (Vec::new(), Vec::new());
            stepper.memory(streams - 1, &mut kept).unwrap();
            stepper.set_memory(0, &kept).unwrap();
            stepper.memory(0, &mut again).unwrap();
            assert!(kept.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}: the memory");
            assert_eq!(kept.len(), plan.memory().len);
        }
    }
}
