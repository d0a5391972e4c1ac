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
    pub(super) snapshots: AtomicU64,
    pub(super) snapshot_bytes: AtomicU64,
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
    /// Documents and snapshots that were refused, since another worker was ahead.
    pub fenced: u64,
    /// Chunks of sound that did not fit in.
    pub refused: u64,
    /// Streams that were taken.
    pub taken: u64,
    /// Leases that ran out under this worker.
    pub lost: u64,
    /// Streams that restarted because their resume point could not be used, or whose sound since then was kept no longer.
    pub inexact: u64,
    /// Snapshots that were kept.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes: u64,
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
            snapshots: of(&self.snapshots),
            snapshot_bytes: of(&self.snapshot_bytes),
        }
    }
}

/// How far a stream is behind its microphone, and its last snapshot.
#[derive(Debug, Default)]
pub(super) struct Lag {
    ms: AtomicU64,
    sequence: AtomicU64,
    /// When the last snapshot was taken, milliseconds since 1970, and its bytes; 0 before the first.
    taken_ms: AtomicU64,
    bytes: AtomicU64,
}

impl Lag {
    pub(super) fn set(&self, lag: Duration, sequence: u64) {
        self.ms.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.sequence.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, taken_ms: u64, bytes: u64) {
        self.taken_ms.store(taken_ms, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn presence(&self, now_ms: u64) -> StreamPresence {
        let (taken, bytes) = (self.taken_ms.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        StreamPresence {
            lag_s: self.ms.load(Ordering::Relaxed) as f64 / 1e3,
            sequence: self.sequence.load(Ordering::Relaxed),
            snapshot_age_s: (taken > 0).then(|| now_ms.saturating_sub(taken) as f64 / 1e3),
            snapshot_bytes: (taken > 0).then_some(bytes),
        }
    }
}

/// A stream in the presence document of its worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StreamPresence {
    /// Seconds of sound that it is behind.
    pub(super) lag_s: f64,
    /// Number of its last chunk.
    pub(super) sequence: u64,
    /// Age of its last snapshot, if this worker has written one.
    pub(super) snapshot_age_s: Option<f64>,
    /// Bytes of that.
    pub(super) snapshot_bytes: Option<u64>,
}

/// The presence document of a worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WorkerPresence {
    pub(super) max_streams: usize,
    pub(super) model: String,
    pub(super) figures: Figures,
    /// The streams that it analyses.
    #[serde(default)]
    pub(super) streams: BTreeMap<String, StreamPresence>,
}

/// The owner of a stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct StreamOwner {
    pub(super) node: String,
}
