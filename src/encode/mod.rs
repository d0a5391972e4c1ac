//! The encoder g_enc: samples to latents z_t, one every 10 ms.
//!
//! The form is a choice of the model's configuration. [`EncoderConfig::Raw`] is the paper's (arXiv 1807.03748, section
//! 3.1, in the layout of CPC_audio): five strided convolutions on the raw samples, each followed by a normalisation
//! over channels and a rectifier. [`EncoderConfig::Spectral`] takes log-mel bands instead, each normalised by running
//! statistics of the site, so that a loud band does not hide a quiet one.

mod config;
mod encoder;
mod raw;
mod spectral;

pub use config::{BandStatistics, EncoderConfig, KERNELS, Normalisation, Padding, STRIDES};
pub use encoder::{Encoder, EncoderState};
pub use raw::{RawEncoder, RawEncoderState};
pub use spectral::{SpectralEncoder, SpectralEncoderState};
