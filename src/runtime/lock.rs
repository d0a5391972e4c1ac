//! One folder serves one daemon.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Takes the state folder for this process, until the file is dropped; the kernel gives it back where the process is
/// killed. None where the folder takes no file: what needs the folder says so itself.
///
/// # Errors
/// When another process holds it.
pub(crate) fn lock(state: &Path) -> Result<Option<File>> {
    let open = || {
        std::fs::create_dir_all(state)?;
        OpenOptions::new().create(true).truncate(false).write(true).open(state.join("lock"))
    };
    let Ok(file) = open() else { return Ok(None) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::config(
            format!("another process uses the state folder {}", state.display()),
            "stop the other cpc-stream, or give this one a folder of its own with `--state-dir`",
        )),
        // a file system without locks
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(file)),
    }
}

/// Whether the file that is held is still the one in the folder.
pub(super) fn is_in_place(held: &File, state: &Path) -> bool {
    let Ok(ours) = held.metadata() else { return true };
    match std::fs::metadata(state.join("lock")) {
        Ok(there) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
        // a disk that does not answer is another fault
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_removed_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let held = lock(&state).unwrap().unwrap();
        assert!(is_in_place(&held, &state));
        std::fs::rename(&state, folder.path().join("aside")).unwrap();
        assert!(!is_in_place(&held, &state));
        let new = lock(&state).unwrap().unwrap();
        assert!(!is_in_place(&held, &state) && is_in_place(&new, &state));
    }

    #[test]
    fn a_folder_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(first.is_some());
        let error = lock(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another process") && error.fix().contains("--state-dir"));
        drop(first);
        assert!(lock(folder.path()).unwrap().is_some());
        assert!(lock(Path::new("/proc/nowhere")).unwrap().is_none());
    }
}
