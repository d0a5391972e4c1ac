//! The ring between the audio callback and the inference thread: a period in, a period out.

#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cpc_stream::internal::capture::{ChannelSelection, Intake, SourceCounters};
use cpc_stream::internal::ring::{Read, ring};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PERIOD: usize = 960;

fn transfer(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(PERIOD as u64));
    let (mut writer, mut reader) = ring(48_000);
    let (period, mut out) = ([0.25; PERIOD], [0.0; PERIOD]);
    group.bench_function("push and read a period of 960", |b| {
        b.iter(|| {
            writer.push(black_box(&period));
            assert_eq!(reader.read(&mut out), Read::Samples(PERIOD));
        });
    });
    group.bench_function("push and read a gap and a period of 960", |b| {
        b.iter(|| {
            writer.mark_gap(100);
            writer.push(black_box(&period));
            assert_eq!(reader.read(&mut out), Read::Gap { lost: 100 });
            assert_eq!(reader.read(&mut out), Read::Samples(PERIOD));
        });
    });
    group.finish();
}

fn callback(c: &mut Criterion) {
    let mut group = c.benchmark_group("callback");
    for channels in [1u16, 2, 8] {
        group.throughput(Throughput::Elements(PERIOD as u64));
        group.bench_function(format!("{channels} channels i16, mixed, period of 960"), |b| {
            let (writer, mut reader) = ring(48_000);
            let mut intake =
                Intake::new(vec![writer], ChannelSelection::Mix, Arc::new(SourceCounters::default()))
                    .expect("one ring");
            intake.expect(channels, 48_000).expect("enough channels");
            let samples = vec![1000i16; PERIOD * usize::from(channels)];
            let mut out = [0.0; PERIOD];
            b.iter(|| {
                intake.anchor(Instant::now());
                intake.take(black_box(&samples));
                while reader.read(&mut out) != Read::Empty {}
            });
        });
    }
    group.finish();
}

criterion_group!(benches, transfer, callback);
criterion_main!(benches);
