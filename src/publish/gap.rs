//! What stands in the place of event documents that were given up.

use serde::{Deserialize, Serialize};

use crate::event::EVENT_SCHEMA;

/// Why documents were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The outbox was full.
    Size,
    /// They were too old.
    Age,
}

/// Takes the place of dropped event documents in the queue: an event document with phase `gap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// [`EVENT_SCHEMA`].
    pub schema: u32,
    /// Always `gap`.
    pub phase: GapPhase,
    /// ULID of this gap.
    pub id: String,
    /// Stream id.
    pub stream: String,
    /// Number of documents given up.
    pub dropped: u64,
    /// When the first of them was accepted, RFC 3339 in UTC.
    pub from: String,
    /// When the last of them was accepted, RFC 3339 in UTC.
    pub until: String,
    /// Why.
    pub reason: GapReason,
}

/// The one phase of a [`Gap`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapPhase {
    /// Documents are missing here.
    #[default]
    Gap,
}

impl Gap {
    /// A gap of `dropped` documents of `stream`, accepted between `from` and `until`.
    #[must_use]
    pub fn new(stream: &str, dropped: u64, from: String, until: String, reason: GapReason) -> Self {
        Self {
            schema: EVENT_SCHEMA,
            phase: GapPhase::Gap,
            id: ulid::Ulid::generate().to_string(),
            stream: stream.to_owned(),
            dropped,
            from,
            until,
            reason,
        }
    }
}
