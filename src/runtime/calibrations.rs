//! What is normal here, kept over restarts.

use std::path::{Path, PathBuf};

use crate::detect::Calibration;
use crate::error::{Error, Result};

/// The calibrations of a daemon's streams, a file each in the state folder.
#[derive(Debug, Clone)]
pub struct CalibrationStore {
    folder: PathBuf,
}

impl CalibrationStore {
    /// In `state_dir/calibration`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("calibration") }
    }

    fn path(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}.json"))
    }

    /// The calibration of a stream, if one was kept and can be read. A damaged file is told of and left alone.
    #[must_use]
    pub fn load(&self, stream: &str) -> Option<Calibration> {
        let path = self.path(stream);
        let text = std::fs::read(&path).ok()?;
        match serde_json::from_slice(&text) {
            Ok(calibration) => Some(calibration),
            Err(error) => {
                tracing::warn!("{}: {error}; the stream is calibrated anew", path.display());
                None
            }
        }
    }

    /// Keeps the calibration of a stream, by way of a file beside it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, stream: &str, calibration: &Calibration) -> Result<PathBuf> {
        let path = self.path(stream);
        let failed = |e: std::io::Error| {
            Error::config(
                format!("cannot write {}: {e}", path.display()),
                "check the permissions and the free space of the state folder (`--state-dir`)",
            )
        };
        let text = serde_json::to_vec(calibration).map_err(|e| Error::internal(e.to_string()))?;
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let part = path.with_extension("json.part");
        std::fs::write(&part, text).map_err(failed)?;
        std::fs::rename(&part, &path).map_err(failed)?;
        Ok(path)
    }
}
