//! Calibration over a folder of short recordings: over its first ones, in the order of their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::scorer::Scorer;
use crate::detect::{Calibration, Detector, DetectorState};
use crate::error::{ErrorKind, Result};

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
    /// The folder is too short; the cause and the fix, one line.
    TooShort(String),
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
    /// Calibrates over `files`, as one stream with a gap between two files. Unreadable files are skipped. `progress` is
    /// called with the seconds of each file; false ends it.
    ///
    /// # Errors
    /// When the model fails or a setting is out of range.
    pub(super) fn learn(&self, files: &[&Path], mut progress: impl FnMut(f64) -> bool) -> Result<Learning> {
        let mut detector = Detector::new(&self.detect, self.instrument.clone())?;
        let (mut frames, mut findings) = (Vec::new(), Vec::new());
        let (mut before, mut seconds) = (0, 0.0);
        for (place, file) in files.iter().enumerate() {
            let mut recording = match self.open(file) {
                Err(error) if error.kind() == ErrorKind::Device => continue,
                opened => opened?,
            };
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
            seconds += recording.seconds();
            let goes_on = progress(recording.seconds());
            self.close(recording);
            if !goes_on {
                return Ok(Learning::Stopped);
            }
            detector.gap(&mut findings);
            findings.clear();
        }
        let usable = match detector.state() {
            DetectorState::Calibrating { done } => f64::from(done) * self.detect.calibrate_seconds,
            DetectorState::Watching | DetectorState::Relearning { .. } => self.detect.calibrate_seconds,
        };
        let found = format!(
            "{usable:.1} s of the {seconds:.1} s in its {} recordings are usable sound ({} s at the start of each are not)",
            files.len(),
            self.detect.settle_ms / 1000.0
        );
        Ok(Learning::TooShort(self.too_short(&found, usable)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_learnt_apart_and_in_the_order_of_names() {
        let files = ["b/2.wav", "a/9.wav", "b/1.wav", "a/deep/1.wav", "b/10.wav"].map(PathBuf::from);
        let folders: Vec<_> = by_folder(&files).into_iter().collect();
        let expected = [("a", vec![1]), ("a/deep", vec![3]), ("b", vec![2, 4, 0])];
        assert_eq!(folders, expected.map(|(folder, places)| (PathBuf::from(folder), places)));
    }
}
