//! However streams are cut, batched, joined or left, each gives the frames of the whole clip.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use cpc_stream::internal::context::ContextConfig;
use cpc_stream::internal::encode::{BandStatistics, EncoderConfig, Normalisation};
use cpc_stream::internal::model::{Architecture, BANK, Cpc, LiveBatch};
use cpc_stream::internal::nn::{StreamingModule, Tensors};
use cpc_stream::internal::predict::{Anchors, HeadsConfig, NegativeSet, from_other_windows};
use cpc_stream::internal::units::HOP;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The paper's form, and one that has everything else: normalised bands, LSTM, heads with a hidden layer.
fn forms() -> [Architecture; 2] {
    let raw = Architecture {
        encoder: EncoderConfig::Raw { channels: [4, 6, 8, 8, 12], normalisation: Normalisation::Channel },
        context: ContextConfig::Gru { hidden: 10, layers: 2 },
        heads: Some(HeadsConfig { horizons: 5, scale: 0.3, hidden: None }),
        critic: None,
    };
    let spectral = Architecture {
        encoder: EncoderConfig::Spectral {
            bands: 16,
            channels: vec![8, 12],
            site_seconds: 3,
            statistics: BandStatistics::usual(16),
        },
        context: ContextConfig::Lstm { hidden: 10, layers: 2 },
        heads: Some(HeadsConfig { horizons: 5, scale: 0.3, hidden: Some(7) }),
        critic: None,
    };
    [raw, spectral]
}

fn random_model(architecture: &Architecture) -> Arc<Cpc> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
    let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let bank: Vec<f32> = (0..6 * 12).map(|_| rng.random_range(0.0..1.0)).collect();
    tensors.insert(BANK.to_owned(), Tensor::from_vec(bank, (6, 12), &Device::Cpu).unwrap());
    Arc::new(Cpc::load(&tensors, architecture).unwrap())
}

fn noise(rng: &mut ChaCha8Rng, hops: usize) -> Vec<f32> {
    (0..hops * HOP).map(|_| rng.random_range(-0.5..0.5)).collect()
}

fn hop(clip: &[f32], index: usize) -> [f32; HOP] {
    clip[index * HOP..(index + 1) * HOP].try_into().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Streams start at different times, pause at random, take some hops in a row, leave in between: nobody's frames
    /// change.
    #[test]
    fn streams_in_a_shared_batch_give_the_frames_of_the_whole_clip(seed: u64, form in 0usize..2) {
        let cpc = random_model(&forms()[form]);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let clips: Vec<Vec<f32>> = (0..4).map(|_| noise(&mut rng, 12)).collect();
        let mut batch = LiveBatch::new(Arc::clone(&cpc)).unwrap();
        let mut slots: HashMap<usize, usize> = HashMap::new();
        let mut at = [0usize; 4];
        let mut heard: Vec<Vec<cpc_stream::internal::frame::Frame>> = vec![Vec::new(); 4];
        while at.iter().any(|&t| t < 12) {
            for (stream, &time) in at.iter().enumerate() {
                if time == 0 && !slots.contains_key(&stream) && rng.random_bool(0.5) {
                    slots.insert(stream, batch.join(0).unwrap());
                }
                if time == 12 && let Some(slot) = slots.remove(&stream) {
                    batch.leave(slot).unwrap();
                }
            }
            let each = rng.random_range(1..4);
            let ready: Vec<usize> = (0..4)
                .filter(|s| slots.contains_key(s) && at[*s] + each <= 12 && rng.random_bool(0.7))
                .flat_map(|s| std::iter::repeat_n(s, each))
                .collect();
            let hops: Vec<_> = ready
                .iter()
                .enumerate()
                .map(|(i, s)| (slots[s], hop(&clips[*s], at[*s] + i % each)))
                .collect();
            let mut frames = Vec::new();
            batch.step(&hops, &mut frames).unwrap();
            for (stream, frame) in ready.into_iter().zip(frames) {
                prop_assert_eq!(frame.index, at[stream] as u64);
                at[stream] += 1;
                heard[stream].push(frame);
            }
        }
        for (clip, frames) in clips.iter().zip(&heard) {
            let whole = cpc.forward(&Tensor::from_slice(clip, (1, clip.len()), &Device::Cpu).unwrap()).unwrap();
            let z = whole.latents.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            let c = whole.contexts.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            let pmi = whole.pmi.unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            for (u, frame) in frames.iter().enumerate() {
                let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| {
                    (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-5
                });
                prop_assert!(same(&frame.z, &z[u]) && same(&frame.c, &c[u]) && same(&frame.pmi, &pmi[u]));
            }
        }
    }
}

#[test]
fn a_reset_stream_is_a_fresh_one() {
    for architecture in forms() {
        a_reset_stream_is_fresh(random_model(&architecture));
    }
}

fn a_reset_stream_is_fresh(cpc: Arc<Cpc>) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (before, after) = (noise(&mut rng, 7), noise(&mut rng, 6));
    let mut used = LiveBatch::new(Arc::clone(&cpc)).unwrap();
    let mut fresh = LiveBatch::new(cpc).unwrap();
    let (a, b) = (used.join(0).unwrap(), fresh.join(20).unwrap());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for i in 0..7 {
        used.step(&[(a, hop(&before, i))], &mut first).unwrap();
    }
    used.reset(a, 20).unwrap();
    first.clear();
    for i in 0..6 {
        used.step(&[(a, hop(&after, i))], &mut first).unwrap();
        fresh.step(&[(b, hop(&after, i))], &mut second).unwrap();
    }
    assert_eq!(first.len(), 6);
    for (x, y) in first.iter().zip(&second) {
        // NaN where no context is old enough, on both sides alike
        assert_eq!(format!("{x:?}"), format!("{y:?}"));
    }
}

#[test]
fn gradients_reach_every_variable() {
    for architecture in forms() {
        gradients_reach_all_of(&architecture);
    }
}

fn gradients_reach_all_of(architecture: &Architecture) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
    let tensors: Tensors = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
    let cpc = Cpc::load(&tensors, architecture).unwrap();
    let samples: Vec<f32> = noise(&mut rng, 3 * 16);
    let samples = Tensor::from_vec(samples, (3, 16 * HOP), &Device::Cpu).unwrap();
    let z = cpc.encoder().forward(&samples).unwrap();
    let c = cpc.context().forward(&z).unwrap();
    let anchors = Anchors::new(cpc.heads().unwrap(), &c, &Anchors::all(16, 5)).unwrap();
    let others = from_other_windows(&z, 5, |below| rng.random_range(0..below)).unwrap();
    let sets =
        [NegativeSet::Within { zone: 1, weight: 1.0 }, NegativeSet::Shared { latents: others, weight: 1.0 }];
    let terms = anchors.info_nce(&z, &sets).unwrap();
    let gradients = terms.loss.mean_all().unwrap().backward().unwrap();
    for (name, var) in &vars {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("no gradient for {name}"));
        let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(norm > 0.0 && norm.is_finite(), "{name}: squared norm {norm}");
    }
}
