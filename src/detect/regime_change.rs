//! When the site has changed for good: learning it anew, and finding back.

use super::detector::Detector;
use super::learnt::{Learnt, MOST_FORMER, PreviousCalibration};
use super::relearning::{Outcome, Relearning};
use super::stage::{SinceBreak, Stage};
use crate::event::Finding;
use crate::frame::Frame;

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
                let calibration = relearning.fit(&self.detector_model);
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
