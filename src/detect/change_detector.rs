//! When the site has changed for good: learning it anew, and finding back.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::alarm_controller::Learnt;
use super::calibration::Calibration;
use super::calibration_buffer::CalibrationBuffer;
use super::config::DetectConfig;
use super::detector::Detector;
use super::detector_model::DetectorModel;
use super::frame_scorer::FrameScorer;
use super::stage::{SinceBreak, Stage};
use super::surprise::median;
use super::terms::Adaptive;
use crate::detect::exact::exact;
use crate::event::Finding;
use crate::frame::{Frame, FrameShape};
use crate::units::FRAME_RATE;

/// Below this median p of 1 s the sound is not what was calibrated on ...
pub(crate) const CHANGED: f64 = 1e-3;
/// So much evidence that it is not, and the site has changed; also the seconds that this takes at least.
pub(crate) const CHANGED_BLOCKS: u32 = 60;
/// From this median p on, a calibration calls the sound normal.
const NORMAL: f64 = 0.05;
/// Seconds over which it does.
const NORMAL_BLOCKS: usize = 30;
/// Former calibrations that are remembered.
pub(crate) const MOST_FORMER: usize = 3;
/// Least seconds of sound from which a site is learnt anew.
const SHORTEST_S: f64 = 60.0;

/// What a second says of another site: 1 where the median p of its sound is below 0.001, else by `place`, the probability of
/// its novelty: 1 from 10⁻⁴ downward, 0 at 0.01, −1 at 1. The sum, never below 0, is that of a cumulative sum test (Page,
/// Continuous inspection schemes, Biometrika 1954): a second that happens to sound like before takes little back.
pub(crate) fn cusum_increment(p: f64, place: f64) -> f64 {
    if p < CHANGED { 1.0 } else { (-p.min(place).log10()).clamp(0.0, 4.0) / 2.0 - 1.0 }
}

/// A calibration that was in force before, and what had been learnt under it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousCalibration {
    pub(crate) calibration: Calibration,
    pub(crate) learnt: Learnt,
}

/// Medians of p over blocks of 1 s.
#[derive(Debug, Clone, Default)]
pub(crate) struct Medians {
    block: Vec<f64>,
    last: VecDeque<f64>,
}

exact!(Medians { block, last });

impl Medians {
    /// The next frame's p; the median of its block where it is the last one.
    pub(crate) fn push(&mut self, p: f64) -> Option<f64> {
        self.block.push(p);
        if self.block.len() < FRAME_RATE as usize {
            return None;
        }
        let middle = median(&mut self.block);
        self.block.clear();
        if self.last.len() >= NORMAL_BLOCKS {
            self.last.pop_front();
        }
        self.last.push_back(middle);
        Some(middle)
    }

    /// The median over the last 30 s: of the medians of its blocks. None before.
    fn over_30_s(&self) -> Option<f64> {
        let mut last: Vec<f64> = self.last.iter().copied().collect();
        (last.len() == NORMAL_BLOCKS).then(|| median(&mut last))
    }
}

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
        // a frame that cannot be scored has been told of by the calibration in force
        let adaptive = self.adaptive.get_or_insert_with(|| calibration.terms.adaptive());
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
enum Outcome {
    Passed,
    Returned(usize),
    Learnt,
}

impl Relearning {
    fn new(config: &DetectConfig, shape: FrameShape, former: usize) -> Self {
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

    fn push(
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
}

impl Detector {
    /// What a change of the site asks for after a good frame whose p in force is `p`.
    pub(super) fn follow_regime(&mut self, frame: &Frame, p: f64, out: &mut Vec<Finding>) {
        let Stage::Watching(watch) = &mut self.stage else { return };
        // a provisional calibration gives way to the next one, which begins with all alarms again
        if watch.first.is_some() {
            return;
        }
        if watch.alarm_controller.takes_regime_change() {
            let former = watch.former.len();
            watch.relearning =
                Some(Box::new(Relearning::new(&self.config, self.detector_model.shape, former)));
        }
        let Some(relearning) = &mut watch.relearning else { return };
        if self.silent_run > 0 {
            return;
        }
        match relearning.push(&watch.former, (frame, &self.detector_model), p) {
            None => {}
            Some(Outcome::Passed) => {
                watch.relearning = None;
                watch.alarm_controller.thaw();
            }
            Some(Outcome::Returned(place)) => {
                if let Some(former) = watch.former.remove(place) {
                    self.move_to(former, out);
                }
            }
            Some(Outcome::Learnt) => {
                let config = relearning.config.clone();
                let calibration = relearning.collector.fit(&config, &self.detector_model);
                let learnt = Learnt::new(&self.config);
                match calibration
                    .and_then(|calibration| Ok(PreviousCalibration { calibration, learnt: learnt? }))
                {
                    Ok(new) => self.move_to(new, out),
                    Err(error) => {
                        tracing::warn!(%error, "learning the place anew failed and begins again");
                        let former = watch.former.len();
                        watch.relearning =
                            Some(Box::new(Relearning::new(&self.config, self.detector_model.shape, former)));
                    }
                }
            }
        }
    }

    /// Puts another calibration in force; the present one becomes a former one. A running event ends.
    fn move_to(&mut self, new: PreviousCalibration, out: &mut Vec<Finding>) {
        let Some(former) = self.replace_calibration(new, out) else { return };
        let Stage::Watching(watch) = &mut self.stage else { return };
        watch.former.push_front(former);
        watch.former.truncate(MOST_FORMER);
        watch.relearning = None;
        // surprise was smoothed and novelty held in units of the other calibration
        self.since_break = SinceBreak::new(&self.config, self.detector_model.shape.latent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_left_for_good_not_for_a_sound() {
        let sum = |ps: &mut dyn Iterator<Item = f64>| {
            ps.scan(0f64, |sum, p| {
                *sum = (*sum + cusum_increment(0.5, p)).max(0.0);
                Some(*sum)
            })
            .fold(0.0, f64::max)
        };
        let limit = f64::from(CHANGED_BLOCKS);
        // normal, with a loud event of 20 s now and then
        let usual = |i: usize| if i % 60 < 20 { 1e-12 } else { (i % 100) as f64 / 100.0 + 0.005 };
        assert!(sum(&mut (0..36_000).map(usual)) < limit);
        // another site, of which every fifth second sounds like before
        let other = |i: usize| if i.is_multiple_of(5) { 0.3 } else { 3e-4 };
        assert!(sum(&mut (0..180).map(other)) > limit);
        assert_eq!(
            (cusum_increment(1.0, 1.0), cusum_increment(1.0, 0.01), cusum_increment(1.0, 0.0)),
            (-1.0, 0.0, 1.0)
        );
        assert_eq!(cusum_increment(9e-4, 1.0), 1.0);
    }
}
