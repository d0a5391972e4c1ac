//! One type for every form of encoder.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::{EncoderConfig, Padding, RawEncoder, RawEncoderState};
use crate::nn::{BatchState, Geometry, StreamingModule, WeightSource};

/// g_enc in any of its forms: `[batch, samples]` to `[batch, frames, d]`.
#[derive(Debug, Clone)]
pub enum Encoder {
    /// Convolutions on raw samples.
    Raw(RawEncoder),
}

/// Memory of an [`Encoder`].
#[derive(Debug, Clone)]
pub enum EncoderState {
    /// Of a [`RawEncoder`].
    Raw(RawEncoderState),
}

impl BatchState for EncoderState {
    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Raw(state) => state.tensors(),
        }
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        match self {
            Self::Raw(state) => Self::Raw(state.with_tensors(tensors)),
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
            EncoderConfig::Raw { channels } => Ok(Self::Raw(RawEncoder::load(source, *channels)?)),
        }
    }

    /// Variables for a new encoder.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(rng: &mut R, config: &EncoderConfig, device: &Device) -> Result<Vec<(String, Var)>> {
        match config {
            EncoderConfig::Raw { channels } => RawEncoder::init(rng, *channels, device),
        }
    }

    /// A whole clip with the given padding.
    ///
    /// # Errors
    /// When the clip is shorter than one frame.
    pub fn forward_padded(&self, samples: &Tensor, padding: Padding) -> Result<Tensor> {
        match (self, padding) {
            (_, Padding::Causal) => self.forward(samples),
            (Self::Raw(raw), Padding::FbExact) => raw.forward_fb_exact(samples),
        }
    }
}

impl StreamingModule for Encoder {
    type State = EncoderState;

    fn geometry(&self) -> Geometry {
        match self {
            Self::Raw(raw) => raw.geometry(),
        }
    }

    fn zero_state(&self, batch: usize) -> Result<EncoderState> {
        match self {
            Self::Raw(raw) => raw.zero_state(batch).map(EncoderState::Raw),
        }
    }

    fn step(&self, xs: &Tensor, state: &mut EncoderState) -> Result<Tensor> {
        match (self, state) {
            (Self::Raw(raw), EncoderState::Raw(state)) => raw.step(xs, state),
        }
    }
}
