//! A change of the site while it goes on: the site is learnt anew, and calibrations that were in force before are asked.

use std::collections::VecDeque;

use super::calibration::Calibration;
use super::calibration_buffer::CalibrationBuffer;
use super::change_detector::{CHANGED, Medians, NORMAL};
use super::config::DetectConfig;
use super::detector_model::DetectorModel;
use super::frame_scorer::FrameScorer;
use super::learnt::PreviousCalibration;
use super::terms::Adaptive;
use crate::error::Result;
use crate::frame::{Frame, FrameShape};

/// Least seconds of sound from which a site is learnt anew.
const SHORTEST_S: f64 = 60.0;

/// A calibration that is not in force, asked for its opinion. The one place here that scores frames itself.
#[derive(Debug, Clone)]
struct StandbyCalibration {
    scorer: FrameScorer,
    adaptive: Option<Adaptive>,
    medians: Medians,
}

impl StandbyCalibration {
    fn new(config: &DetectConfig) -> Self {
        let scorer = FrameScorer::new(config.surprise_frames());
        Self { scorer, adaptive: None, medians: Medians::default() }
    }

    fn push(&mut self, former: &PreviousCalibration, frame: &Frame, detector_model: &DetectorModel) {
        let PreviousCalibration { calibration, learnt } = former;
        // a frame that cannot be scored has been reported by the calibration in force
        let adaptive = self.adaptive.get_or_insert_with(|| Adaptive::new(&calibration.terms));
        let scores = self.scorer.push(frame, calibration, adaptive, detector_model);
        if let (Some(_), Some(combined)) = (scores.novelty, scores.combined) {
            let p = learnt.recalibrated.p(combined.p);
            self.medians.push(scores.p_place.map_or(p, |place| p.min(place)));
        }
    }
}

/// A change of the site that is going on: what is learnt of the new one, and what the known ones say.
///
/// Alarms of the ordinary tier rest meanwhile. It ends when the sound is normal again by the calibration in force, when
/// a former calibration calls it normal and that one does not (that is in force again at once, with all that was learnt
/// under it), or when enough was received for a calibration of its own.
#[derive(Debug, Clone)]
pub(super) struct Relearning {
    config: DetectConfig,
    collector: CalibrationBuffer,
    current: Medians,
    /// One for each former calibration.
    asides: Vec<StandbyCalibration>,
}

/// How a change of the site ends.
pub(super) enum Outcome {
    Passed,
    Returned(usize),
    Learnt,
}

impl Relearning {
    pub(super) fn new(config: &DetectConfig, shape: FrameShape, former: usize) -> Self {
        let config = DetectConfig {
            calibrate_seconds: config.calibrate_seconds.max(SHORTEST_S),
            provisional_seconds: 0.0,
            ..config.clone()
        };
        let collector = CalibrationBuffer::new(&config, shape);
        let asides = (0..former).map(|_| StandbyCalibration::new(&config)).collect();
        Self { config, collector, current: Medians::default(), asides }
    }

    /// Share of the wanted seconds that was received, 0 to 1.
    pub(super) fn done(&self) -> f32 {
        self.collector.done().min(1.0)
    }

    /// Whether `frames` more are enough.
    pub(super) fn is_full_in(&self, frames: usize) -> bool {
        self.collector.is_full_in(frames)
    }

    /// The stream was broken off: what was smoothed over frames begins anew.
    pub(super) fn break_off(&mut self) {
        for aside in &mut self.asides {
            aside.scorer = FrameScorer::new(self.config.surprise_frames());
        }
    }

    /// Takes a frame whose p in force is `p`; how the change ends, where it does.
    pub(super) fn push(
        &mut self,
        former: &VecDeque<PreviousCalibration>,
        (frame, detector_model): (&Frame, &DetectorModel),
        p: f64,
    ) -> Option<Outcome> {
        self.collector.push(frame);
        for (aside, former) in self.asides.iter_mut().zip(former) {
            aside.push(former, frame, detector_model);
        }
        self.current.push(p)?;
        let current = self.current.over_30_s();
        if current.is_some_and(|p| p >= NORMAL) {
            return Some(Outcome::Passed);
        }
        if current.is_some_and(|p| p < CHANGED) {
            let normal = |aside: &StandbyCalibration| aside.medians.over_30_s().is_some_and(|p| p >= NORMAL);
            if let Some(place) = self.asides.iter().position(normal) {
                return Some(Outcome::Returned(place));
            }
        }
        self.collector.is_full().then_some(Outcome::Learnt)
    }

    /// The calibration of the new site.
    ///
    /// # Errors
    /// As those of a first calibration.
    pub(super) fn fit(&mut self, detector_model: &DetectorModel) -> Result<Calibration> {
        self.collector.fit(&self.config, detector_model)
    }
}
