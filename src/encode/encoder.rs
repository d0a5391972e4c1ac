//! One type for every form of encoder.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::{EncoderConfig, Padding, RawEncoder, RawEncoderState, SpectralEncoder, SpectralEncoderState};
use crate::nn::{BatchState, Geometry, StreamingModule, WeightSource};

/// g_enc in any of its forms: `[batch, samples]` to `[batch, frames, d]`.
#[derive(Debug, Clone)]
pub enum Encoder {
    /// Convolutions on raw samples.
    Raw(RawEncoder),
    /// Convolutions on log-mel bands.
    Spectral(SpectralEncoder),
}

/// Memory of an [`Encoder`].
#[derive(Debug, Clone)]
pub enum EncoderState {
    /// Of a [`RawEncoder`].
    Raw(RawEncoderState),
    /// Of a [`SpectralEncoder`].
    Spectral(SpectralEncoderState),
}

impl BatchState for EncoderState {
    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Raw(state) => state.tensors(),
            Self::Spectral(state) => state.tensors(),
        }
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        match self {
            Self::Raw(state) => Self::Raw(state.with_tensors(tensors)),
            Self::Spectral(state) => Self::Spectral(state.with_tensors(tensors)),
        }
    }
}

impl Encoder {
    /// Reads the tensors of the form that `config` names.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than `config` says.
    pub fn load(source: WeightSource<'_>, config: &EncoderConfig) -> Result<Self> {
        match config {
            EncoderConfig::Raw { channels, normalisation } => {
                Ok(Self::Raw(RawEncoder::load(source, *channels, *normalisation)?))
            }
            EncoderConfig::Spectral { bands, channels, site_seconds, statistics } => {
                let encoder = SpectralEncoder::load(source, *bands, channels, *site_seconds, statistics)?;
                Ok(Self::Spectral(encoder))
            }
        }
    }

    /// Variables for a new encoder.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(rng: &mut R, config: &EncoderConfig, device: &Device) -> Result<Vec<(String, Var)>> {
        match config {
            EncoderConfig::Raw { channels, normalisation } => {
                RawEncoder::init(rng, *channels, *normalisation, device)
            }
            EncoderConfig::Spectral { bands, channels, .. } => {
                SpectralEncoder::init(rng, *bands, channels, device)
            }
        }
    }

    /// The next latents, and the log-mel bands beneath them where the encoder makes them.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn step_with_bands(&self, xs: &Tensor, state: &mut EncoderState) -> Result<(Tensor, Option<Tensor>)> {
        match (self, state) {
            (Self::Spectral(spectral), EncoderState::Spectral(state)) => {
                spectral.step_with_bands(xs, state).map(|(latents, bands)| (latents, Some(bands)))
            }
            (encoder, state) => encoder.step(xs, state).map(|latents| (latents, None)),
        }
    }

    /// Log-mel bands that the encoder makes; none on raw samples.
    #[must_use]
    pub fn bands(&self) -> Option<usize> {
        match self {
            Self::Raw(_) => None,
            Self::Spectral(spectral) => Some(spectral.bands()),
        }
    }

    /// A whole clip with the given padding.
    ///
    /// # Errors
    /// When the clip is shorter than one frame, or the encoder is spectral and the padding is not causal.
    pub fn forward_padded(&self, samples: &Tensor, padding: Padding) -> Result<Tensor> {
        match (self, padding) {
            (_, Padding::Causal) => self.forward(samples),
            (Self::Raw(raw), Padding::FbExact) => raw.forward_fb_exact(samples),
            (Self::Spectral(_), Padding::FbExact) => {
                candle_core::bail!("padding fb-exact is for encoders on raw samples; this one is spectral")
            }
        }
    }
}

impl StreamingModule for Encoder {
    type State = EncoderState;

    fn geometry(&self) -> Geometry {
        match self {
            Self::Raw(raw) => raw.geometry(),
            Self::Spectral(spectral) => spectral.geometry(),
        }
    }

    fn zero_state(&self, batch: usize) -> Result<EncoderState> {
        match self {
            Self::Raw(raw) => raw.zero_state(batch).map(EncoderState::Raw),
            Self::Spectral(spectral) => spectral.zero_state(batch).map(EncoderState::Spectral),
        }
    }

    fn step(&self, xs: &Tensor, state: &mut EncoderState) -> Result<Tensor> {
        match (self, state) {
            (Self::Raw(raw), EncoderState::Raw(state)) => raw.step(xs, state),
            (Self::Spectral(spectral), EncoderState::Spectral(state)) => spectral.step(xs, state),
            _ => candle_core::bail!("the state belongs to another form of encoder"),
        }
    }
}
