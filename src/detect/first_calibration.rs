//! The first calibration of a stream: provisional ones as the sound grows, then the complete one.

use super::calibration::Calibration;
use super::calibration_buffer::CalibrationBuffer;
use super::detector::Detector;
use super::frame_scorer::FrameScorer;
use super::learnt::{Learnt, PreviousCalibration};
use super::stage::Stage;
use super::terms::Adaptive;
use crate::error::Result;
use crate::event::Finding;
use crate::frame::Frame;

impl Detector {
    /// Adds a frame to the sound of the first calibration, and fits that where it is due; `calm` says that no event goes on, for
    /// whose end a fit waits. True where a calibration was put in force: its scores begin with the next frame.
    pub(super) fn collect(&mut self, frame: &Frame, calm: bool, out: &mut Vec<Finding>) -> bool {
        let collector = match &mut self.stage {
            Stage::Calibrating(collector) => collector,
            Stage::Watching(watch) => match &mut watch.first {
                Some(first) => first,
                None => return false,
            },
        };
        collector.push(frame);
        if !calm || !collector.is_due_in(0) {
            return false;
        }
        let is_full = collector.is_full();
        let learnt = if is_full {
            let known = collector.fit(&self.config, &self.detector_model);
            known.map(|known| (collector.scorer(&known, &self.detector_model), known))
        } else {
            collector.fit_provisionally(&self.config, &self.detector_model)
        };
        match learnt.and_then(|(scorer, known)| self.put_in_force(known, scorer, is_full, out)) {
            Ok(()) => true,
            Err(error) if is_full => {
                tracing::warn!(%error, "calibration failed and begins anew");
                self.recalibrate(out);
                false
            }
            Err(error) => {
                tracing::debug!(%error, "a provisional calibration failed");
                false
            }
        }
    }

    /// Puts a calibration of the collected sound in force; where it is not of all of it (`is_full`), there is another to come.
    fn put_in_force(
        &mut self,
        calibration: Calibration,
        scorer: FrameScorer,
        is_full: bool,
        out: &mut Vec<Finding>,
    ) -> Result<()> {
        if let Stage::Calibrating(collector) = &mut self.stage {
            let empty = CalibrationBuffer::new(&self.config, self.detector_model.shape);
            let collector = std::mem::replace(collector, Box::new(empty));
            self.watch(calibration)?;
            if let Stage::Watching(watch) = &mut self.stage {
                watch.first = (!is_full).then_some(collector);
            }
        } else {
            let learnt = Learnt::new(&self.config)?;
            self.replace_calibration(PreviousCalibration { calibration, learnt }, out);
            if let Stage::Watching(watch) = &mut self.stage {
                watch.first.take_if(|_| is_full);
            }
        }
        self.since_break.scorer = scorer;
        Ok(())
    }

    /// Puts another calibration in force and gives the one before, with what was learnt under it. A running event ends.
    pub(super) fn replace_calibration(
        &mut self,
        new: PreviousCalibration,
        out: &mut Vec<Finding>,
    ) -> Option<PreviousCalibration> {
        let Stage::Watching(watch) = &mut self.stage else { return None };
        let reported = watch.alarm_controller.finish(self.number);
        self.tell(&reported, out);
        let Stage::Watching(watch) = &mut self.stage else { return None };
        let learnt = watch.alarm_controller.adopt(new.learnt, &self.config);
        watch.id = new.calibration.id();
        watch.adaptive = Adaptive::new(&new.calibration.terms);
        let calibration = std::mem::replace(&mut watch.calibration, new.calibration);
        Some(PreviousCalibration { calibration, learnt })
    }
}

#[cfg(test)]
mod tests {
    use super::super::robustness_tests::one_event;
    use super::super::simulated_streams::{Noise, detector_model, hear};
    use super::super::{DetectConfig, DetectorState, Input};
    use super::*;

    fn config() -> DetectConfig {
        DetectConfig { calibrate_seconds: 300.0, ..Default::default() }
    }

    fn detector(config: &DetectConfig) -> Detector {
        Detector::new(config, detector_model()).unwrap()
    }

