//! What a detector knows of its stream, kept over restarts.

use serde::{Deserialize, Serialize};

use super::alarm_controller::Learnt;
use super::budget::TokenBucket;
use super::calibration::Calibration;
use super::change_detector::{MOST_FORMER, PreviousCalibration};
use super::config::DetectConfig;
use super::detector::Detector;
use super::detector_model::DetectorModel;
use super::known_normal::KnownNormal;
use super::reading::DetectorCounts;
use super::stage::Stage;
use super::terms::{Adaptive, AdaptiveState};
use crate::error::Result;
use crate::event::Verdict;

/// Version of the JSON form of [`StreamState`].
pub const STATE_VERSION: u32 = 3;

/// The calibration of a stream and what watching has taught since. As JSON it takes about a megabyte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    state_version: u32,
    pub(super) calibration: Calibration,
    pub(super) watch: Option<WatchState>,
}

/// What watching has taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchState {
    pub(super) learnt: Learnt,
    /// What is usual, with what was received since calibration.
    pub(super) adaptive: AdaptiveState,
    pub(super) bucket: TokenBucket,
    pub(super) declared: KnownNormal,
    /// Former calibrations, the newest first.
    pub(super) former: Vec<PreviousCalibration>,
    /// Number of the next event, so that no number comes twice.
    pub(super) number: u64,
}

impl From<Calibration> for StreamState {
    /// Nothing but the calibration is known.
    fn from(calibration: Calibration) -> Self {
        Self { state_version: STATE_VERSION, calibration, watch: None }
    }
}

impl StreamState {
    /// Reads what was written as JSON. Of another version only the calibration is used; a calibration alone, as it
    /// was kept before there was a state, is one without further knowledge.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            state_version: Option<u32>,
        }
        #[derive(Deserialize)]
        struct Other {
            calibration: Calibration,
        }
        match serde_json::from_slice::<Version>(text)?.state_version {
            None => Ok(serde_json::from_slice::<Calibration>(text)?.into()),
            Some(STATE_VERSION) => serde_json::from_slice(text),
            Some(_) => Ok(serde_json::from_slice::<Other>(text)?.calibration.into()),
        }
    }

    /// What is normal here.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The calibration without what watching has taught: for a state that is old.
    #[must_use]
    pub fn calibration_only(self) -> Self {
        Self { watch: None, ..self }
    }
}

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
        Some(StreamState { watch: Some(known), ..watch.calibration.clone().into() })
    }

    /// Id of the calibration in force, once there is one ([`Calibration::id`]).
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
