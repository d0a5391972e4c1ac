//! Counters and presence documents of workers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counters of a worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) stored: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) fenced: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) inexact: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// The counters as values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Streams that this worker analyses.
    pub streams: u64,
    /// Documents that it stored.
    pub stored: u64,
    /// Documents that were stored already when a replay made them again.
    pub repeated: u64,
    /// Documents that were refused, since another worker was ahead.
    pub fenced: u64,
    /// Chunks of sound that did not fit in.
    pub refused: u64,
    /// Streams that were taken.
    pub taken: u64,
    /// Leases that ran out under this worker.
    pub lost: u64,
    /// Streams that restarted because their resume point could not be used.
    pub inexact: u64,
}

impl Counts {
    pub(super) fn figures(&self, streams: usize) -> Figures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            streams: streams as u64,
            stored: of(&self.stored),
            repeated: of(&self.repeated),
            fenced: of(&self.fenced),
            refused: of(&self.refused),
            taken: of(&self.taken),
            lost: of(&self.lost),
            inexact: of(&self.inexact),
        }
    }
}

/// How far a stream is behind its microphone.
#[derive(Debug, Default)]
pub(super) struct Lag {
    pub(super) ms: AtomicU64,
    pub(super) sequence: AtomicU64,
}

impl Lag {
    pub(super) fn set(&self, lag: Duration, sequence: u64) {
        self.ms.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.sequence.store(sequence, Ordering::Relaxed);
    }
}

/// The presence document of a worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WorkerPresence {
    pub(super) max_streams: usize,
    pub(super) model: String,
    pub(super) figures: Figures,
    /// Of each stream the seconds of sound that it is behind, and the number of its last chunk.
    pub(super) lags: BTreeMap<String, (f64, u64)>,
}

/// The owner of a stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct StreamOwner {
    pub(super) node: String,
}
