//! Configuration of the event store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How many events are kept for review, and when one has a label: the `[events]` table. Past each limit the oldest go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Events, 0 to 1,000,000; 0 keeps none on the disk.
    pub max_events: u32,
    /// Bytes of their documents and labels together, 1 MiB or more; the file is at most some megabytes larger.
    pub max_bytes: u64,
    /// Days since their onset, 1 to 36,500.
    pub max_age_days: u32,
    /// Cosine to the examples of a label from which an event has that label, 0 to 1; at 1 none has.
    pub label_similarity: f64,
}

/// At this cosine 5 % of the sounds of 25 kinds of the training recordings get a label of 25 other kinds, with one example
/// each: `cpc-lab eval labels --split train`.
const LABEL_SIMILARITY: f64 = 0.5;

impl Default for EventsConfig {
    fn default() -> Self {
        Self { max_events: 20_000, max_bytes: 64 << 20, max_age_days: 90, label_similarity: LABEL_SIMILARITY }
    }
}

impl EventsConfig {
    /// Age at which events go.
    pub(super) fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age_days) * 86_400)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key: &str, found: u64, fix: &str| {
            Err(Error::config(format!("events.{key} = {found} is out of range"), fix))
        };
        if !(0.0..=1.0).contains(&self.label_similarity) {
            let cause = format!("events.label_similarity = {} is out of range", self.label_similarity);
            return Err(Error::config(cause, "choose 0 to 1"));
        }
        match self {
            Self { max_events: n @ 1_000_001.., .. } => {
                wrong("max_events", u64::from(*n), "choose 0 to 1000000")
            }
            Self { max_bytes: n @ ..1_048_576, .. } => {
                wrong("max_bytes", *n, "choose 1048576 or more; to keep none, set max_events = 0")
            }
            Self { max_age_days: n, .. } if !(1..=36_500).contains(n) => {
                wrong("max_age_days", u64::from(*n), "choose 1 to 36500")
            }
            _ => Ok(()),
        }
    }
}
