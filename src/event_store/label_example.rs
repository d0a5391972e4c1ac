//! An example of a label.

use serde::{Deserialize, Serialize};

/// An event that has a label, by the embedding of its sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelExample {
    /// ULID of the event.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Id of its stream.
    pub stream: String,
    /// First 12 hex digits of the model's sha256: embeddings of two models cannot be compared.
    pub model: String,
    /// As [`Finding::embedding`](crate::event::Finding::embedding).
    pub embedding: Vec<i8>,
    /// When it got its label, Unix time in ms; 0 where that is not known.
    #[serde(default)]
    pub labelled_ms: u64,
}
