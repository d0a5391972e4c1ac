//! Raw PCM: its form, and its samples.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ring::RATES;
use crate::units::from_i16;

/// The format of raw PCM, which has no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PcmForm {
    /// Samples a second and channel, in Hz.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// How a sample is written.
    pub format: PcmFormat,
}

impl Default for PcmForm {
    fn default() -> Self {
        Self { rate: 16_000, channels: 1, format: PcmFormat::S16le }
    }
}

/// How a raw sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PcmFormat {
    /// 16-bit signed integers, little-endian.
    S16le,
    /// 32-bit floats in [-1, 1], little-endian.
    F32le,
}

impl PcmForm {
    /// Checks rate and channels.
    ///
    /// # Errors
    /// A config error where no sound has such a form.
    pub(super) fn validate(&self) -> Result<()> {
        if self.channels > 0 && RATES.contains(&self.rate) {
            return Ok(());
        }
        Err(Error::config(
            format!("PCM with {} Hz and {} channels makes no sense", self.rate, self.channels),
            "give the rate and the channels of the PCM, e.g. rate = 16000, channels = 1",
        ))
    }

    /// Bytes of a frame: a sample of each channel.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.format.bytes() * usize::from(self.channels)
    }
}

impl PcmFormat {
    /// Bytes a sample.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::S16le => 2,
            Self::F32le => 4,
        }
    }
}

/// Interleaved samples of whole frames; `samples` is emptied first.
pub fn decode(bytes: &[u8], format: PcmFormat, samples: &mut Vec<f32>) {
    samples.clear();
    match format {
        PcmFormat::S16le => {
            let integers = bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b));
            samples.extend(integers.map(from_i16));
        }
        PcmFormat::F32le => samples.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
    }
}
