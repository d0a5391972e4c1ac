//! Files that appear once they are whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file on its way to `target`. Unless it is kept, nothing of it is left.
#[derive(Debug)]
pub(super) struct PartFile {
    part: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl PartFile {
    /// Makes an empty file beside `target`, to be read and written.
    pub(super) fn create(target: &Path) -> Result<(Self, File)> {
        let mut part = target.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&part);
        let file = file.map_err(|e| cannot_write(target, &e))?;
        Ok((Self { part, target: target.to_owned(), kept: false }, file))
    }

    /// Where the file will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Moves the file to its place.
    pub(super) fn keep(mut self) -> Result<()> {
        std::fs::rename(&self.part, &self.target).map_err(|e| cannot_write(&self.target, &e))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.kept {
            // a file that cannot be removed is the next run's to overwrite
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// `path` with `.word` before its extension: `F.npy` and `z` make `F.z.npy`.
pub(super) fn beside(path: &Path, word: &str) -> PathBuf {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    path.with_extension(format!("{word}.{extension}"))
}

pub(super) fn cannot_write(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("cannot write {}: {why}", path.display()), "check the folder and the free space")
}
