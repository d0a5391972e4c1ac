//! Sound files of a folder.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::audio_file::is_named_like_audio;
use crate::error::{Error, Result};

/// The file at `path`, or every audio file in the folder at `path` and below it, by name, with what could not be
/// read of it.
///
/// # Errors
/// A configuration error when there is no such file or folder, or nothing in it.
pub fn sound_files(path: &Path) -> Result<Found> {
    if path.is_file() {
        return Ok(Found { files: vec![path.to_owned()], ..Found::default() });
    }
    let mut found = Found::default();
    walk(path, &mut found);
    found.files.sort();
    let reason = match found.unread.iter().find(|(unread, _)| unread == path) {
        Some((_, reason)) if found.files.is_empty() => reason.clone(),
        _ if found.files.is_empty() && found.unread.is_empty() => "no audio in it".to_owned(),
        _ => return Ok(found),
    };
    Err(Error::config(
        format!("the folder {}: {reason}", path.display()),
        "give an audio file, or a folder with such files",
    ))
}

/// The contents of a folder and its subfolders.
#[derive(Debug, Default)]
pub struct Found {
    /// Sound files, by their extensions, sorted by path.
    pub files: Vec<PathBuf>,
    /// Folders that cannot be read and things named as sound files that are none, and why.
    pub unread: Vec<(PathBuf, String)>,
    /// Files that are not named as sound files.
    pub others: Vec<PathBuf>,
}

pub(super) fn walk(folder: &Path, found: &mut Found) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            found.unread.push((folder.to_owned(), error.to_string()));
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.unread.push((folder.to_owned(), error.to_string()));
                continue;
            }
        };
        let path = entry.path();
        let kind = entry.file_type();
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            walk(&path, found);
        } else if is_named_like_audio(&path) {
            match check_regular(&path) {
                Ok(()) => found.files.push(path),
                Err(error) => found.unread.push((path, error.to_string())),
            }
        } else {
            found.others.push(path);
        }
    }
}

/// Refuses anything but regular files: reading a named pipe could block for ever. An open pipe (`<(…)` of a shell,
/// which is `/dev/fd/N`) is accepted.
///
/// # Errors
/// A device error where it is a named pipe, a device or a socket. A folder, and what is not there or cannot be looked at, is for
/// the reader to tell.
pub fn check_regular(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        // its link leads to no path
        Ok(found) if found.file_type().is_fifo() && path.canonicalize().is_err() => Ok(()),
        Ok(found) if !found.is_file() && !found.is_dir() => Err(Error::device(
            format!("{} is no regular file", path.display()),
            "give an audio file; a pipe is heard by the daemon with `--input -`",
        )),
        _ => Ok(()),
    }
}
