//! Which recordings are meant.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::corpus::{check_regular, sound_files};

/// A recording or a folder that nothing could be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path.
    pub file: PathBuf,
    /// Why, one line.
    pub reason: String,
}

/// The recordings at `inputs`, in their order, folders replaced by the audio files in them by name; each
/// path once. What names no file is listed too: only opening it says what is wrong with it.
#[must_use]
pub fn find(inputs: &[PathBuf]) -> (Vec<PathBuf>, Vec<LeftOut>) {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for input in inputs {
        if input.is_dir() {
            match sound_files(input) {
                Ok(found) => {
                    files.extend(found.files);
                    left_out.extend(found.unread.into_iter().map(|(file, reason)| LeftOut { file, reason }));
                }
                Err(error) => left_out.push(LeftOut { file: input.clone(), reason: error.to_string() }),
            }
        } else if let Err(error) = check_regular(input) {
            left_out.push(LeftOut { file: input.clone(), reason: error.to_string() });
        } else {
            files.push(input.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    (files, left_out)
}
