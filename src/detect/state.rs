//! What a detector knows of its stream, kept over restarts.

use serde::{Deserialize, Serialize};

use super::alarm_controller::Block;
use super::budget::TokenBucket;
use super::calibration::Calibration;
use super::known_normal::KnownNormal;
use super::learnt::{Learnt, PreviousCalibration};
use super::terms::AdaptiveState;

/// Version of the JSON form of [`StreamState`].
pub const STATE_VERSION: u32 = 5;

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
    /// The second that goes on.
    pub(super) block: Block,
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
