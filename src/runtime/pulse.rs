//! Whether everything that must move does: the watchdog of the service manager is fed only then.
//!
//! | what | moves when | stands still when |
//! | --- | --- | --- |
//! | `inference`, `inference N` | the loop of each makes rounds | it hangs, or the device under the model does |
//! | scores | samples are scored while some wait | samples come and are not scored |
//! | learning | a detector is back within 15 minutes | it is not |
//! | `source ID` | it looks at its device, file or pipe | it hangs, or waits for an audio thread that does |
//! | `publish`, `mqtt`, `mics`, `pool` | they wake by themselves, or when they are called | they wait for what never comes |
//!
//! Waiting for a disk is no hang: the outbox is degraded then, and a restart would not mend the disk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shard::Shard;
use crate::capture::OpenSource;
use crate::publish::Publisher;
use crate::telemetry::ThreadWatch;

/// What stands still for this long hangs.
const HANG: Duration = Duration::from_secs(5);
/// Opening a device can take longer: libasound may ask a sound server that is not there.
const OPENING: Duration = Duration::from_secs(30);
/// Learning what is normal takes seconds, behind other streams perhaps a minute.
const LEARNING_S: u64 = 900;
/// Threads without work sleep; after this long they are called.
const CALL: Duration = Duration::from_secs(1);
/// The link is called by a health document, which others see: not before this.
const CALL_LINK: Duration = Duration::from_secs(3);

/// What is looked at.
pub(super) struct Seen<'a> {
    pub(super) shards: &'a [Shard],
    pub(super) sources: &'a [OpenSource],
    pub(super) publisher: &'a Publisher,
    /// Events go to a broker. On stdout a reader may keep the thread waiting, which is its right.
    pub(super) broker: bool,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Who hangs.
    pub(super) hangs: Option<String>,
    /// The link has nothing to do: a document would show whether it lives.
    pub(super) call_link: bool,
}

/// Remembers when each part moved last.
#[derive(Debug)]
pub(super) struct Pulse {
    parts: HashMap<String, (u64, Instant)>,
    publish: ThreadWatch,
    link: ThreadWatch,
    /// Those by which microphones on the broker are heard. They wake at least every 2 s.
    air: [(ThreadWatch, &'static str); 2],
}

impl Pulse {
    pub(super) fn new() -> Self {
        let (publish, link) = (ThreadWatch::new("publish"), ThreadWatch::new("mqtt"));
        let air = [("mics", "the thread mics"), ("pool", "the thread pool")]
            .map(|(thread, shown)| (ThreadWatch::new(thread), shown));
        Self { parts: HashMap::new(), publish, link, air }
    }

    /// For how long `value` of `part` has not changed.
    fn still(&mut self, part: &str, value: u64, now: Instant) -> Duration {
        let (last, moved) = self.parts.entry(part.to_owned()).or_insert((value, now));
        if *last != value {
            (*last, *moved) = (value, now);
        }
        now.saturating_duration_since(*moved)
    }

    /// Looks at every part.
    pub(super) fn look(&mut self, seen: &Seen<'_>, now: Instant) -> Found {
        let mut found = Found::default();
        for shard in seen.shards {
            self.look_at_shard(shard, now, &mut found);
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
        if seen.sources.iter().any(|source| source.mic.is_some()) {
            for at in 0..self.air.len() {
                let looked = self.air.get_mut(at).map(|(watch, shown)| (watch.look(), *shown));
                let Some((Some(movement), shown)) = looked else { continue };
                if self.still(shown, movement.waits, now) > HANG {
                    found.hangs.get_or_insert_with(|| shown.to_owned());
                }
            }
        }
        if seen.broker {
            self.look_at_publisher(seen.publisher, now, &mut found);
        }
        found
    }

    fn look_at_shard(&mut self, shard: &Shard, now: Instant, found: &mut Found) {
        if shard.is_over() {
            return;
        }
        let (progress, scores) = (&shard.progress, format!("scores of {}", shard.shown));
        if self.still(&shard.shown, progress.rounds.load(Ordering::Relaxed), now) > HANG {
            found.hangs.get_or_insert_with(|| shard.shown.clone());
        }
        let learning = progress.learning_s.load(Ordering::Relaxed);
        if learning > LEARNING_S {
            found.hangs.get_or_insert_with(|| "the learning of what is normal".to_owned());
        }
        // sound that waits for a detector which learns is not scored, and that is no hang
        if !shard.waiting() || learning > 0 {
            self.parts.remove(&scores);
        } else if self.still(&scores, progress.scored.load(Ordering::Relaxed), now) > HANG {
            found.hangs.get_or_insert_with(|| "the analysis: samples wait and none is scored".to_owned());
        }
    }

    fn look_at_publisher(&mut self, publisher: &Publisher, now: Instant, found: &mut Found) {
        let status = publisher.status();
        if let Some(movement) = self.publish.look() {
            let still = self.still("the thread publish", movement.waits, now);
            if movement.for_disk {
                self.parts.remove("the thread publish");
            } else if still > HANG {
                found.hangs.get_or_insert_with(|| "the thread publish".to_owned());
            } else if still > CALL && !status.degraded() {
                let _ = publisher.flush_durable(Duration::ZERO);
            }
        }
        // a link that is away sleeps for as long as it was told to
        let movement = self.link.look().filter(|_| status.connected());
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
    fn what_changes_moves_and_what_does_not_ages() {
        let (mut pulse, start) = (Pulse::new(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(pulse.still("a", 1, at(0)), Duration::ZERO);
        assert_eq!(pulse.still("a", 1, at(4)), Duration::from_secs(4));
        assert_eq!(pulse.still("b", 1, at(4)), Duration::ZERO);
        assert_eq!(pulse.still("a", 2, at(6)), Duration::ZERO);
        assert_eq!(pulse.still("a", 2, at(7)), Duration::from_secs(1));
    }
}
