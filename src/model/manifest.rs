//! The manifest of a model file.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context::ContextConfig;
use crate::critic::CriticConfig;
use crate::encode::{BandStatistics, EncoderConfig, Normalisation};
use crate::error::{Error, Result};
use crate::frame::FrameShape;
use crate::predict::{HeadsConfig, Negatives};
use crate::units::{HOP, MODEL_RATE};

/// Version of the manifest; a file of a later version is refused.
pub const MANIFEST_FORMAT: u32 = 1;

/// The shape of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// g_enc.
    pub encoder: EncoderConfig,
    /// g_ar.
    pub context: ContextConfig,
    /// W_1 … W_K; `None` without heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<HeadsConfig>,
    /// The critic; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critic: Option<CriticConfig>,
}

impl Architecture {
    /// The edge size: channels 32, 64, 96, 128, 128, GRU 128, K = 12; 0.45 M weights.
    #[must_use]
    pub fn edge() -> Self {
        Self::raw([32, 64, 96, 128, 128], 128)
    }

    /// The width of CPC_audio: 256 channels, GRU 256, K = 12; 2.5 M weights.
    #[must_use]
    pub fn cpc256() -> Self {
        Self::raw([256; 5], 256)
    }

    /// The paper's width: 512 channels, GRU 256, K = 12; 7.4 M weights.
    #[must_use]
    pub fn cpc512() -> Self {
        Self::raw([512; 5], 256)
    }

    /// The edge size on log-mel bands: 64 bands, channels 128, 128, 128, GRU 192, K = 12; 0.55 M weights.
    #[must_use]
    pub fn spectral() -> Self {
        let bands = 64;
        let encoder = EncoderConfig::Spectral {
            bands,
            channels: vec![128; 3],
            site_seconds: 0,
            statistics: BandStatistics::usual(bands),
        };
        Self::with(encoder, 192)
    }

    /// The architecture called `spectral`, `edge`, `256` or `512`.
    ///
    /// # Errors
    /// Any other name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "spectral" => Ok(Self::spectral()),
            "edge" => Ok(Self::edge()),
            "256" => Ok(Self::cpc256()),
            "512" => Ok(Self::cpc512()),
            other => Err(Error::config(
                format!("unknown architecture `{other}`"),
                "choose one of: spectral, edge, 256, 512",
            )),
        }
    }

    fn raw(channels: [usize; 5], hidden: usize) -> Self {
        Self::with(EncoderConfig::Raw { channels, normalisation: Normalisation::Channel }, hidden)
    }

    fn with(encoder: EncoderConfig, hidden: usize) -> Self {
        let scale = 1.0 / (encoder.latent() as f64).sqrt();
        Self {
            encoder,
            context: ContextConfig::Gru { hidden, layers: 1 },
            heads: Some(HeadsConfig { horizons: 12, scale, hidden: None }),
            critic: None,
        }
    }

    /// K, or 0 without heads.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.heads.as_ref().map_or(0, |heads| heads.horizons)
    }

    /// Refuses sizes out of range.
    ///
    /// # Errors
    /// Zero or oversized widths, horizons or layers; a scale that is not a positive number.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::model(what, "use a model file written by `cpc-lab train`"));
        let (channels, hidden) = (self.encoder.widths(), self.context.width());
        let units = self.heads.as_ref().and_then(|heads| heads.hidden);
        if channels.iter().chain([&hidden]).chain(&units).any(|&width| !(2..=4096).contains(&width)) {
            return refuse(format!("widths {channels:?}, {hidden} and {units:?} must lie within 2..=4096"));
        }
        if let Some(fault) = self.encoder.fault() {
            return refuse(format!("encoder: {fault}"));
        }
        if !(1..=4).contains(&self.context.layers()) {
            return refuse(format!("{} layers of the context network (1..=4)", self.context.layers()));
        }
        if let Some(Err(fault)) = self.critic.as_ref().map(CriticConfig::validate) {
            return refuse(fault);
        }
        let Some(heads) = &self.heads else { return Ok(()) };
        if !(1..=64).contains(&heads.horizons) {
            return refuse(format!("K = {} (1..=64) is out of range", heads.horizons));
        }
        if !heads.scale.is_finite() || heads.scale <= 0.0 {
            return refuse(format!("logit scale {} must be a positive number", heads.scale));
        }
        Ok(())
    }
}

/// Where the training data came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCard {
    /// Description of the data, in a line.
    pub description: String,
    /// Clips used for training (validation not counted).
    pub clips: usize,
    /// Their length in hours, digital silence not counted.
    pub hours: f64,
    /// Collections and licences, one line each.
    pub sources: Vec<String>,
}

