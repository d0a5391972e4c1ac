//! The liveness monitor: the watchdog of the service manager is fed only while every part makes progress.
//!
//! | what | moves when | stands still when |
//! | --- | --- | --- |
//! | `inference`, `inference N` | the loop of each makes rounds | it hangs, or the device of the model does |
//! | scores | samples are scored while some wait | samples come and are not scored |
//! | learning | a detector is back within 15 minutes | it is not |
//! | `source ID` | it looks at its device, file or pipe | it hangs, or waits for an audio thread that does |
//! | `publish`, `mqtt`, `mics` | their count of voluntary context switches grows, by themselves or after a ping | they are blocked |
//!
//! Waiting for a disk is no hang: the outbox is degraded then, and a restart would not mend the disk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shard::Shard;
use crate::capture::OpenSource;
use crate::publish::Publisher;
use crate::telemetry::ThreadMonitor;

/// A part without progress for this long hangs.
const HANG: Duration = Duration::from_secs(5);
/// Opening a device can take longer: libasound may ask a sound server that is not there.
const OPENING: Duration = Duration::from_secs(30);
/// A calibration takes seconds, behind other streams perhaps a minute.
const LEARNING_S: u64 = 900;
/// Threads without work sleep; after this long they get a ping.
const CALL: Duration = Duration::from_secs(1);
/// The ping of the broker connection is a health document, which others see: not before this.
const CALL_LINK: Duration = Duration::from_secs(3);

/// The monitored parts.
pub(super) struct MonitoredParts<'a> {
    pub(super) shards: &'a [Shard],
    pub(super) sources: &'a [OpenSource],
    pub(super) publisher: &'a Publisher,
    /// Events go to a broker. On stdout a slow reader may block the thread legitimately.
    pub(super) broker: bool,
}

/// The result of a check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LivenessReport {
    /// The part that hangs.
    pub(super) hangs: Option<String>,
    /// The broker connection is idle: a document would show whether it is alive.
    pub(super) call_link: bool,
}

/// Records the last progress of each part.
#[derive(Debug)]
pub(super) struct LivenessMonitor {
    parts: HashMap<String, (u64, Instant)>,
    publish: ThreadMonitor,
    link: ThreadMonitor,
    /// The thread of microphones on the broker. It wakes at least every 2 s.
    mics: ThreadMonitor,
}

impl LivenessMonitor {
    pub(super) fn new() -> Self {
        let (publish, link) = (ThreadMonitor::new("publish"), ThreadMonitor::new("mqtt"));
        Self { parts: HashMap::new(), publish, link, mics: ThreadMonitor::new("mics") }
    }

    /// The time since `value` of `part` changed last.
    fn still(&mut self, part: &str, value: u64, now: Instant) -> Duration {
        let (last, moved) = self.parts.entry(part.to_owned()).or_insert((value, now));
        if *last != value {
            (*last, *moved) = (value, now);
        }
        now.saturating_duration_since(*moved)
    }

    /// Checks every part.
    pub(super) fn check(&mut self, seen: &MonitoredParts<'_>, now: Instant) -> LivenessReport {
        let mut found = LivenessReport::default();
        for shard in seen.shards {
            self.check_shard(shard, now, &mut found);
        }
        for source in seen.sources {
            let name = format!("the thread of {}", source.name);
            let limit = if source.counters.is_opening() { OPENING } else { HANG };
            let lost = source.gave_up();
            if (self.still(&name, source.counters.beats(), now) > limit && !source.handle.has_ended()) || lost
            {
                found.hangs.get_or_insert(name);
            }
        }
        if seen.sources.iter().any(|source| source.mic.is_some())
            && let Some(movement) = self.mics.activity()
            && self.still("the thread mics", movement.waits, now) > HANG
        {
            found.hangs.get_or_insert_with(|| "the thread mics".to_owned());
        }
        if seen.broker {
            self.check_publisher(seen.publisher, now, &mut found);
        }
        found
    }

    fn check_shard(&mut self, shard: &Shard, now: Instant, found: &mut LivenessReport) {
        if shard.has_ended() {
            return;
        }
        let (progress, scores) = (&shard.progress, format!("scores of {}", shard.shown));
        if self.still(&shard.shown, progress.rounds.load(Ordering::Relaxed), now) > HANG {
            found.hangs.get_or_insert_with(|| shard.shown.clone());
        }
        let learning = progress.learning_s.load(Ordering::Relaxed);
        if learning > LEARNING_S {
            found.hangs.get_or_insert_with(|| "a calibration".to_owned());
        }
        // sound that waits for a calibration is not scored, and that is no hang
        if !shard.waiting() || learning > 0 {
            self.parts.remove(&scores);
        } else if self.still(&scores, progress.scored.load(Ordering::Relaxed), now) > HANG {
            found.hangs.get_or_insert_with(|| "the analysis: samples wait and none is scored".to_owned());
        }
    }

    fn check_publisher(&mut self, publisher: &Publisher, now: Instant, found: &mut LivenessReport) {
        let status = publisher.status();
        if let Some(movement) = self.publish.activity() {
            let still = self.still("the thread publish", movement.waits, now);
            if movement.for_disk {
                self.parts.remove("the thread publish");
            } else if still > HANG {
                found.hangs.get_or_insert_with(|| "the thread publish".to_owned());
            } else if still > CALL && !status.degraded() {
                let _ = publisher.flush_durable(Duration::ZERO);
            }
        }
        // a disconnected session sleeps for its configured pause
        let movement = self.link.activity().filter(|_| status.connected());
        let Some(movement) = movement else {
            self.parts.remove("the thread mqtt");
            return;
        };
        let still = self.still("the thread mqtt", movement.waits, now);
        found.call_link = still > CALL_LINK;
        if still > HANG {
            found.hangs.get_or_insert_with(|| "the thread mqtt".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_change_are_alive_and_others_age() {
        let (mut pulse, start) = (LivenessMonitor::new(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(pulse.still("a", 1, at(0)), Duration::ZERO);
        assert_eq!(pulse.still("a", 1, at(4)), Duration::from_secs(4));
        assert_eq!(pulse.still("b", 1, at(4)), Duration::ZERO);
        assert_eq!(pulse.still("a", 2, at(6)), Duration::ZERO);
        assert_eq!(pulse.still("a", 2, at(7)), Duration::from_secs(1));
    }
}
