//! What is fitted to a site.

use serde::{Deserialize, Serialize};

use super::context::ContextModel;
use super::density::{Density, are_whole};
use super::fine_structure::FineDensity;
use super::levinson::AUTOCOVARIANCES;
use super::row_moments::DENSITIES;
use crate::units::BANDS;

/// The terms of a site: closed forms, fitted to calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermModel {
    /// Mean of each band, `[64]`: where a stream begins.
    pub(super) level: Vec<f32>,
    /// Of half a second, a quarter, errors of the short prediction, modulation.
    pub(super) densities: [Density; DENSITIES],
    /// Of lines of the spectrum.
    pub(super) lines: FineDensity,
    /// At steps of 40 ms and of 80 ms; none where calibration was too short.
    pub(super) contexts: Option<[ContextModel; 2]>,
}

impl TermModel {
    /// How much the last seconds say beyond the last 160 ms, 0 to 1: the share of the variance that they predict at new sound,
    /// by the better of the two contexts. Machines with a rhythm have 0.1 and more, wind and rain 0.
    pub(in crate::detect) fn predictability(&self) -> f64 {
        let gains = self.contexts.iter().flatten().map(|context| f64::from(context.gain));
        gains.fold(0.0, f64::max)
    }

    /// Whether this could have come from a fit.
    pub(in crate::detect) fn is_whole(&self) -> bool {
        self.level.len() == BANDS
            && self.level.iter().all(|x| x.is_finite())
            && are_whole(&self.densities)
            && self.lines.is_whole()
            && self
                .contexts
                .iter()
                .flatten()
                .all(|context| context.is_whole() && context.autocovariances.len() == AUTOCOVARIANCES)
    }
}
