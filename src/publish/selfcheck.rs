//! Whether the broker hands on what it confirms. A broker that speaks MQTT 3.1.1 confirms what its rules forbid, what is too
//! long for it and what it will not keep, and drops it; MQTT 5 gives reasons, as far as the broker does.
//!
//! The daemon listens to its own status, to its own health, and to the first event on each topic. Where its status comes back
//! and the event does not, the broker drops it; the health document is judged where an event came back. Where not even the status comes back, the user may not read and nothing
//! is known. A health document of another run under the same name betrays a second node of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::mqtt::link::Message;

/// How long the broker may take to hand on what it has confirmed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where the daemon ends and cannot wait.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
/// A topic on which something was missing is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(300);
/// Event topics that are looked at at a time.
const TOPICS: usize = 8;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for a subscription.
    Subscribe(String),
    /// End one.
    Unsubscribe(String),
    /// The broker drops what is published here, for this reason as far as it can be told.
    Dropped { topic: String, why: &'static str },
    /// What is published here comes through.
    Passes(String),
    /// Another daemon publishes under this node's name.
    Rival,
}

const EVENT: &str = "the broker confirms it and hands it on to nobody";
const LENGTH: &str = "the broker confirms it and hands it on to nobody, perhaps since it is too long for it";
const KEPT: &str = "the broker does not keep it (retained), so that who connects later is not told";

