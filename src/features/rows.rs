//! What a file of features holds, in any of its formats.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{frame_end, samples_to_seconds};

/// Where the JSON of a [`Card`] stands in the metadata of safetensors and Parquet files.
pub const CARD_KEY: &str = "cpc-stream.features";

/// The metadata of a file of features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Name of the model.
    pub model: String,
    /// sha256 of the model, hex.
    pub model_sha256: String,
    /// `causal` or `fb-exact`.
    pub padding: String,
    /// Samples a second of the model.
    pub sample_rate: u32,
    /// Samples a frame.
    pub hop: usize,
    /// The recordings in the order in which they were given; `file` is a place in this list.
    pub files: Vec<Recording>,
}

/// A recording within a [`Card`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Its path, as it was given.
    pub path: String,
    /// Its frames; 0 for one that could not be read.
    pub frames: u64,
}

impl Card {
    pub(super) fn json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::internal(format!("the card of features: {e}")))
    }
}

/// Consecutive frames of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Place of the recording in the list.
    pub file: u32,
    /// Its path.
    pub name: Arc<str>,
    /// Number of the first of these frames in its recording.
    pub first: u64,
    /// Times of the frames, seconds.
    pub(super) t: Vec<f64>,
    /// z, `[frames, d]`.
    pub z: Vec<f32>,
    /// c, `[frames, h]`.
    pub c: Vec<f32>,
}

impl Rows {
    /// `frames` rows from frame `first` on.
    #[must_use]
    pub fn new(
        (file, name): (u32, Arc<str>),
        first: u64,
        frames: usize,
        (z, c): (Vec<f32>, Vec<f32>),
    ) -> Self {
        let t = (first..first + frames as u64).map(|u| samples_to_seconds(frame_end(u))).collect();
        Self { file, name, first, t, z, c }
    }

    /// How many frames.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.t.len()
    }
}

/// One of the formats while it is written.
pub(super) trait Sink {
    fn write(&mut self, rows: &Rows) -> Result<()>;
    fn finish(self: Box<Self>, card: &Card) -> Result<()>;
}
