//! What watching has taught under a calibration, and calibrations that were in force before.

use serde::{Deserialize, Serialize};

use super::budget::{CALIBRATED_SCALE, Controller};
use super::calibration::Calibration;
use super::config::DetectConfig;
use super::maxima::{Maxima, Recalibrated};
use crate::detect::exact::exact;
use crate::error::Result;

/// Former calibrations that are remembered.
pub(crate) const MOST_FORMER: usize = 3;

/// What watching has taught about one calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learnt {
    pub(crate) controller: Controller,
    pub(crate) recalibrated: Recalibrated,
    pub(crate) maxima: Maxima,
}

exact!(Learnt { controller, recalibrated, maxima });

impl Learnt {
    /// Nothing yet.
    pub(crate) fn new(config: &DetectConfig) -> Result<Self> {
        Ok(Self {
            controller: Controller::new(config.events_per_hour, CALIBRATED_SCALE)?,
            recalibrated: Recalibrated::default(),
            maxima: Maxima::default(),
        })
    }

    /// Whether this could have come about by watching.
    pub(crate) fn is_whole(&self) -> bool {
        self.controller.is_whole() && self.recalibrated.is_whole() && self.maxima.is_whole()
    }
}

/// A calibration that was in force before, and what had been learnt under it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousCalibration {
    pub(crate) calibration: Calibration,
    pub(crate) learnt: Learnt,
}
