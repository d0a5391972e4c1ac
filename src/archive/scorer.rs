//! The scorer of one recording.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::event_merger::EventMerger;
use super::listener::Listener;
use super::row::Rows;
use crate::corpus::SoundFile;
use crate::detect::{Calibration, DetectConfig, Detector, DetectorModel, DetectorState, Input, InputMonitor};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::model::{Cpc, Manifest, OfflineStepper};
use crate::units::{FRAME_RATE, HOP, frame_end, samples_to_seconds};

/// Hops of a step of the model: 5 s, long enough for large matrix products. Pieces are cut alike from the start of
/// every recording, so that results are reproducible to the bit.
const PIECE: usize = 500;
/// Least seconds to watch in a recording.
const LEAST_WATCHED_S: f64 = 1.0;
/// Seconds after the settling of contexts until all windows of the detector are full.
const WINDOWS_S: f64 = 1.0;
/// Least seconds of a recording after that, where its folder is learnt as one.
const LEAST_TAUGHT_S: f64 = 0.5;
/// The least that `detect.calibrate_seconds` may be.
const LEAST_CALIBRATION_S: f64 = 10.0;

/// The result of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was scored to its end.
    Scored {
        /// Seconds of sound.
        seconds: f64,
    },
    /// It is too short to calibrate and to watch.
    TooShort {
        /// The length found, the length expected and the fix, one line.
        reason: String,
        /// Its seconds.
        seconds: f64,
    },
    /// The listener ended it.
    Stopped,
}

/// A model with the settings of the detector, for any number of recordings.
#[derive(Debug, Clone)]
pub struct Scorer {
    cpc: Arc<Cpc>,
    pub(super) detector_model: DetectorModel,
    pub(super) detect: DetectConfig,
    /// Whether rows are wanted.
    rows: bool,
    /// Idle steppers, kept since a new one packs all weights.
    idle: Arc<Mutex<Vec<OfflineStepper>>>,
}

impl Scorer {
    /// A scorer. Without `rows`, [`Listener::row`] is not called, and no sound is processed twice.
    ///
    /// # Errors
    /// When the model cannot score or a setting is out of range.
    pub fn new((manifest, cpc): (&Manifest, Arc<Cpc>), detect: &DetectConfig, rows: bool) -> Result<Self> {
        cpc.require_scorer()?;
        let hash = manifest.sha256.clone();
        let detector_model = DetectorModel::new(manifest.frame_shape(), hash, cpc.critic())?;
        Detector::new(detect, detector_model.clone())?;
        Ok(Self { cpc, detector_model, detect: detect.clone(), rows, idle: Arc::default() })
    }

    /// Scores the recording at `path`.
    ///
    /// # Errors
    /// A device error when it cannot be read; what the listener fails with.
    pub fn run(&self, path: &Path, listener: &mut dyn Listener) -> Result<Outcome> {
        self.run_with(path, PriorCalibration::Nothing, listener)
    }

