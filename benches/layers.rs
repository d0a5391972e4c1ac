//! Where the time of a hop goes: each encoder layer, the GRU, the heads, the scorer; one stream, one hop.

#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::hint::black_box;

use candle_core::{Device, Tensor, Var};
use cpc_stream::internal::encode::{KERNELS, STRIDES};
use cpc_stream::internal::nn::{BlockConv, Gru, StreamingModule, Tensors, WeightSource, uniform};
use cpc_stream::internal::predict::{DelayedScorer, HeadsConfig, PredictionHeads};
use cpc_stream::internal::units::HOP;
use criterion::{Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const CPU: Device = Device::Cpu;
const NEGATIVES: usize = 128;
/// Name, widths of the encoder, width of the GRU.
const SHAPES: [(&str, [usize; 5], usize); 3] =
    [("edge", [32, 64, 96, 128, 128], 128), ("256", [256; 5], 256), ("512", [512; 5], 256)];

fn named(vars: Vec<(String, Var)>) -> Tensors {
    vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

fn noise(rng: &mut ChaCha8Rng, shape: &[usize]) -> Tensor {
    uniform(rng, shape, 1.0, &CPU).expect("the CPU holds it").as_detached_tensor()
}

fn steps<M: StreamingModule>(c: &mut Criterion, name: &str, module: &M, input: &Tensor) {
    let mut state = module.zero_state(1).expect("the CPU holds it");
    c.bench_function(name, |b| b.iter(|| module.step(black_box(input), &mut state).expect("one hop")));
}

fn encoder(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, widths, _) in SHAPES {
        let (mut time, mut channels) = (HOP, 1);
        for (number, (width, stride)) in widths.into_iter().zip(STRIDES).enumerate() {
            let shape = (channels, width, stride);
            let vars = BlockConv::init(&mut rng, "layer", shape, &CPU).expect("the CPU holds it");
            let tensors = named(vars);
            let layer = BlockConv::load(WeightSource::new(&tensors), "layer", channels, width, stride)
                .expect("tensors of this shape");
            let what = format!("{name}/convolution {number}, kernel {}", KERNELS[number]);
            steps(c, &what, &layer, &noise(&mut rng, &[1, time, channels]));
            (time, channels) = (time / stride, width);
        }
    }
}

fn rest(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, [.., latent], hidden) in SHAPES {
        let vars = Gru::init(&mut rng, "gru", (latent, hidden), &CPU).expect("the CPU holds it");
        let tensors = named(vars);
        let gru =
            Gru::load(WeightSource::new(&tensors), "gru", latent, hidden).expect("tensors of this shape");
        let z = noise(&mut rng, &[1, 1, latent]);
        steps(c, &format!("{name}/gru"), &gru, &z);

        let config = HeadsConfig { horizons: 12, scale: 1.0 / (latent as f64).sqrt(), hidden: None };
        let vars =
            PredictionHeads::init(&mut rng, &config, (latent, hidden), &CPU).expect("the CPU holds it");
        let tensors = named(vars);
        let heads = PredictionHeads::load(WeightSource::new(&tensors), &config, latent, hidden)
            .expect("tensors of this shape");
        let one_each = noise(&mut rng, &[12, 1, hidden]);
        c.bench_function(&format!("{name}/heads"), |b| {
            b.iter(|| heads.predict(black_box(&one_each)).expect("one context a head"));
        });

        let bank = noise(&mut rng, &[NEGATIVES, latent]);
        let scorer = DelayedScorer::new(heads, &bank).expect("a bank of this width");
        let context = noise(&mut rng, &[1, 1, hidden]);
        let mut state = scorer.zero_state(1).expect("the CPU holds it");
        c.bench_function(&format!("{name}/heads and scores"), |b| {
            b.iter(|| scorer.step(black_box(&z), &context, &mut state).expect("one frame"));
        });
    }
}

/// One thread, like the daemon's default.
fn one_thread(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nobody has made a pool yet");
    encoder(c);
    rest(c);
}

criterion_group!(benches, one_thread);
criterion_main!(benches);