    /// Seconds of sound before a provisional calibration and between two, with the settling at the start.
    fn seconds(noise: &mut Noise, seconds: f64) -> Vec<Frame> {
        noise.frames((seconds * 100.0) as usize)
    }

    #[test]
    fn what_is_far_from_normal_is_reported_before_calibration_is_complete() {
        let mut noise = Noise::new(60);
        let mut live = detector(&config());
        let mut other = detector(&DetectConfig { provisional_seconds: 0.0, ..config() });
        let mut both = |frames: &[Frame]| {
            let found = hear(&mut live, frames);
            assert_eq!(hear(&mut other, frames), [], "only one has a provisional calibration");
            assert!(other.state() != DetectorState::Watching || live.state() == DetectorState::Watching);
            (
                found,
                live.state(),
                live.calibration().is_some() || live.snapshot().is_some() || live.memory().is_some(),
            )
        };
        assert_eq!(both(&seconds(&mut noise, 60.9)).0, []);
        let (found, state, is_kept) = both(&seconds(&mut noise, 20.0));
        assert_eq!(found, []);
        assert!(
            matches!(state, DetectorState::Provisional { done } if (done - 0.266).abs() < 0.01),
            "{state:?}"
        );
        assert!(!is_kept, "a provisional calibration is not kept");
        let start = noise.index;
        let mut found = both(&noise.event(100, 8.0, 6.0)).0;
        found.extend(both(&seconds(&mut noise, 10.0)).0);
        assert!(one_event(&found).0.onset_sample.abs_diff(start * 160) < 160 * 30);
        let (found, state, _) = both(&seconds(&mut noise, 230.0));
        assert_eq!((found.len(), state), (0, DetectorState::Watching));
        assert_eq!(live.calibration(), other.calibration(), "complete ones are the same");
    }

    #[test]
    fn a_fit_waits_for_the_end_of_an_event() {
        let mut noise = Noise::new(61);
        let mut live = detector(&config());
        hear(&mut live, &seconds(&mut noise, 119.0));
        let known = live.calibration_id().map(str::to_owned);
        assert!(known.is_some());
        let mut found = hear(&mut live, &noise.event(500, 8.0, 6.0));
        assert_eq!(live.calibration_id(), known.as_deref(), "120 s are over");
        found.extend(hear(&mut live, &seconds(&mut noise, 5.0)));
        assert_ne!(live.calibration_id(), known.as_deref());
        let (new, end) = one_event(&found);
        assert!(end.offset_s.unwrap() - new.onset_s > 4.0, "{end:?}");
    }

    #[test]
    fn a_fit_is_announced_by_the_frame_before() {
        let mut noise = Noise::new(62);
        let mut live = detector(&config());
        let (mut fits, mut out) = (0, Vec::new());
        for frame in seconds(&mut noise, 310.0) {
            let (announced, known) = (live.learns_within(1), live.calibration_id().map(str::to_owned));
            live.push(&frame, Input::GOOD, &mut out);
            let is_new = live.calibration_id() != known.as_deref();
            assert!(announced || !is_new, "frame {}", frame.index);
            fits += usize::from(is_new);
        }
        assert_eq!(fits, 3, "of 60, 120 and 300 s");
        let mut held = detector(&DetectConfig { hold_budget: false, ..config() });
        hear(&mut held, &seconds(&mut noise, 70.0));
        assert!(held.calibration_id().is_none(), "recordings are read by a program");
    }

    #[test]
    fn sound_in_pieces_is_fitted_once_windows_were_full_for_long_enough() {
        let mut noise = Noise::new(63);
        let mut buffer = CalibrationBuffer::new(&config(), detector_model().shape);
        let mut frames = 0;
        while !buffer.is_due_in(0) {
            assert!(frames < 10_000, "{frames}");
            // of 1.1 s the first second does not count, and a second is missing between two pieces
            noise.frames(110).iter().for_each(|frame| buffer.push(frame));
            noise.index += 100;
            frames += 110;
        }
        assert!(frames > 9_000, "60 s were over at 6,000: {frames}");
        assert!(buffer.fit_provisionally(&config(), &detector_model()).is_ok());
    }
}