    /// The same with a prior calibration.
    pub(super) fn run_with(
        &self,
        path: &Path,
        known: PriorCalibration<'_>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        if self.rows && path.exists() && !path.is_file() {
            return Err(Error::device(
                format!("{} is no regular file, and `--frames` hears a recording twice", path.display()),
                "save it as a file, or leave `--frames` out",
            ));
        }
        let mut recording = self.open(path)?;
        let outcome = match known {
            PriorCalibration::Nothing => self.score_with_own_calibration(path, &mut recording, listener),
            PriorCalibration::Before(calibration) => {
                self.score_with(&mut recording, calibration, true, listener)
            }
            PriorCalibration::FromThis(calibration) => {
                self.score_with(&mut recording, calibration, false, listener)
            }
        };
        self.close(recording);
        outcome
    }

    fn score_with_own_calibration(
        &self,
        path: &Path,
        recording: &mut Recording,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        if let Some(seconds) = recording.duration_s().filter(|&s| s < self.least_s()) {
            let reason = self.too_short(&format!("it is {seconds:.1} s long"), seconds);
            return Ok(Outcome::TooShort { reason, seconds });
        }
        let mut detector = Detector::new(&self.detect, self.detector_model.clone())?;
        let mut watched_from = None;
        let (mut rows, mut events) = (Rows::default(), EventMerger::default());
        let (mut frames, mut findings) = (Vec::new(), Vec::new());
        while recording.next(&mut frames)? {
            for (frame, input) in &frames {
                let reading = detector.push(frame, *input, &mut findings);
                if watched_from.is_some() {
                    if self.rows {
                        rows.push(&reading).map_or(Ok(()), |row| listener.row(&row))?;
                    }
                } else if let Some(calibration) = detector.calibration() {
                    watched_from = Some(frame.index + 1);
                    if self.rows
                        && !self.score_calibration_part(
                            path,
                            frame.index,
                            calibration,
                            &mut rows,
                            listener,
                        )?
                    {
                        return Ok(Outcome::Stopped);
                    }
                }
            }
            events.take(&mut findings, listener)?;
            if !listener.progress(recording.seconds()) {
                return Ok(Outcome::Stopped);
            }
        }
        let watched = recording.frames - watched_from.unwrap_or(recording.frames);
        if (watched as f64) < LEAST_WATCHED_S * f64::from(FRAME_RATE) {
            let usable = match detector.state() {
                DetectorState::Calibrating { done } | DetectorState::Provisional { done } => {
                    f64::from(done) * self.detect.calibrate_seconds
                }
                DetectorState::Watching | DetectorState::Relearning { .. } => self.detect.calibrate_seconds,
            };
            let found = format!("{:.1} s of its {:.1} s are usable sound", usable, recording.seconds());
            return Ok(Outcome::TooShort {
                reason: self.too_short(&found, usable),
                seconds: recording.seconds(),
            });
        }
        rows.finish().filter(|_| self.rows).map_or(Ok(()), |row| listener.row(&row))?;
        detector.finish(&mut findings);
        events.take(&mut findings, listener)?;
        events.finish(recording.frames, listener)?;
        Ok(Outcome::Scored { seconds: recording.seconds() })
    }

    /// Scores a recording by a prior calibration; events only where `reports`.
    fn score_with(
        &self,
        recording: &mut Recording,
        calibration: &Calibration,
        reports: bool,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        let detector_model = self.detector_model.clone();
        let mut detector = Detector::with_calibration(&self.detect, detector_model, calibration.clone())?;
        let (mut rows, mut events) = (Rows::default(), EventMerger::default());
        let (mut frames, mut findings) = (Vec::new(), Vec::new());
        while recording.next(&mut frames)? {
            for (frame, input) in &frames {
                let reading = detector.push(frame, *input, &mut findings);
                if self.rows {
                    rows.push(&reading).map_or(Ok(()), |row| listener.row(&row))?;
                }
            }
            if reports {
                events.take(&mut findings, listener)?;
            } else {
                findings.clear();
            }
            if !listener.progress(recording.seconds()) {
                return Ok(Outcome::Stopped);
            }
        }
        let least = self.around(0.0);
        if recording.seconds() < least {
            let reason = format!("it is {:.1} s long, at least {least} s are expected", recording.seconds());
            return Ok(Outcome::TooShort { reason, seconds: recording.seconds() });
        }
        rows.finish().filter(|_| self.rows).map_or(Ok(()), |row| listener.row(&row))?;
        if reports {
            detector.finish(&mut findings);
            events.take(&mut findings, listener)?;
            events.finish(recording.frames, listener)?;
        }
        Ok(Outcome::Scored { seconds: recording.seconds() })
    }

    /// Scores the recording again up to frame `last` by its own calibration, for the rows; false when the listener
    /// ended it.
    fn score_calibration_part(
        &self,
        path: &Path,
        last: u64,
        calibration: &Calibration,
        rows: &mut Rows,
        listener: &mut dyn Listener,
    ) -> Result<bool> {
        let mut recording = self.open(path)?;
        let detector_model = self.detector_model.clone();
        let mut detector = Detector::with_calibration(&self.detect, detector_model, calibration.clone())?;
        let (mut frames, mut unreported) = (Vec::new(), Vec::new());
        let seconds = samples_to_seconds(frame_end(last));
        let goes_on = 'pass: {
            while recording.next(&mut frames)? {
                for (frame, input) in &frames {
                    let reading = detector.push(frame, *input, &mut unreported);
                    rows.push(&reading).map_or(Ok(()), |row| listener.row(&row))?;
                    if frame.index == last {
                        break 'pass true;
                    }
                }
                unreported.clear();
                if !listener.progress(seconds) {
                    break 'pass false;
                }
            }
            true
        };
        self.close(recording);
        Ok(goes_on)
    }

    pub(super) fn open(&self, path: &Path) -> Result<Recording> {
        let sound = SoundFile::open(path)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let stepper = match idle {
            Some(mut stepper) => stepper.restart().map(|()| stepper)?,
            None => OfflineStepper::new(Arc::clone(&self.cpc))?,
        };
        Ok(Recording { sound, stepper, samples: Vec::new(), monitor: InputMonitor::new(), frames: 0 })
    }

    pub(super) fn close(&self, recording: Recording) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(recording.stepper);
    }

    /// Seconds at the start of a recording of which nothing can be learnt: contexts settle, then windows fill.
    pub(super) fn unsettled_s(&self) -> f64 {
        unsettled_s(&self.detect)
    }

    /// Least seconds of a recording.
    fn least_s(&self) -> f64 {
        self.around(self.detect.calibrate_seconds.ceil())
    }

    /// Seconds of a recording with `calibration` seconds of calibration.
    fn around(&self, calibration: f64) -> f64 {
        calibration + self.detect.settle_ms / 1000.0 + LEAST_WATCHED_S
    }

    pub(super) fn too_short(&self, found: &str, usable: f64) -> String {
        let wanted = self.detect.calibrate_seconds;
        let expected = format!("{found}, {wanted} s to learn from and some to watch are expected");
        if usable >= self.around(LEAST_CALIBRATION_S) {
            // a half for calibration, a half to watch
            let half = (usable / 2.0).floor().clamp(LEAST_CALIBRATION_S, wanted);
            format!("{expected}; try `--calibrate-seconds {half}`")
        } else {
            let least = self.around(LEAST_CALIBRATION_S);
            format!("{expected}; no `--calibrate-seconds` helps below {least} s of usable sound")
        }
    }
}

