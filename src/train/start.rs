//! Initial weights of a run.

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::checkpointable_rng::CheckpointableRng;
use super::sampler::Sampler;
use crate::config::TrainConfig;
use crate::corpus::Recording;
use crate::encode::{BandStatistics, EncoderConfig};
use crate::error::{Error, Result};
use crate::model::{Architecture, Manifest, WINDOW};
use crate::nn::{LogMel, StreamingModule, Tensors};
use crate::predict::HeadsConfig;

/// Windows from which the statistics of bands are taken.
const STATISTICS_WINDOWS: usize = 300;

/// Initial weights of a run.
#[derive(Debug, Clone)]
pub enum Start {
    /// Random weights, in the architecture that the configuration names.
    Random,
    /// The weights of a model; with `heads_only`, encoder and context network stay as they are.
    Model {
        /// Its manifest.
        manifest: Box<Manifest>,
        /// Its tensors.
        tensors: Tensors,
        /// Whether only the heads learn.
        heads_only: bool,
    },
}

impl Start {
    /// The architecture, the tensors that are given, and whether only the heads learn.
    pub(super) fn resolve(self, config: &TrainConfig) -> Result<(Architecture, Option<Tensors>, bool)> {
        let heads_for = |latent: usize| HeadsConfig {
            horizons: config.horizons,
            scale: config.scale.factor(latent),
            hidden: (config.head_hidden > 0).then_some(config.head_hidden),
        };
        match self {
            Self::Random => {
                let mut architecture = Architecture::named(&config.architecture)?;
                architecture.heads = Some(heads_for(architecture.encoder.latent()));
                if let EncoderConfig::Spectral { site_seconds, .. } = &mut architecture.encoder {
                    *site_seconds = config.site_seconds;
                }
                Ok((architecture, None, false))
            }
            Self::Model { manifest, mut tensors, heads_only } => {
                let mut architecture = manifest.architecture;
                if architecture.heads.is_none() {
                    architecture.heads = Some(heads_for(architecture.encoder.latent()));
                    tensors.retain(|name, _| !name.starts_with("heads."));
                }
                if architecture.horizons() >= WINDOW / crate::units::HOP {
                    return Err(Error::model(
                        format!("K = {} does not fit windows of 128 frames", architecture.horizons()),
                        "use a model with fewer heads",
                    ));
                }
                Ok((architecture, Some(tensors), heads_only))
            }
        }
    }
}

/// Mean and deviation of the log-mel bands in the training sound, gains included.
pub(super) fn statistics_of(sampler: &Sampler, bands: usize, config: &TrainConfig) -> Result<BandStatistics> {
    let filterbank = LogMel::new(bands, &Device::Cpu)?;
    let mut rng = CheckpointableRng::new(config.seed, 5);
    let (mut sum, mut squares, mut frames) = (vec![0f64; bands], vec![0f64; bands], 0f64);
    let mut window = Vec::new();
    for _ in 0..STATISTICS_WINDOWS {
        sampler.foreign(u32::MAX, &mut rng, &mut window);
        let gain = 10f32.powf(rng.between(config.gain_db) / 20.0);
        window.iter_mut().for_each(|x| *x = (*x * gain).clamp(-1.0, 1.0));
        let received = filterbank.forward(&Tensor::from_slice(&window, (1, WINDOW), &Device::Cpu)?)?;
        // the first frames depend on the silence before the window
        for frame in received.squeeze(0)?.to_vec2::<f32>()?.iter().skip(3) {
            for ((s, q), &x) in sum.iter_mut().zip(&mut squares).zip(frame) {
                *s += f64::from(x);
                *q += f64::from(x) * f64::from(x);
            }
            frames += 1.0;
        }
    }
    let mean: Vec<f64> = sum.iter().map(|s| s / frames).collect();
    let deviation = squares.iter().zip(&mean).map(|(q, m)| ((q / frames - m * m).max(1e-4)).sqrt() as f32);
    Ok(BandStatistics { deviation: deviation.collect(), mean: mean.iter().map(|&m| m as f32).collect() })
}

/// A fingerprint of a set of recordings, from names and lengths.
pub(super) fn fingerprint<'a>(recordings: impl Iterator<Item = &'a Recording>) -> String {
    let mut hash = Sha256::new();
    for recording in recordings {
        hash.update(format!("{}\n{}\n", recording.id, recording.len()));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
