//! Models with random weights, of every kind that kernels know.

use std::sync::Arc;

use candle_core::{DType, Device};
use cpc_stream::internal::context::ContextConfig;
use cpc_stream::internal::encode::{BandStatistics, EncoderConfig, Normalisation};
use cpc_stream::internal::kernels::Hops;
use cpc_stream::internal::model::{Architecture, BANK, Cpc};
use cpc_stream::internal::nn::{Tensors, uniform};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A name and a shape of each kind.
pub fn kinds() -> Vec<(&'static str, Architecture)> {
    let spectral = |site_seconds: u32| {
        let (bands, channels) = (64, vec![48, 96]);
        let statistics = BandStatistics::usual(bands);
        let encoder = EncoderConfig::Spectral { bands, channels, site_seconds, statistics };
        Architecture { encoder, ..Architecture::spectral() }
    };
    let folded = EncoderConfig::Raw { channels: [20, 33, 40, 64, 70], normalisation: Normalisation::Folded };
    let two_layers = ContextConfig::Gru { hidden: 40, layers: 2 };
    vec![
        ("256", Architecture::cpc256()),
        ("edge", Architecture::edge()),
        ("spectral", spectral(0)),
        ("spectral, by the place", spectral(4)),
        ("folded", Architecture { encoder: folded, ..Architecture::edge() }),
        ("two layers", Architecture { context: two_layers, ..Architecture::edge() }),
    ]
}

/// A model of that shape on each of `devices`, all with the same weights and 50 negatives.
pub fn random_on<const N: usize>(architecture: &Architecture, devices: [&Device; N]) -> [Arc<Cpc>; N] {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
    let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let bank = uniform(&mut rng, &[50, architecture.encoder.latent()], 1.0, &Device::Cpu).unwrap();
    tensors.insert(BANK.to_owned(), bank.to_dtype(DType::F32).unwrap());
    devices.map(|device| {
        let tensors = tensors.iter().map(|(n, t)| (n.clone(), t.to_device(device).unwrap())).collect();
        Arc::new(Cpc::load(&tensors, architecture).unwrap())
    })
}

/// A model of that shape on the processor.
pub fn random(architecture: &Architecture) -> Arc<Cpc> {
    let [cpc] = random_on(architecture, [&Device::Cpu]);
    cpc
}

/// The largest difference; places without a number must be the same.
pub fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| {
        assert_eq!(a.is_nan(), b.is_nan(), "a score without a context");
        if a.is_nan() { 0.0 } else { (a - b).abs() }
    });
    differences.fold(0.0, f32::max)
}

/// The largest differences of scores, z, c and bands; of these and those in `worst` the larger ones.
pub fn of_hops(a: &Hops, b: &Hops, worst: [f32; 4]) -> [f32; 4] {
    let pairs =
        [(&a.pmi, &b.pmi), (&a.latents, &b.latents), (&a.contexts, &b.contexts), (&a.bands, &b.bands)];
    let mut all = worst.into_iter();
    pairs.map(|(a, b)| largest(a, b).max(all.next().unwrap()))
}
