//! Finds the recordings of a job.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::corpus::{check_regular, sound_files};

/// A recording or a folder that could not be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its path.
    pub file: PathBuf,
    /// Why, one line.
    pub reason: String,
}

/// The recordings at `inputs`, in their order, folders replaced by the audio files in them by name; each path once. A
/// path that is no file is listed too: opening it returns the error.
#[must_use]
pub fn find(inputs: &[PathBuf]) -> (Vec<PathBuf>, Vec<Skipped>) {
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    for input in inputs {
        if input.is_dir() {
            match sound_files(input) {
                Ok(found) => {
                    files.extend(found.files);
                    skipped.extend(found.unread.into_iter().map(|(file, reason)| Skipped { file, reason }));
                }
                Err(error) => skipped.push(Skipped { file: input.clone(), reason: error.to_string() }),
            }
        } else if let Err(error) = check_regular(input) {
            skipped.push(Skipped { file: input.clone(), reason: error.to_string() });
        } else {
            files.push(input.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    (files, skipped)
}
