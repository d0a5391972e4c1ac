//! The time for which a broker is away.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::payload::BrokerHealth;
use crate::units::counted;

/// From so long on it is a fault; shorter pauses belong to a restart of the broker or of this node.
const FAULT: Duration = Duration::from_secs(10);

/// A configured broker is away.
#[derive(Debug, Clone)]
pub(super) struct Absence {
    since: Instant,
    reason: String,
}

impl Absence {
    #[cfg(feature = "mqtt")]
    pub(super) fn new(since: Instant) -> Self {
        Self { since, reason: "it has not answered yet".to_owned() }
    }

    /// Sets the reason, as of the last try.
    #[cfg(feature = "mqtt")]
    pub(super) fn explain(&mut self, reason: &str) {
        reason.clone_into(&mut self.reason);
    }

    /// Writes it into the health document: `broker` is away, and `pending` documents wait for it. The time of the beginning follows a
    /// wall clock that is set meanwhile.
    pub(super) fn fill(
        &self,
        broker: &str,
        pending: u64,
        (now, clock): (Instant, SystemTime),
        health: &mut BrokerHealth,
    ) {
        let away = now.saturating_duration_since(self.since);
        let since = clock.checked_sub(away).and_then(|since| Timestamp::try_from(since).ok());
        let since = since.map_or_else(|| "an unknown time".to_owned(), |since| format!("{since:.0}"));
        if away >= FAULT {
            let wait = if pending == 1 { "waits" } else { "wait" };
            health.faults.insert(
                0,
                format!(
                    "the broker {broker} is away ({}, since {since}); {} {wait}",
                    self.reason,
                    counted(pending, "document")
                ),
            );
        }
        health.away_s = away.as_secs_f64();
        health.reason = Some(self.reason.clone());
        health.since = Some(since);
    }
}

#[cfg(all(test, feature = "mqtt"))]
mod tests {
    use super::*;

    #[test]
    fn absence_is_a_fault_after_ten_seconds_and_follows_the_clock() {
        let begun = Instant::now();
        let mut absence = Absence::new(begun);
        let at = |absence: &Absence, seconds: u64, clock_s: u64, pending: u64| {
            let mut health = BrokerHealth { faults: vec!["other".into()], ..BrokerHealth::default() };
            let now = begun + Duration::from_secs(seconds);
            let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(clock_s);
            absence.fill("hub:1883", pending, (now, clock), &mut health);
            health
        };
        let early = at(&absence, 9, 109, 0);
        assert_eq!(early.faults, ["other"]);
        assert_eq!(early.reason.as_deref(), Some("it has not answered yet"));
        assert_eq!((early.since.as_deref(), early.away_s), (Some("1970-01-01T00:01:40Z"), 9.0));
        absence.explain("connection refused");
        let fault =
            "the broker hub:1883 is away (connection refused, since 1970-01-01T00:01:40Z); 2 documents wait";
        assert_eq!(at(&absence, 10, 110, 2).faults, [fault, "other"]);
        // the clock was set by an hour meanwhile
        let later = at(&absence, 20, 3720, 1);
        assert_eq!(later.since.as_deref(), Some("1970-01-01T01:01:40Z"));
        assert!(later.faults[0].ends_with("1 document waits"), "{:?}", later.faults);
    }
}
