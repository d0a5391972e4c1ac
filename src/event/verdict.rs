//! What a person says of an event.

use serde::{Deserialize, Serialize};

/// The verdict of an operator on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Normal sound of the site: sound of its kind is not reported again.
    Normal,
    /// An anomaly: the event does not count as a false alarm.
    Anomaly,
}

impl Verdict {
    /// As in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomaly => "anomaly",
        }
    }
}
