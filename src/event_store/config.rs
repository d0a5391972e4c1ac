//! Configuration of the event store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How many events are kept for review: the `[events]` table. Past each limit the oldest go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Events, 0 to 1,000,000; 0 keeps none on the disk.
    pub max_events: u32,
    /// Bytes of their documents and labels together, 1 MiB or more; the file is at most some megabytes larger.
    pub max_bytes: u64,
    /// Days since their onset, 1 to 36,500.
    pub max_age_days: u32,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self { max_events: 20_000, max_bytes: 64 << 20, max_age_days: 90 }
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
