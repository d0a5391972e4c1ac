//! The input of baselines.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::nn::{LogMel, StreamingModule};
use crate::units::{HOP, level_dbfs};

/// Frames of a row: 50 ms.
pub const ROW: usize = 5;
pub(super) use crate::units::BANDS;

/// Frames that are transformed at once.
const PIECE: usize = 2000;

/// Log-mel bands and levels of a stream.
#[derive(Debug, Clone)]
pub struct StreamFeatures {
    /// `[frames, 64]`, as the spectral encoder computes them.
    pub log_mel: Vec<f32>,
    /// Level of each frame, dB full scale.
    pub levels: Vec<f32>,
}

impl StreamFeatures {
    /// Of mono samples at 16 kHz; what fills no frame is left out.
    ///
    /// # Errors
    /// When the transform fails.
    pub fn of(samples: &[f32]) -> Result<Self> {
        let filterbank = LogMel::new(BANDS, &Device::Cpu)?;
        let mut state = filterbank.zero_state(1)?;
        let whole = samples.len() / HOP * HOP;
        let mut log_mel = Vec::with_capacity(whole / HOP * BANDS);
        let samples = samples.get(..whole).unwrap_or_default();
        for piece in samples.chunks(PIECE * HOP) {
            let bands =
                filterbank.step(&Tensor::from_slice(piece, (1, piece.len()), &Device::Cpu)?, &mut state)?;
            log_mel.extend(bands.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Self { log_mel, levels: samples.chunks_exact(HOP).map(level_dbfs).collect() })
    }

    /// Frames.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.levels.len()
    }
}
