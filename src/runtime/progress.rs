//! What others may look at while the analysis runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::LaneFigures;
use crate::telemetry::Percentiles;

/// What the supervisor may look at while the thread runs.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Rounds of the loop: stands still only when the thread hangs.
    pub(super) rounds: AtomicU64,
    /// Frames that were scored, of all streams.
    pub(super) scored: AtomicU64,
    /// Set when no source gives anything any more: a ring that one of them left open counts as closed.
    pub(super) sources_gone: AtomicBool,
    /// Figures, refreshed about once a second.
    pub(super) figures: Mutex<Figures>,
}

/// Figures of the engine and its streams.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures {
    pub(super) hop: Percentiles,
    /// The part of a hop that is the model's.
    pub(super) step: Percentiles,
    /// From the capture of a hop's last sample to its reading.
    pub(super) heard: Percentiles,
    pub(super) streams: Vec<(String, LaneFigures)>,
}
