//! z and c of a recording in memory.

use candle_core::Tensor;

use super::Model;
use crate::error::Result;
use crate::nn::StreamingModule as _;
use crate::resample::resample_clip;
use crate::units::{HOP, frame_end, samples_to_seconds};

/// Samples of a piece: 5.12 s, long enough for large matrix products.
const PIECE: usize = 512 * HOP;

/// z and c of a recording, a row for each hop of 10 ms. A last hop that the recording does not fill is left out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Features {
    /// Rows.
    pub frames: usize,
    /// d, the length of a latent.
    pub latent_width: usize,
    /// h, the length of a context.
    pub context_width: usize,
    /// Latents, `[frames, latent_width]`, row by row.
    pub z: Vec<f32>,
    /// Contexts, `[frames, context_width]`, row by row.
    pub c: Vec<f32>,
}

impl Features {
    /// The latent of frame `t`, `[latent_width]`; empty beyond the last frame.
    #[must_use]
    pub fn latent(&self, t: usize) -> &[f32] {
        row(&self.z, self.latent_width, t)
    }

    /// The context of frame `t`, `[context_width]`; empty beyond the last frame.
    #[must_use]
    pub fn context(&self, t: usize) -> &[f32] {
        row(&self.c, self.context_width, t)
    }

    /// End of frame `t` in seconds from the start of the recording.
    #[must_use]
    pub fn end_s(&self, t: usize) -> f64 {
        samples_to_seconds(frame_end(t as u64))
    }
}

fn row(values: &[f32], width: usize, t: usize) -> &[f32] {
    values.get(t * width..(t + 1) * width).unwrap_or_default()
}

impl Model {
    /// z and c of mono `samples` at `sample_rate` Hz, with silence before them. The result is that of the daemon for the same sound, to
    /// 1e-5.
    ///
    /// # Errors
    /// When the rate cannot be resampled.
    pub fn encode(&self, samples: &[f32], sample_rate: u32) -> Result<Features> {
        let samples = resample_clip(samples, sample_rate)?;
        let (encoder, context) = (self.cpc.encoder(), self.cpc.context());
        let (mut near, mut far) = (encoder.zero_state(1)?, context.zero_state(1)?);
        let mut features = Features {
            frames: samples.len() / HOP,
            latent_width: self.latent_width(),
            context_width: self.context_width(),
            z: Vec::new(),
            c: Vec::new(),
        };
        let whole = samples.get(..features.frames * HOP).unwrap_or_default();
        for piece in whole.chunks(PIECE) {
            let piece = Tensor::from_slice(piece, (1, piece.len()), self.cpc.device())?;
            let z = encoder.step(&piece, &mut near)?;
            let c = context.step(&z, &mut far)?;
            features.z.extend(z.flatten_all()?.to_vec1::<f32>()?);
            features.c.extend(c.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(features)
    }
}
