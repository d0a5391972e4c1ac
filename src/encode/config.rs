//! Configuration of the encoder.

use serde::{Deserialize, Serialize};

/// Strides of the five convolutions; their product is one hop of 160 samples.
pub const STRIDES: [usize; 5] = [5, 4, 2, 2, 2];

/// Kernels of the five convolutions, twice the strides.
pub const KERNELS: [usize; 5] = [10, 8, 4, 4, 4];

/// The form of g_enc and its widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// Five convolutions on raw samples.
    Raw {
        /// Output channels of each convolution; the last is the width d of z_t.
        channels: [usize; 5],
        /// The normalisation between a convolution and its rectifier.
        #[serde(default, skip_serializing_if = "Normalisation::is_channel")]
        normalisation: Normalisation,
    },
    /// Log-mel bands, normalised by running statistics of the site, then convolutions of 2 frames.
    Spectral {
        /// Mel bands, 2 to 128.
        bands: usize,
        /// Output channels of each convolution; the last is the width d of z_t.
        channels: Vec<usize>,
        /// Memory of the running statistics of the site in seconds; 0 keeps those of the corpus.
        site_seconds: u32,
        /// The bands in the training sound.
        statistics: BandStatistics,
    },
}

/// The normalisation between a convolution and its rectifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Over the channels of each frame ([`ChannelNorm`](crate::nn::ChannelNorm)).
    #[default]
    Channel,
    /// Nothing: a batch norm whose statistics are fixed is part of the convolution's weights.
    Folded,
}

impl Normalisation {
    fn is_channel(&self) -> bool {
        *self == Self::Channel
    }
}

/// Mean and deviation of every log-mel band over the training sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandStatistics {
    /// Means, ln of power.
    pub mean: Vec<f32>,
    /// Deviations, above 0.
    pub deviation: Vec<f32>,
}

impl BandStatistics {
    /// Defaults, for use without a corpus.
    #[must_use]
    pub fn usual(bands: usize) -> Self {
        Self { mean: vec![-4.0; bands], deviation: vec![3.0; bands] }
    }
}

impl EncoderConfig {
    /// Width d of the latents z_t.
    #[must_use]
    pub fn latent(&self) -> usize {
        match self {
            Self::Raw { channels: [.., last], .. } => *last,
            Self::Spectral { channels, .. } => channels.last().copied().unwrap_or(0),
        }
    }

    /// Every width that memory is needed for.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        match self {
            Self::Raw { channels, .. } => channels.to_vec(),
            Self::Spectral { channels, .. } => channels.clone(),
        }
    }

    /// The first invalid setting, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Self::Spectral { bands, channels, site_seconds, statistics } = self else { return None };
        let length = |values: &[f32]| values.len() == *bands && values.iter().all(|x| x.is_finite());
        if !(2..=128).contains(bands) || !(1..=16).contains(&channels.len()) || *site_seconds > 86_400 {
            return Some(format!(
                "{bands} bands (2..=128), {} layers (1..=16) and a memory of {site_seconds} s (up to a day) are out of range",
                channels.len()
            ));
        }
        let whole = length(&statistics.mean) && length(&statistics.deviation);
        (!whole || statistics.deviation.iter().any(|&d| d <= 0.0))
            .then(|| format!("its statistics are not {bands} means and {bands} deviations above 0"))
    }
}

/// Padding before the first and after the last sample of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Silence before the clip, nothing after it: frame u covers samples `160 u - 305 ..= 160 u + 159`.
    Causal,
    /// CPC_audio's own: 3, 2, 1, 1, 1 zeros on both sides of each layer's input, so frame u covers samples
    /// `160 u - 153 ..= 160 u + 311` and looks ahead. For parity with PyTorch, over whole clips only.
    FbExact,
}
