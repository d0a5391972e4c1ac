//! Finds the recordings of a job.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::corpus::{check_regular, sound_files};

/// A recording or a folder that could not be scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Its path.
    pub file: PathBuf,
    /// Why, one line.
    pub reason: String,
    /// Its seconds, of a folder those of its longest recording, where it is too short; none where it cannot be read.
    pub short_s: Option<f64>,
}

impl Skipped {
    /// What cannot be read.
    #[must_use]
    pub(super) fn unread(file: PathBuf, reason: String) -> Self {
        Self { file, reason, short_s: None }
    }
}

/// What there is at the inputs of a job.
#[derive(Debug, Default)]
pub struct Recordings {
    /// In their order, folders replaced by the audio files in them by name; each path once. A path that is no file is
    /// listed too: opening it returns the error.
    pub files: Vec<PathBuf>,
    /// What cannot be read.
    pub skipped: Vec<Skipped>,
    /// Files in folders that are not named as audio files.
    pub others: Vec<PathBuf>,
}

/// The recordings at `inputs`.
#[must_use]
pub fn find(inputs: &[PathBuf]) -> Recordings {
    let Recordings { mut files, mut skipped, mut others } = Recordings::default();
    for input in inputs {
        if input.is_dir() {
            match sound_files(input) {
                Ok(found) => {
                    files.extend(found.files);
                    others.extend(found.others);
                    skipped
                        .extend(found.unread.into_iter().map(|(file, reason)| Skipped::unread(file, reason)));
                }
                Err(error) => skipped.push(Skipped::unread(input.clone(), error.to_string())),
            }
        } else if let Err(error) = check_regular(input) {
            skipped.push(Skipped::unread(input.clone(), error.to_string()));
        } else {
            files.push(input.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Recordings { files, skipped, others }
}
