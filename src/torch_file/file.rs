//! A file of PyTorch in either container.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::Tensor;

use super::damaged;
use super::legacy::Legacy;
use super::source::Source;
use super::tensor::{Storage, TensorSpec};
use super::value::{Pickle, Value};
use super::zipped::Zipped;
use crate::error::{Error, Result};

/// Bytes of a file, at most.
const MAX_BYTES: u64 = 4 << 30;

enum Container {
    Zipped(Zipped),
    Legacy(Legacy),
}

/// An opened file: its values, and its tensors on demand.
pub struct TorchFile {
    container: Container,
    pickle: Pickle,
    /// Numbers that may still be read: no file holds more numbers than bytes.
    left: u64,
}

impl std::fmt::Debug for TorchFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TorchFile").field("form", &self.form()).finish_non_exhaustive()
    }
}

impl TorchFile {
    /// Opens the file at `path` and reads its values, no tensor yet.
    ///
    /// # Errors
    /// When it cannot be read, torch.save did not write it, or it holds objects that are not plain values.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let unreadable = |e: std::io::Error| {
            Error::model(format!("checkpoint {shown}: {e}"), "check the path and its permissions")
        };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(Error::model(format!("checkpoint {shown} is a directory"), "give a .pt file"));
        }
        Self::read(file).map_err(|error| error.context(format!("checkpoint {shown}")))
    }

    /// Reads the values of a file from `source`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(source: impl Read + Seek + 'static) -> Result<Self> {
        let mut source: Box<dyn Source> = Box::new(source);
        let unreadable = |e: std::io::Error| damaged(format!("it cannot be read: {e}"));
        let length = source.seek(SeekFrom::End(0)).map_err(unreadable)?;
        if length > MAX_BYTES {
            return Err(damaged(format!("a file of {length} bytes, at most {MAX_BYTES} expected")));
        }
        source.rewind().map_err(unreadable)?;
        let mut head = Vec::new();
        source.by_ref().take(512).read_to_end(&mut head).map_err(unreadable)?;
        source.rewind().map_err(unreadable)?;
        let (container, pickle) = if head.starts_with(b"PK") {
            let (zipped, pickle) = Zipped::open(source)?;
            (Container::Zipped(zipped), pickle)
        } else if head.first() == Some(&0x80) {
            let (legacy, pickle) = Legacy::open(source, length)?;
            (Container::Legacy(legacy), pickle)
        } else if head.get(257..262) == Some(b"ustar") {
            return Err(damaged("a tar archive of PyTorch 0.1, which is not read here"));
        } else {
            return Err(damaged(format!("no file that torch.save wrote ({length} bytes)")));
        };
        Ok(Self { container, pickle, left: length })
    }

    /// The form of the container, in words.
    #[must_use]
    pub fn form(&self) -> &'static str {
        match self.container {
            Container::Zipped(_) => "zip archive",
            Container::Legacy(_) => "stream of PyTorch before 1.6",
        }
    }

    /// The object that was saved.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        self.pickle.root()
    }

    /// Reads a tensor of this file as `f32` on the CPU, whatever its strides.
    ///
    /// # Errors
    /// When its numbers are not floating point, or are not where the file says.
    pub fn tensor(&mut self, spec: &TensorSpec) -> Result<Tensor> {
        self.left = self
            .left
            .checked_sub(spec.count())
            .ok_or_else(|| damaged("its tensors hold more numbers than the file has bytes"))?;
        let bytes = self.bytes(spec.storage())?;
        spec.gather(&bytes)
    }

    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>> {
        match &mut self.container {
            Container::Zipped(zipped) => zipped.bytes(storage),
            Container::Legacy(legacy) => legacy.bytes(storage),
        }
    }
}
