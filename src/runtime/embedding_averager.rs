//! Averages contexts of consecutive frames to embeddings.

use std::time::{Duration, SystemTime};

use crate::detect::exact::exact;
use crate::error::{Error, Result};
use crate::model::Manifest;
use crate::publish::{Embedding, EmbeddingConfig};
use crate::units::{frame_end, samples_to_seconds};

/// The mean of consecutive contexts of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanContext {
    /// Number of the first frame.
    pub first_frame: u64,
    /// How many frames.
    pub frames: u32,
    /// The mean, `[h]`.
    pub mean: Vec<f32>,
}

/// The contexts since the last mean.
#[derive(Debug, Clone, Default)]
pub(super) struct EmbeddingAverager {
    first_frame: u64,
    frames: u32,
    sum: Vec<f32>,
}

exact!(EmbeddingAverager { first_frame, frames, sum });

impl EmbeddingAverager {
    /// Takes the context of frame `index`; gives the mean with the last of `every` frames in a row.
    pub(super) fn push(&mut self, every: u32, index: u64, c: &[f32]) -> Option<MeanContext> {
        if self.frames == 0 {
            self.first_frame = index;
            self.sum.clear();
            self.sum.resize(c.len(), 0.0);
        }
        for (sum, x) in self.sum.iter_mut().zip(c) {
            *sum += x;
        }
        self.frames += 1;
        if self.frames < every {
            return None;
        }
        let frames = std::mem::take(&mut self.frames);
        let mean = self.sum.iter().map(|sum| sum / frames as f32).collect();
        Some(MeanContext { first_frame: self.first_frame, frames, mean })
    }

    /// Discards the partial mean: after a gap the next frame is the first.
    pub(super) fn reset(&mut self) {
        self.frames = 0;
    }
}

/// Makes embedding documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Embedder {
    config: EmbeddingConfig,
    model: [u8; 6],
}

impl Embedder {
    pub(super) fn new(config: EmbeddingConfig, manifest: &Manifest) -> Result<Self> {
        let mut model = [0; 6];
        for (i, byte) in model.iter_mut().enumerate() {
            let digits = manifest.sha256.get(2 * i..2 * i + 2).unwrap_or_default();
            *byte =
                u8::from_str_radix(digits, 16).map_err(|_| Error::internal("the model's hash is not hex"))?;
        }
        Ok(Self { config, model })
    }

    /// The embedding of a stream whose sample 0 was captured at `zero`.
    pub(super) fn embedding(&self, pooled: MeanContext, zero: SystemTime, seq: u32) -> Embedding {
        let end = frame_end(pooled.first_frame + u64::from(pooled.frames.saturating_sub(1)));
        let time = zero + Duration::from_secs_f64(samples_to_seconds(end));
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Embedding {
            dtype: self.config.dtype,
            source: self.config.source,
            model: self.model,
            first_frame: pooled.first_frame,
            time_ns: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            frames: pooled.frames,
            seq,
            values: pooled.mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_frames_in_a_row_and_none_across_a_gap() {
        let mut pool = EmbeddingAverager::default();
        let push = |pool: &mut EmbeddingAverager, index: u64| pool.push(4, index, &[index as f32, -1.0]);
        assert!((0..3).all(|i| push(&mut pool, i).is_none()));
        let first = push(&mut pool, 3).unwrap();
        assert_eq!(first, MeanContext { first_frame: 0, frames: 4, mean: vec![1.5, -1.0] });
        assert!((4..7).all(|i| push(&mut pool, i).is_none()));
        pool.reset();
        assert!((100..103).all(|i| push(&mut pool, i).is_none()));
        let behind = push(&mut pool, 103).unwrap();
        assert_eq!(behind, MeanContext { first_frame: 100, frames: 4, mean: vec![101.5, -1.0] });
        assert_eq!(pool.push(1, 7, &[2.0]).unwrap().mean, [2.0]);
    }
}
