//! A column of the spectrogram.

use crate::units::BANDS;

/// The spectrum of 50 ms, and the highest scores in it.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrogramColumn {
    /// Its end, seconds from the start of the stream.
    pub t_s: f64,
    /// Highest power of each log-mel band, from the lowest up, in tenths of a neper over −14.
    pub bands: [u8; BANDS],
    /// Highest score; none while the stream calibrates.
    pub score: Option<f64>,
    /// Highest surprise.
    pub surprise: Option<f64>,
    /// Highest novelty.
    pub novelty: Option<f64>,
    /// Highest level of a hop, dB full scale.
    pub level_dbfs: f32,
}