#[derive(Debug)]
struct Expected {
    payload: Vec<u8>,
    by: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct SelfCheck {
    status: String,
    health: String,
    /// Our status came back: we can hear what we say.
    reads: bool,
    /// The status must come again as one that was kept, until then.
    kept_by: Option<Instant>,
    kept: bool,
    /// The run of this daemon, as its health documents say.
    boot: Option<String>,
    /// The broker has confirmed a health document of this run.
    said_health: bool,
    health_by: Option<Instant>,
    health_passes: bool,
    /// Length of the longest that came back.
    health_bytes: usize,
    /// It did not come back in time. Alone that says nothing: the user may not be allowed to read it.
    health_missing: bool,
    /// An event came back, so that more than the status may be read.
    event_passed: bool,
    expected: BTreeMap<String, Expected>,
    /// Event topics that were looked at, and when again.
    seen: BTreeMap<String, Option<Instant>>,
    dropped: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Boot {
    boot: String,
}

fn boot(payload: &[u8]) -> Option<String> {
    Some(serde_json::from_slice::<Boot>(payload).ok()?.boot)
}

impl SelfCheck {
    pub(super) fn new(status: String, health: String) -> Self {
        Self {
            status,
            health,
            reads: false,
            kept_by: None,
            kept: false,
            boot: None,
            said_health: false,
            health_by: None,
            health_passes: false,
            health_bytes: 0,
            health_missing: false,
            event_passed: false,
            expected: BTreeMap::new(),
            seen: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    /// Whether a subscription is one of this check, so that a refusal of it matters to nobody.
    pub(super) fn owns(&self, filter: &str) -> bool {
        filter == self.status
            || filter == self.health
            || self.seen.contains_key(filter)
            || self.expected.contains_key(filter)
    }

    /// A connection has come about: what to subscribe to before anything is said.
    pub(super) fn connected(&mut self) -> [Action; 2] {
        (self.reads, self.kept_by, self.health_by) = (false, None, None);
        self.expected.clear();
        [Action::Subscribe(self.status.clone()), Action::Subscribe(self.health.clone())]
    }

    /// An event goes out: the first of a topic is listened to.
    pub(super) fn event_goes(&mut self, topic: &str, payload: &[u8], now: Instant) -> Option<Action> {
        let due = match self.seen.get(topic) {
            None => true,
            Some(again) => again.is_some_and(|again| now >= again),
        };
        if !due || self.expected.len() >= TOPICS || self.expected.contains_key(topic) {
            return None;
        }
        self.expected.insert(topic.to_owned(), Expected { payload: payload.to_owned(), by: None });
        Some(Action::Subscribe(topic.to_owned()))
    }

    /// What is retained goes out.
    pub(super) fn state_goes(&mut self, topic: &str, payload: &[u8]) {
        if topic == self.health {
            self.boot = boot(payload);
            // one that is longer than those that came back may be too long
            self.health_passes &= payload.len() <= self.health_bytes;
        }
    }

    /// The broker has confirmed a message on `topic`.
    pub(super) fn confirmed(&mut self, topic: &str, now: Instant) {
        if topic == self.health {
            self.said_health = true;
            if !self.health_passes {
                self.health_by.get_or_insert(now + PATIENCE);
            }
        }
        if let Some(expected) = self.expected.get_mut(topic) {
            expected.by.get_or_insert(now + PATIENCE);
        }
    }

    /// A message came.
    pub(super) fn heard(&mut self, message: &Message, now: Instant) -> Vec<Action> {
        let Message { retained, topic, payload } = message;
        if *topic == self.status {
            if !retained && payload == b"online" && !self.reads {
                self.reads = true;
                if !self.kept {
                    // what is kept is sent again to who subscribes again
                    self.kept_by = Some(now + PATIENCE);
                    return vec![Action::Subscribe(self.status.clone())];
                }
            } else if *retained && self.reads && !self.kept {
                (self.kept, self.kept_by) = (true, None);
                return self.passes(topic.clone()).into_iter().collect();
            }
        } else if *topic == self.health {
            let ours = self.boot.as_ref().is_none_or(|ours| boot(payload).is_none_or(|boot| boot == *ours));
            if !ours && (!retained || self.said_health) {
                return vec![Action::Rival];
            }
            if ours && !retained && !self.health_passes {
                (self.health_passes, self.health_missing, self.health_by) = (true, false, None);
                self.health_bytes = self.health_bytes.max(payload.len());
                return self.passes(topic.clone()).into_iter().collect();
            }
        } else if self.expected.get(topic).is_some_and(|expected| expected.payload == *payload) {
            self.expected.remove(topic);
            self.seen.insert(topic.clone(), None);
            self.event_passed = true;
            let done = Action::Unsubscribe(topic.clone());
            let passes = self.passes(topic.clone());
            return std::iter::once(done).chain(passes).chain(self.health_drops()).collect();
        }
        Vec::new()
    }

    fn passes(&mut self, topic: String) -> Option<Action> {
        self.dropped.remove(&topic).then_some(Action::Passes(topic))
    }

    fn drops(&mut self, topic: &str, why: &'static str) -> Option<Action> {
        (self.reads && self.dropped.insert(topic.to_owned()))
            .then(|| Action::Dropped { topic: topic.to_owned(), why })
    }

    fn health_drops(&mut self) -> Option<Action> {
        let health = self.health.clone();
        if self.health_missing && self.event_passed { self.drops(&health, LENGTH) } else { None }
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Instant> {
        let events = self.expected.values().filter_map(|expected| expected.by);
        events.chain(self.kept_by).chain(self.health_by).min()
    }

    /// What is missing when the daemon ends.
    pub(super) fn look_last(&mut self, now: Instant) -> Vec<Action> {
        self.look(now + PATIENCE.saturating_sub(SHORT_PATIENCE))
    }

    /// What is missing by now.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Action> {
        let over = |by: Option<Instant>| by.is_some_and(|by| now >= by);
        let mut actions = Vec::new();
        if over(self.kept_by) {
            self.kept_by = None;
            let status = self.status.clone();
            actions.extend(self.drops(&status, KEPT));
        }
        if over(self.health_by) {
            (self.health_by, self.health_missing) = (None, true);
            actions.extend(self.health_drops());
        }
        let late: Vec<String> = self
            .expected
            .iter()
            .filter(|(_, expected)| over(expected.by))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in late {
            self.expected.remove(&topic);
            self.seen.insert(topic.clone(), Some(now + AGAIN));
            actions.push(Action::Unsubscribe(topic.clone()));
            actions.extend(self.drops(&topic, EVENT));
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = "p/n/mic/event";

    fn check() -> SelfCheck {
        SelfCheck::new("p/n/status".into(), "p/n/health".into())
    }

    fn message(topic: &str, payload: &str, retained: bool) -> Message {
        Message { retained, topic: topic.into(), payload: payload.into() }
    }

    fn later(now: Instant) -> Instant {
        now + PATIENCE + Duration::from_millis(1)
    }

    /// A connection over which the status came back, also as a kept one.
    fn reading(now: Instant) -> SelfCheck {
        let mut check = check();
        assert_eq!(check.connected().len(), 2);
        assert_eq!(check.heard(&message("p/n/status", "stopped", true), now), []);
        let again = check.heard(&message("p/n/status", "online", false), now);
        assert_eq!(again, [Action::Subscribe("p/n/status".into())]);
        assert_eq!(check.heard(&message("p/n/status", "online", true), now), []);
        check
    }

    #[test]
    fn an_event_that_does_not_come_back_is_dropped_and_one_that_does_is_not() {
        let now = Instant::now();
        for comes in [true, false] {
            let mut check = reading(now);
            assert_eq!(check.event_goes(EVENTS, b"{}", now), Some(Action::Subscribe(EVENTS.into())));
            assert_eq!(check.event_goes(EVENTS, b"{2}", now), None, "one at a time");
            check.confirmed(EVENTS, now);
            assert_eq!(check.heard(&message(EVENTS, "{of another}", false), now), []);
            if comes {
                let actions = check.heard(&message(EVENTS, "{}", false), now);
                assert_eq!(actions, [Action::Unsubscribe(EVENTS.into())]);
                assert_eq!(check.look(later(now)), []);
            } else {
                assert!(check.due().is_some_and(|due| due > now));
                assert_eq!(check.look(now), []);
                let actions = check.look(later(now));
                assert_eq!(actions[0], Action::Unsubscribe(EVENTS.into()));
                assert_eq!(actions[1], Action::Dropped { topic: EVENTS.into(), why: EVENT });
                // later it is looked at again, and that it passes is told
                let again = now + AGAIN + PATIENCE * 2;
                assert!(check.event_goes(EVENTS, b"{3}", again).is_some());
                let actions = check.heard(&message(EVENTS, "{3}", false), again);
                assert_eq!(actions[1], Action::Passes(EVENTS.into()));
            }
        }
    }

    #[test]
    fn who_may_not_read_knows_nothing() {
        let now = Instant::now();
        let mut check = check();
        check.connected();
        check.event_goes(EVENTS, b"{}", now);
        check.confirmed(EVENTS, now);
        check.confirmed("p/n/health", now);
        assert_eq!(check.look(later(now)), [Action::Unsubscribe(EVENTS.into())]);
        assert!(check.owns(EVENTS) && check.owns("p/n/health") && !check.owns("p/n/request/+"));
    }

    #[test]
    fn what_is_not_kept_and_what_is_too_long_is_found() {
        let now = Instant::now();
        let mut check = check();
        check.connected();
        check.heard(&message("p/n/status", "online", false), now);
        check.state_goes("p/n/health", br#"{"boot":"A"}"#);
        check.confirmed("p/n/health", now);
        // alone that the health does not come back says nothing
        let found = check.look(later(now));
        assert_eq!(found, [Action::Dropped { topic: "p/n/status".into(), why: KEPT }]);
        check.event_goes(EVENTS, b"{}", now);
        check.confirmed(EVENTS, now);
        let found = check.heard(&message(EVENTS, "{}", false), now);
        assert_eq!(found[1], Action::Dropped { topic: "p/n/health".into(), why: LENGTH });
        let back = check.heard(&message("p/n/health", r#"{"boot":"A"}"#, false), now);
        assert_eq!(back, [Action::Passes("p/n/health".into())]);
    }

    #[test]
    fn another_run_under_the_same_name_is_a_rival_and_an_earlier_one_of_ours_is_not() {
        let now = Instant::now();
        let (ours, others) = (r#"{"boot":"A"}"#, r#"{"boot":"B"}"#);
        let mut check = check();
        check.connected();
        // left by the run before this one
        assert_eq!(check.heard(&message("p/n/health", others, true), now), []);
        check.state_goes("p/n/health", ours.as_bytes());
        assert_eq!(check.heard(&message("p/n/health", others, true), now), []);
        check.confirmed("p/n/health", now);
        assert_eq!(check.heard(&message("p/n/health", ours, false), now), []);
        check.connected();
        assert_eq!(check.heard(&message("p/n/health", ours, true), now), []);
        assert_eq!(check.heard(&message("p/n/health", others, true), now), [Action::Rival]);
        assert_eq!(check.heard(&message("p/n/health", others, false), now), [Action::Rival]);
        assert_eq!(check.heard(&message("p/n/health", "no document", false), now), []);
    }
}