/// Figures on held-out clips: what guessing gives beside what the model gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Clips and windows measured.
    pub clips: usize,
    /// Windows of 1.28 s.
    pub windows: usize,
    /// N negatives a positive.
    pub negatives: usize,
    /// ln(N + 1), the loss of a guess in nats.
    pub chance_loss: f64,
    /// 1 / (N + 1), the accuracy of a guess.
    pub chance_accuracy: f64,
    /// Mean InfoNCE loss in nats.
    pub loss: f64,
    /// Mean accuracy.
    pub accuracy: f64,
    /// Loss for k = 1..=K.
    pub loss_per_k: Vec<f64>,
    /// Accuracy for k = 1..=K.
    pub accuracy_per_k: Vec<f64>,
}

/// The settings that reproduce the validation figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Share of the sound that was held out.
    pub hold_out: f64,
    /// Windows of a batch: they are one another's negatives.
    pub batch: usize,
    /// Which latents were negatives.
    pub negatives: Negatives,
}

/// How the model was trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingCard {
    /// Optimiser steps up to the weights that were kept.
    pub steps: usize,
    /// Windows a step.
    pub batch: usize,
    /// Hours of audio that went through the model, repeats counted.
    pub hours_heard: f64,
    /// Wall-clock minutes.
    pub minutes: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// The negatives, in words.
    pub negatives: String,
    /// All settings of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
    /// How the figures below were measured; files without this field were measured with the defaults of training.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Figures on the clips held out from training.
    pub validation: Figures,
}

/// The manifest of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// Name of the model.
    pub name: String,
    /// Shape of the model.
    pub architecture: Architecture,
    /// Samples a second; always 16,000.
    pub sample_rate: u32,
    /// Samples a frame; always 160.
    pub hop: usize,
    /// Samples that one frame depends on.
    pub receptive_field: usize,
    /// Vectors in the bank of negatives that ships with the model.
    pub bank: usize,
    /// Licence of the weights.
    pub licence: String,
    /// Training data.
    pub data: DataCard,
    /// Training run.
    pub training: TrainingCard,
    /// sha256, hex, over the architecture (as JSON) and every tensor in the order of names: name, shape, values.
    pub sha256: String,
}

impl Manifest {
    /// The lengths of what its frames hold.
    #[must_use]
    pub fn frame_shape(&self) -> FrameShape {
        FrameShape {
            horizons: self.architecture.horizons(),
            latent: self.architecture.encoder.latent(),
            context: self.architecture.context.width(),
        }
    }

    /// A manifest to be completed by [`save`](super::save): hash, bank and receptive field are those of the tensors.
    #[must_use]
    pub fn new(
        name: &str,
        licence: &str,
        architecture: Architecture,
        (data, training): (DataCard, TrainingCard),
    ) -> Self {
        Self {
            format: MANIFEST_FORMAT,
            name: name.to_owned(),
            architecture,
            sample_rate: MODEL_RATE,
            hop: HOP,
            receptive_field: 0,
            bank: 0,
            licence: licence.to_owned(),
            data,
            training,
            sha256: String::new(),
        }
    }

    /// First 12 hex digits of the hash: how events name the model.
    #[must_use]
    pub fn short_hash(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }

    /// Refuses manifests that this program cannot run.
    ///
    /// # Errors
    /// An unknown format, sample rate or hop, or an architecture out of range.
    pub fn validate(&self) -> Result<()> {
        if self.format != MANIFEST_FORMAT {
            return Err(Error::model(
                format!("manifest format {} found, {MANIFEST_FORMAT} expected", self.format),
                "update cpc-stream, or use a model that it wrote",
            ));
        }
        if (self.sample_rate, self.hop) != (MODEL_RATE, HOP) {
            return Err(Error::model(
                format!(
                    "model runs at {} Hz with a hop of {}; this program runs {MODEL_RATE} Hz and {HOP}",
                    self.sample_rate, self.hop
                ),
                "use a model trained at 16 kHz with a hop of 160 samples",
            ));
        }
        self.architecture.validate()
    }
}

/// sha256 over the architecture (as JSON) and every tensor in the order of names: name, shape, values as
/// little-endian f32.
pub(super) fn content_hash<'a>(
    architecture: &Architecture,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> Result<String> {
    let mut sorted: Vec<_> = tensors.into_iter().collect();
    sorted.sort_by_key(|(name, ..)| *name);
    let mut hash = Sha256::new();
    let json = serde_json::to_vec(architecture).map_err(|e| Error::internal(e.to_string()))?;
    hash.update(json);
    for (name, shape, data) in sorted {
        hash.update(name.as_bytes());
        hash.update(format!("{shape:?}").as_bytes());
        hash.update(data);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
