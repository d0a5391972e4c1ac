//! What waits for a detector in background calibration: operations and settings.

use crate::detect::DetectConfig;

/// An operation to be done once the sound before it is scored.
#[derive(Debug)]
pub(super) enum Deferred {
    /// Samples at the rate of the source behind a gap.
    Samples(Vec<f32>),
    /// [`Engine::gap`](super::Engine::gap).
    Gap { lost: u64, rate: u32 },
    /// [`Engine::finish`](super::Engine::finish).
    Finish,
    /// [`Engine::recalibrate`](super::Engine::recalibrate).
    Recalibrate,
}

/// Settings that arrived during a background calibration.
#[derive(Debug, Default)]
pub(super) struct PendingSettings {
    pub(super) budget: Option<f64>,
    pub(super) settings: Option<(DetectConfig, /* the budget alone differs */ bool)>,
}

impl PendingSettings {
    /// The budget among them, events an hour.
    pub(super) fn budget(&self) -> Option<f64> {
        self.budget.or(self.settings.as_ref().map(|(detect, _)| detect.events_per_hour))
    }
}
