//! No stream stays deaf: after any samples at all, 2 s of ordinary sound give usable frames again, for every precision.

use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::detect::{DetectConfig, Quality};
use cpc_stream::internal::kernels::Precision;
use cpc_stream::internal::model::{Cpc, LiveBatch, Manifest, Stepping, embedded};
use cpc_stream::internal::runtime::{Engine, EngineOutput};
use cpc_stream::internal::units::HOP;
use proptest::prelude::*;

const PRECISIONS: [Precision; 5] = Precision::OF_PROCESSORS;

fn built_in() -> (Manifest, Arc<Cpc>) {
    let (manifest, cpc) = embedded(&Device::Cpu).unwrap();
    (manifest, Arc::new(cpc))
}

fn noise(i: usize) -> f32 {
    0.05 * ((i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5)
}

/// Samples that no microphone gives, and some that one does.
fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (-38..38).prop_map(|exponent: i32| 10f32.powi(exponent)),
        prop::sample::select(vec![
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            1e25,
            -1e25,
            1e4,
            0.0
        ]),
        -1.0f32..1.0,
    ]
}

/// What may come into a stream: few odd samples among ordinary ones, or nothing but odd ones.
fn disturbance() -> impl Strategy<Value = Vec<f32>> {
    let dense = prop::collection::vec(any_sample(), 1..2000);
    let sparse = prop::collection::vec((0usize..4000, any_sample()), 1..4).prop_map(|odd| {
        let mut samples: Vec<f32> = (0..4000).map(noise).collect();
        odd.into_iter().for_each(|(at, x)| samples[at] = x);
        samples
    });
    prop_oneof![dense, sparse]
}

/// Frames of the model alone, which hears every sample as it is.
fn usable_after(batch: &mut LiveBatch, disturbance: &[f32]) -> usize {
    let slot = batch.join(0).unwrap();
    let bystander = batch.join(0).unwrap();
    let mut samples: Vec<f32> = (0..4 * HOP).map(noise).chain(disturbance.iter().copied()).collect();
    samples.resize(samples.len().next_multiple_of(HOP), 0.0);
    samples.extend((0..200 * HOP).map(noise));
    let mut usable = 0;
    for (number, hop) in samples.chunks_exact(HOP).enumerate() {
        let mut frames = Vec::new();
        let ordinary: Vec<f32> = (number * HOP..(number + 1) * HOP).map(noise).collect();
        let hops = [(slot, hop.try_into().unwrap()), (bystander, ordinary.try_into().unwrap())];
        batch.step(&hops, &mut frames).unwrap();
        usable = if frames[0].is_finite() { usable + 1 } else { 0 };
        assert!(frames[1].is_finite(), "another stream of the batch was hurt");
    }
    batch.leave(slot).unwrap();
    batch.leave(bystander).unwrap();
    usable
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn the_model_recovers_from_any_samples(disturbance in disturbance()) {
        let (_, cpc) = built_in();
        let kernels = PRECISIONS.map(|precision| Stepping::Kernels { precision, threads: 1 });
        for stepping in kernels {
            let mut batch = LiveBatch::with(Arc::clone(&cpc), stepping).unwrap();
            let usable = usable_after(&mut batch, &disturbance);
            prop_assert!(usable >= 190, "{stepping:?}: only the last {usable} frames are finite");
        }
    }

    #[test]
    fn a_stream_recovers_from_any_samples_at_any_rate(
        disturbance in disturbance(),
        rate in prop::sample::select(vec![8_000u32, 16_000, 44_100, 44_099, 48_000]),
        precision in prop::sample::select(PRECISIONS.to_vec()),
    ) {
        let (manifest, cpc) = built_in();
        let stepping = Stepping::Kernels { precision, threads: 1 };
        let mut engine = Engine::stepped(cpc, &manifest, DetectConfig::default(), stepping).unwrap();
        let stream = engine.add("mic", rate, None).unwrap();
        let ordinary: Vec<f32> = (0..2 * rate as usize + rate as usize / 4).map(noise).collect();
        engine.feed(stream, &ordinary[..rate as usize]).unwrap();
        engine.feed(stream, &disturbance).unwrap();
        engine.feed(stream, &ordinary).unwrap();
        let mut last = None;
        engine.run(&mut |heard| {
            if let EngineOutput::Reading { reading, .. } = heard {
                last = Some((reading.quality, reading.input));
            }
        }).unwrap();
        let (quality, input) = last.unwrap();
        prop_assert!(matches!(quality, Quality::Good | Quality::Settling), "{quality:?}");
        prop_assert!(input.usable(), "{input:?}");
        let figures = engine.pipeline(stream).unwrap().figures();
        prop_assert!(figures.input.usable(), "{figures:?}");
    }
}

/// A sample so large that squares overflow makes the model's memory no number; it is forgotten, once, and counted.
#[test]
fn a_reset_is_counted() {
    let (_, cpc) = built_in();
    for precision in PRECISIONS {
        let mut batch =
            LiveBatch::with(Arc::clone(&cpc), Stepping::Kernels { precision, threads: 1 }).unwrap();
        let mut disturbance = vec![0.01; 10 * HOP];
        disturbance[5 * HOP + 37] = 1e25;
        assert!(usable_after(&mut batch, &disturbance) >= 200);
        assert!((1..=5).contains(&batch.resets()), "{precision:?}: {} resets", batch.resets());
    }
}
