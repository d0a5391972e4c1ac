//! Calibration over a folder of short recordings: over its first ones, in the order of their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::scorer::{Scorer, least_taught_s};
use crate::detect::{Calibration, Detector, DetectorState};
use crate::error::{ErrorKind, Result};
use crate::units::counted;

/// Least seconds that can be learnt from: what a detector needs.
const LEAST_TAUGHT_S: f64 = 9.0;

/// The calibration of a folder.
#[derive(Debug, Clone)]
pub(super) struct FolderCalibration {
    pub(super) calibration: Calibration,
    /// How many recordings, the first by name, were needed for it. Events are reported of the others.
    pub(super) learnt_from: usize,
}

/// The result of a folder's calibration.
#[derive(Debug)]
pub(super) enum Learning {
    Done(Box<FolderCalibration>),
    /// The folder is too short.
    TooShort {
        /// The cause and the fix, one line.
        reason: String,
        /// Seconds of its longest recording.
        seconds: f64,
    },
    /// None of its recordings can be read: why not the first.
    Unread(String),
    Stopped,
}

/// Indices of `files` by their folder; within a folder ordered by name, which recorders derive from the time.
pub(super) fn by_folder(files: &[PathBuf]) -> BTreeMap<PathBuf, Vec<usize>> {
    let mut folders: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for (place, file) in files.iter().enumerate() {
        folders.entry(file.parent().unwrap_or(Path::new("")).to_owned()).or_default().push(place);
    }
    for places in folders.values_mut() {
        places.sort_by_key(|&place| files.get(place));
    }
    folders
}

impl Scorer {
    /// Calibrates over `files`, as one stream with a gap between two files. Unreadable files are skipped, and such as are too
    /// short for the windows of the detector. `progress` is
    /// called with the seconds of each file; false ends it.
    ///
    /// # Errors
    /// When the model fails or a setting is out of range.
    pub(super) fn learn(&self, files: &[&Path], mut progress: impl FnMut(f64) -> bool) -> Result<Learning> {
        let mut detector = Detector::new(&self.detect, self.detector_model.clone())?;
        let (mut frames, mut findings) = (Vec::new(), Vec::new());
        let (mut before, mut lengths, mut unread) = (0, FolderLengths::default(), None);
        for (place, file) in files.iter().enumerate() {
            let mut recording = match self.open(file) {
                Err(error) if error.kind() == ErrorKind::Device => {
                    unread.get_or_insert(error.to_string());
                    continue;
                }
                opened => opened?,
            };
            if let Some(length) = recording.duration_s().filter(|&s| s < least_taught_s(&self.detect)) {
                lengths.add(length, 0.0);
                self.close(recording);
                continue;
            }
            loop {
                match recording.next(&mut frames) {
                    Err(error) if error.kind() == ErrorKind::Device => break,
                    Err(error) => return Err(error),
                    Ok(false) => break,
                    Ok(true) => {}
                }
                for (frame, input) in &mut frames {
                    frame.index += before;
                    detector.push(frame, *input, &mut findings);
                    if let Some(calibration) = detector.calibration() {
                        let calibration = calibration.clone();
                        let learnt = FolderCalibration { calibration, learnt_from: place + 1 };
                        return Ok(Learning::Done(Box::new(learnt)));
                    }
                }
            }
            before += recording.frames;
            lengths.add(recording.seconds(), recording.seconds() - self.unsettled_s());
            let goes_on = progress(recording.seconds());
            self.close(recording);
            if !goes_on {
                return Ok(Learning::Stopped);
            }
            detector.gap(&mut findings);
            findings.clear();
        }
        if let Some(reason) = unread.filter(|_| lengths.recordings == 0) {
            return Ok(Learning::Unread(reason));
        }
        let usable = match detector.state() {
            DetectorState::Calibrating { done } | DetectorState::Provisional { done } => {
                f64::from(done) * self.detect.calibrate_seconds
            }
            DetectorState::Watching | DetectorState::Relearning { .. } => self.detect.calibrate_seconds,
        };
        let reason = self.folder_too_short(&lengths, usable);
        Ok(Learning::TooShort { reason, seconds: lengths.longest })
    }

    fn folder_too_short(&self, lengths: &FolderLengths, usable: f64) -> String {
        let recordings = counted(lengths.recordings, "recording");
        if lengths.longest < least_taught_s(&self.detect) {
            return format!(
                "the longest of its {recordings} has {:.1} s, and each needs {} s: of the first {} s nothing can be learnt. Join them, \
                 or record longer ones",
                lengths.longest,
                least_taught_s(&self.detect),
                self.unsettled_s()
            );
        }
        if lengths.taught < LEAST_TAUGHT_S {
            return format!(
                "{:.1} s of the {:.1} s in its {recordings} can be learnt from (not the first {} s of each), and {LEAST_TAUGHT_S} s are \
                 needed; give more recordings, or longer ones",
                lengths.taught,
                lengths.seconds,
                self.unsettled_s()
            );
        }
        let found = format!(
            "{usable:.1} s of the {:.1} s in its {recordings} are usable sound (not the first {} s of each)",
            lengths.seconds,
            self.detect.settle_ms / 1000.0
        );
        self.too_short(&found, usable)
    }
}

/// The recordings of a folder that could be read.
#[derive(Debug, Default)]
struct FolderLengths {
    recordings: u64,
    seconds: f64,
    longest: f64,
    /// Seconds that can be learnt from.
    taught: f64,
}

impl FolderLengths {
    fn add(&mut self, seconds: f64, taught: f64) {
        self.recordings += 1;
        self.seconds += seconds;
        self.longest = self.longest.max(seconds);
        self.taught += taught.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::DetectConfig;

    #[test]
    fn a_recording_teaches_once_windows_are_full() {
        let detect = DetectConfig { settle_ms: 1000.0, ..DetectConfig::default() };
        assert_eq!(least_taught_s(&detect), 2.5);
        let mut lengths = FolderLengths::default();
        for seconds in [2.0, 12.0] {
            lengths.add(seconds, seconds - 2.0);
        }
        assert_eq!(
            (lengths.recordings, lengths.seconds, lengths.longest, lengths.taught),
            (2, 14.0, 12.0, 10.0)
        );
        lengths.add(1.0, -1.0);
        assert_eq!(lengths.taught, 10.0);
    }

    #[test]
    fn folders_are_learnt_apart_and_in_the_order_of_names() {
        let files = ["b/2.wav", "a/9.wav", "b/1.wav", "a/deep/1.wav", "b/10.wav"].map(PathBuf::from);
        let folders: Vec<_> = by_folder(&files).into_iter().collect();
        let expected = [("a", vec![1]), ("a/deep", vec![3]), ("b", vec![2, 4, 0])];
        assert_eq!(folders, expected.map(|(folder, places)| (PathBuf::from(folder), places)));
    }
}
