//! Files that appear once they are whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output_file::OutputFile;

/// A file on its way to `target`. Unless it is kept, nothing of it is left.
#[derive(Debug)]
pub(super) struct PartFile {
    output: OutputFile,
    target: PathBuf,
}

impl PartFile {
    /// Makes an empty file beside `target`, to be read and written.
    pub(super) fn create(target: &Path) -> Result<(Self, File)> {
        let made = OutputFile::create_regular(target).and_then(|mut output| Ok((output.take()?, output)));
        let (file, output) = made.map_err(|e| cannot_write(target, &e))?;
        Ok((Self { output, target: target.to_owned() }, file))
    }

    /// Where the file will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Moves the file to its place.
    pub(super) fn keep(self) -> Result<()> {
        self.output.keep().map_err(|e| cannot_write(&self.target, &e))
    }
}

/// `path` with `.word` before its extension: `F.npy` and `z` make `F.z.npy`.
pub(super) fn sibling(path: &Path, word: &str) -> PathBuf {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    path.with_extension(format!("{word}.{extension}"))
}

pub(super) fn cannot_write(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("cannot write {}: {why}", path.display()), "check the folder and the free space")
}