fn unsettled_s(detect: &DetectConfig) -> f64 {
    detect.settle_ms / 1000.0 + WINDOWS_S
}

/// Least seconds of a recording from which anything can be learnt, where its folder is learnt as one.
#[must_use]
pub fn least_taught_s(detect: &DetectConfig) -> f64 {
    unsettled_s(detect) + LEAST_TAUGHT_S
}

/// The calibration before a recording is scored.
#[derive(Debug, Clone, Copy)]
pub(super) enum PriorCalibration<'a> {
    /// None: the start of the recording is its calibration.
    Nothing,
    /// A calibration from recordings before it.
    Before(&'a Calibration),
    /// A calibration that it is a part of: it is scored, and no events are reported.
    FromThis(&'a Calibration),
}

/// A recording that is being processed.
pub(super) struct Recording {
    sound: SoundFile,
    stepper: OfflineStepper,
    samples: Vec<f32>,
    monitor: InputMonitor,
    pub(super) frames: u64,
}

impl Recording {
    /// Replaces `frames` by the next ones, each with the state of the input; false at the end. Samples that fill no hop
    /// are left out.
    pub(super) fn next(&mut self, frames: &mut Vec<(Frame, Input)>) -> Result<bool> {
        frames.clear();
        while self.samples.len() < PIECE * HOP && self.sound.read(&mut self.samples)? {}
        let ready = self.samples.len().min(PIECE * HOP) / HOP * HOP;
        let mut stepped = Vec::with_capacity(ready / HOP);
        self.stepper.step(self.samples.get(..ready).unwrap_or_default(), &mut stepped)?;
        let hops = self.samples.chunks_exact(HOP);
        for (frame, hop) in stepped.into_iter().zip(hops) {
            self.monitor.push(hop);
            frames.push((frame, self.monitor.input()));
        }
        self.samples.drain(..ready);
        self.frames += frames.len() as u64;
        Ok(!frames.is_empty())
    }

    /// Seconds in all, where its file says so.
    pub(super) fn duration_s(&self) -> Option<f64> {
        self.sound.duration_s()
    }

    /// Seconds processed.
    pub(super) fn seconds(&self) -> f64 {
        samples_to_seconds(self.frames * HOP as u64)
    }
}
