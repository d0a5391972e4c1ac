//! What a worker of a cluster says of it in the health document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

/// The cluster within [`Health`](super::Health), as this worker sees it. Counters count from its start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterHealth {
    /// The servers answer.
    pub connected: bool,
    /// Documents that were stored.
    pub stored: u64,
    /// Documents that were stored already when a replay made them again.
    pub repeated: u64,
    /// Documents and snapshots that were refused, since another worker was ahead.
    pub fenced: u64,
    /// Streams that were taken.
    pub taken: u64,
    /// Leases that ran out under this worker.
    pub lost: u64,
    /// Streams that could not be resumed exactly.
    pub inexact: u64,
    /// Snapshots that were kept.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes: u64,
    /// The shared streams by id.
    pub streams: BTreeMap<String, ClusterStreamHealth>,
}

/// A shared stream within [`ClusterHealth`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterStreamHealth {
    /// Its worker; null without one.
    pub owner: Option<String>,
    /// Seconds of sound that it is behind; null where another worker analyses it.
    pub lag_s: Option<f64>,
    /// Age of its last snapshot, seconds; null before the first, and where another worker analyses it.
    pub snapshot_age_s: Option<f64>,
}

/// The present state, from the thread `cluster` to the health document.
pub type ClusterView = Arc<Mutex<ClusterHealth>>;
