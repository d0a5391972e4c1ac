//! A hop of live streams by the kernels of the processor, beside what one thread of the machine could do at best:
//! `cargo bench --bench stepper [-- MODEL [PRECISION [THREADS]]]`.

#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use candle_core::Device;
use cpc_stream::internal::kernels::{CpuStepper, Hops, Plan, Precision, Stepper};
use cpc_stream::internal::model::{Architecture, BANK, Cpc, plan_of};
use cpc_stream::internal::nn::{Tensors, uniform};
use cpc_stream::internal::units::HOP;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Negatives that a hop is scored against.
const NEGATIVES: usize = 128;

/// How long each number of streams is stepped.
const DURATION: Duration = Duration::from_secs(2);

/// Hops at least, whatever they take.
const LEAST_HOPS: usize = 50;

/// A model with random weights: what a hop costs does not depend on them.
fn random(architecture: &Architecture) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).expect("the CPU holds it");
    let mut tensors: Tensors = vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    let shape = [NEGATIVES, architecture.encoder.latent()];
    let bank = uniform(&mut rng, &shape, 1.0, &Device::Cpu).and_then(|bank| bank.abs());
    tensors.insert(BANK.to_owned(), bank.expect("the CPU holds it"));
    let cpc = Cpc::load(&tensors, architecture).expect("tensors of this architecture");
    plan_of(&cpc).expect("its tensors can be read").expect("kernels know it")
}

/// Microseconds of hops of `streams` streams, sorted.
fn hops(stepper: &mut CpuStepper, streams: usize) -> Vec<f64> {
    stepper.reserve(streams).expect("the CPU holds it");
    let rows: Vec<u32> = (0..streams as u32).collect();
    let samples: Vec<f32> = (0..streams * HOP).map(|i| (i as f32 * 0.1).sin() * 0.1).collect();
    let (mut hops, mut took, begin) = (Hops::default(), Vec::new(), Instant::now());
    while begin.elapsed() < DURATION || took.len() < LEAST_HOPS {
        let hop = Instant::now();
        stepper.step(&rows, &samples, &mut hops).expect("a hop of each stream");
        took.push(hop.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    took
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let asked = |at: usize, name: &str| wanted.get(at).is_none_or(|word| word == name);
    let threads = wanted.get(2).map_or(1, |word| word.parse().expect("a number of threads"));
    for name in ["edge", "256", "512"].into_iter().filter(|name| asked(0, name)) {
        let plan = random(&Architecture::named(name).expect("a known name"));
        for precision in Precision::OF_PROCESSORS {
            if !asked(1, &precision.to_string()) {
                continue;
            }
            let mut stepper = CpuStepper::new(&plan, precision, threads).expect("the CPU holds it");
            let roofline = stepper.roofline();
            let (bytes, sums) = (stepper.weight_bytes() as f64, plan.multiply_adds() as f64);
            let exact = stepper.f32_multiply_adds() as f64;
            let hop = exact / roofline.f32_multiply_adds + (sums - exact) / roofline.multiply_adds;
            println!(
                "{name} {precision} on {}, {threads} threads: {:.1} MB of weights at {:.1} GB/s, {:.1} M multiply-adds at {:.1} G/s, \
                 {:.1} M of them in f32 at {:.1} G/s",
                stepper.instructions(),
                bytes / 1e6,
                roofline.bytes / 1e9,
                sums / 1e6,
                roofline.multiply_adds / 1e9,
                exact / 1e6,
                roofline.f32_multiply_adds / 1e9
            );
            for streams in [1, 8, 32] {
                let took = hops(&mut stepper, streams);
                let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
                let limit = (bytes / roofline.bytes).max(streams as f64 * hop) * 1e6;
                println!(
                    "{streams:4} streams: p1 {:8.1} p50 {:8.1} p99 {:8.1} p99.9 {:8.1} us, {:7.1} real-time streams, \
                     {:.2} of the limit of {limit:.1} us, which is that of the fastest moment; the fastest hundredth {:.2}",
                    at(0.01),
                    at(0.5),
                    at(0.99),
                    at(0.999),
                    streams as f64 * 1e4 / at(0.5),
                    at(0.5) / limit,
                    at(0.01) / limit
                );
            }
        }
    }
}
