//! From the device rate to the model rate, 20 ms at a time.

#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::hint::black_box;

use cpc_stream::internal::resample::StreamResampler;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn resample(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample 20 ms to 16 kHz");
    for rate in [16_000u32, 32_000, 44_100, 48_000, 96_000] {
        let period: Vec<f32> = (0..rate / 50).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut resampler = StreamResampler::new(rate).expect("a usual rate");
        let mut out = Vec::with_capacity(4096);
        group.throughput(Throughput::Elements(period.len() as u64));
        group.bench_function(format!("from {rate} Hz"), |b| {
            b.iter(|| {
                out.clear();
                resampler.push(black_box(&period), &mut out).expect("it takes any length");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, resample);
criterion_main!(benches);
