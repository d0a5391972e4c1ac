//! A hop of live streams: 10 ms of each in, latents, contexts and scores out.

#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::model::{Architecture, Cpc, LiveBatch};
use cpc_stream::internal::nn::{Tensors, uniform};
use cpc_stream::internal::units::HOP;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Negatives that a hop is scored against.
const NEGATIVES: usize = 128;

/// A model with random weights: what a hop costs does not depend on them.
fn random(architecture: &Architecture) -> Arc<Cpc> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).expect("the CPU holds it");
    let mut tensors: Tensors = vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    let shape = [NEGATIVES, architecture.encoder.latent()];
    let bank = uniform(&mut rng, &shape, 1.0, &Device::Cpu).and_then(|bank| bank.abs());
    tensors.insert("bank.prototypes".to_owned(), bank.expect("the CPU holds it"));
    Arc::new(Cpc::load(&tensors, architecture).expect("tensors of this architecture"))
}

fn hop(c: &mut Criterion) {
    let mut group = c.benchmark_group("hop");
    for name in ["edge", "256", "512"] {
        let cpc = random(&Architecture::named(name).expect("a known name"));
        for streams in [1usize, 8, 32] {
            let mut batch = LiveBatch::new(Arc::clone(&cpc)).expect("it has negatives");
            let sound: [f32; HOP] = std::array::from_fn(|i| (i as f32 * 0.1).sin() * 0.1);
            let hops: Vec<_> =
                (0..streams).map(|_| (batch.join(0).expect("the CPU holds it"), sound)).collect();
            let mut frames = Vec::with_capacity(streams);
            group.throughput(Throughput::Elements(streams as u64));
            group.bench_function(format!("{name}, {streams} streams"), |b| {
                b.iter(|| {
                    frames.clear();
                    batch.step(black_box(&hops), &mut frames).expect("a hop of each stream");
                });
            });
        }
    }
    group.finish();
}

/// One thread, like the daemon's default.
fn one_thread(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nobody has made a pool yet");
    hop(c);
}

criterion_group!(benches, one_thread);
criterion_main!(benches);
