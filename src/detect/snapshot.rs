//! What is kept of a detector over restarts, and what it tells of itself.

use super::config::DetectConfig;
use super::detector::Detector;
use super::detector_model::DetectorModel;
use super::learnt::MOST_FORMER;
use super::reading::DetectorCounts;
use super::stage::Stage;
use super::state::StreamState;
use super::terms::Adaptive;
use crate::error::Result;
use crate::event::Verdict;

impl Detector {
    /// A detector that goes on where another was when `state` was taken of it. What does not fit together but for
    /// the calibration is not used.
    ///
    /// # Errors
    /// As [`Detector::with_calibration`].
    pub fn with_state(
        config: &DetectConfig,
        detector_model: &DetectorModel,
        state: StreamState,
    ) -> Result<Self> {
        let mut detector = Self::with_calibration(config, detector_model.clone(), state.calibration)?;
        if let (Some(mut known), Stage::Watching(watch)) = (state.watch, &mut detector.stage) {
            let number = known.number;
            let mut former = std::mem::take(&mut known.former);
            former.retain(|f| f.learnt.is_whole() && f.calibration.check(config, detector_model).is_ok());
            former.truncate(MOST_FORMER);
            let adaptive = Adaptive::restore(&watch.calibration.terms, known.adaptive.clone());
            if let Some(adaptive) = adaptive
                && watch.alarm_controller.restore(known, config)?
            {
                watch.adaptive = adaptive;
                watch.former = former.into();
                detector.number = number;
            } else {
                tracing::warn!("what was learnt from watching is damaged; only the calibration is used");
            }
        }
        Ok(detector)
    }

    /// All that is worth keeping until the next start; none while the first calibration goes on.
    #[must_use]
    pub fn snapshot(&self) -> Option<StreamState> {
        let Stage::Watching(watch) = &self.stage else { return None };
        watch.first.is_none().then_some(())?;
        let former = watch.former.iter().cloned().collect();
        let known = watch.alarm_controller.snapshot(self.number, former, watch.adaptive.snapshot());
        let mut state = StreamState::from(watch.calibration.clone());
        state.watch = Some(known);
        Some(state)
    }

    /// Id of the calibration in force, once there is one ([`Calibration::id`](super::Calibration::id)).
    #[must_use]
    pub fn calibration_id(&self) -> Option<&str> {
        match &self.stage {
            Stage::Calibrating(_) => None,
            Stage::Watching(watch) => Some(&watch.id),
        }
    }

    /// What it did besides events.
    #[must_use]
    pub fn counts(&self) -> DetectorCounts {
        let mut counts = self.counts;
        if let Stage::Watching(watch) = &self.stage {
            let now = watch.alarm_controller.counts();
            counts.capped += now.capped;
            counts.known += now.known;
            counts.repeats += now.repeats;
            counts.regimes += now.regimes;
        }
        counts
    }

    /// The threshold on −log10 p in force, once there is one: the budget's and what alarms have taught.
    #[must_use]
    pub fn threshold(&self) -> Option<f64> {
        match &self.stage {
            Stage::Calibrating(_) => None,
            Stage::Watching(watch) => Some(watch.alarm_controller.learnt.controller.threshold()),
        }
    }

    /// The operator's verdict on an event by its number. An anomaly does not count against the budget; what is normal
    /// does, and sound of its kind is not reported again. False if the event is not among the last that are remembered.
    pub fn judge(&mut self, number: u64, verdict: Verdict) -> bool {
        match &mut self.stage {
            Stage::Calibrating(_) => false,
            Stage::Watching(watch) => watch.alarm_controller.judge(number, verdict),
        }
    }
}
