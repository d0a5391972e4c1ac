//! Storage of detector states over restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::detect::StreamState;
use crate::error::{Error, Result};
use crate::output_file::write_whole;

/// Past this age of a file only its calibration is used: budget, windows and cap are out of date.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// The detector states of a daemon's streams, a file each in the state folder.
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

    /// The stored state of a stream, if it exists and can be read; a file with a calibration alone is valid. After a
    /// day only the calibration is used. A damaged file is logged and left as it is.
    #[must_use]
    pub fn load(&self, stream: &str) -> Option<StreamState> {
        let path = self.path(stream);
        let text = std::fs::read(&path).ok()?;
        // a clock that was set back makes a file of the future: that one is fresh
        let age = std::fs::metadata(&path).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        match StreamState::from_json(&text) {
            Ok(state) if age.is_some_and(|age| age > FRESH) => Some(state.calibration_only()),
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!("{}: {error}; the stream is calibrated again", path.display());
                None
            }
        }
    }

    /// Stores the state of a stream, by way of a file beside it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, stream: &str, state: &StreamState) -> Result<PathBuf> {
        let path = self.path(stream);
        let failed = |e: std::io::Error| {
            Error::config(
                format!("cannot write {}: {e}", path.display()),
                "check the permissions and the free space of the state folder (`--state-dir`)",
            )
        };
        let text = serde_json::to_vec(state).map_err(|e| Error::internal(e.to_string()))?;
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        write_whole(&path, &text).map_err(failed)?;
        Ok(path)
    }
}
