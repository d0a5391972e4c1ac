//! What kind of encoder a model has.

use serde::{Deserialize, Serialize};

/// Strides of the five convolutions; their product is one hop of 160 samples.
pub const STRIDES: [usize; 5] = [5, 4, 2, 2, 2];

/// Kernels of the five convolutions, twice the strides.
pub const KERNELS: [usize; 5] = [10, 8, 4, 4, 4];

/// The form of g_enc and its widths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// Five convolutions on raw samples.
    Raw {
        /// Output channels of each convolution; the last is the width d of z_t.
        channels: [usize; 5],
    },
}

impl EncoderConfig {
    /// Width d of the latents z_t.
    #[must_use]
    pub fn latent(&self) -> usize {
        match self {
            Self::Raw { channels: [.., last] } => *last,
        }
    }
}

/// What stands before the first and after the last sample of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Silence before the clip, nothing after it: frame u covers samples `160 u - 305 ..= 160 u + 159`.
    Causal,
    /// CPC_audio's own: 3, 2, 1, 1, 1 zeros on both sides of each layer's input, so frame u covers samples
    /// `160 u - 153 ..= 160 u + 311` and looks ahead. For parity with PyTorch, over whole clips only.
    FbExact,
}
