//! A file of features, in any of its formats.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arrays::Arrays;
use super::columns::Columns;
use super::tensors::Tensors;
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

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Named tensors in one file.
    Safetensors,
    /// An array a file, for NumPy.
    Npy,
    /// Columns, for pandas, DuckDB and the like.
    Parquet,
}

impl Format {
    /// The format that the extension of `path` names.
    ///
    /// # Errors
    /// A configuration error for any other extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
            "safetensors" => Ok(Self::Safetensors),
            "npy" => Ok(Self::Npy),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::config(
                format!("the extension of {} names no format of features", path.display()),
                "end it in .safetensors, .npy or .parquet",
            )),
        }
    }
}

/// One of the formats while it is written.
pub(super) trait Sink {
    fn write(&mut self, rows: &Rows) -> Result<()>;
    fn finish(self: Box<Self>, card: &Card) -> Result<()>;
}

/// A file of features that takes rows until it is finished. Dropped before, it leaves nothing behind.
pub struct FeatureFile {
    sink: Box<dyn Sink>,
}

impl FeatureFile {
    /// A file for `path`, of rows of `d` and `h` numbers, from `recordings` recordings.
    ///
    /// # Errors
    /// A configuration error when the extension names no format or the disk refuses.
    pub fn create(path: &Path, (d, h): (usize, usize), recordings: usize) -> Result<Self> {
        let sink: Box<dyn Sink> = match Format::of(path)? {
            Format::Safetensors => Box::new(Tensors::create(path, (d, h))?),
            Format::Npy => Box::new(Arrays::create(path, (d, h), recordings > 1)?),
            Format::Parquet => Box::new(Columns::create(path, (d, h))?),
        };
        Ok(Self { sink })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// A configuration error when the disk refuses.
    pub fn write(&mut self, rows: &Rows) -> Result<()> {
        self.sink.write(rows)
    }

    /// Completes the file and moves it to its place.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(self, card: &Card) -> Result<()> {
        self.sink.finish(card)
    }
}
