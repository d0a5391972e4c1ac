//! A file of features, in any of its formats.

use std::path::Path;

use super::arrays::Arrays;
use super::columns::Columns;
use super::rows::{Card, Rows, Sink};
use super::tensors::Tensors;
use crate::error::{Error, Result};

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
