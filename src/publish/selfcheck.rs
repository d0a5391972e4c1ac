//! A check that the broker delivers the messages that it confirms. With MQTT 3.1.1 a broker confirms and drops messages
//! that its rules forbid, that are too long, or that it does not retain; with MQTT 5 it may give reasons.
//!
//! The daemon subscribes to its own status, to its own health, and to the first event on each topic. Where its status
//! comes back and the event does not, the broker drops the event; the health document is checked where an event came
//! back. Where not even the status comes back, the user may not read, and the check has no result. A health document of
//! another run under the same name shows a second node of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::mqtt::link::Message;

/// Longest delay between the confirmation of a message and its delivery.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same at a stop.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);
/// A topic with a missing message is checked again after this long.
const RECHECK_AFTER: Duration = Duration::from_secs(300);
/// Event topics that are checked at a time.
const TOPICS: usize = 8;

/// Actions of the check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for a subscription.
    Subscribe(String),
    /// End one.
    Unsubscribe(String),
    /// The broker drops messages on this topic, with the likely reason.
    Dropped { topic: String, why: &'static str },
    /// The broker delivers messages on this topic.
    Passes(String),
    /// Another daemon publishes under this node's name.
    DuplicateNode,
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
    /// Our status came back: the user may read.
    reads: bool,
    /// Until then the status must arrive again as a retained message.
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
struct BootOnly {
    boot: String,
}

fn boot(payload: &[u8]) -> Option<String> {
    Some(serde_json::from_slice::<BootOnly>(payload).ok()?.boot)
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

    /// Whether a subscription is one of this check, so that its refusal is no fault.
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

    /// A retained message is sent.
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
    pub(super) fn received(&mut self, message: &Message, now: Instant) -> Vec<Action> {
        let Message { retained, topic, payload } = message;
        if *topic == self.status {
            if !retained && payload == b"online" && !self.reads {
                self.reads = true;
                if !self.kept {
                    // a retained message is delivered again after a new subscription
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
                return vec![Action::DuplicateNode];
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

    /// Whether the status of this connection came back.
    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    /// Time of the next check.
    pub(super) fn due(&self) -> Option<Instant> {
        let events = self.expected.values().filter_map(|expected| expected.by);
        events.chain(self.kept_by).chain(self.health_by).min()
    }

    /// The missing messages at a stop.
    pub(super) fn check_at_stop(&mut self, now: Instant) -> Vec<Action> {
        self.check_due(now + PATIENCE.saturating_sub(SHORT_PATIENCE))
    }

    /// The missing messages so far.
    pub(super) fn check_due(&mut self, now: Instant) -> Vec<Action> {
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
            self.seen.insert(topic.clone(), Some(now + RECHECK_AFTER));
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
        assert_eq!(check.received(&message("p/n/status", "stopped", true), now), []);
        let again = check.received(&message("p/n/status", "online", false), now);
        assert_eq!(again, [Action::Subscribe("p/n/status".into())]);
        assert_eq!(check.received(&message("p/n/status", "online", true), now), []);
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
            assert_eq!(check.received(&message(EVENTS, "{of another}", false), now), []);
            if comes {
                let actions = check.received(&message(EVENTS, "{}", false), now);
                assert_eq!(actions, [Action::Unsubscribe(EVENTS.into())]);
                assert_eq!(check.check_due(later(now)), []);
            } else {
                assert!(check.due().is_some_and(|due| due > now));
                assert_eq!(check.check_due(now), []);
                let actions = check.check_due(later(now));
                assert_eq!(actions[0], Action::Unsubscribe(EVENTS.into()));
                assert_eq!(actions[1], Action::Dropped { topic: EVENTS.into(), why: EVENT });
                // later it is looked at again, and that it passes is told
                let again = now + RECHECK_AFTER + PATIENCE * 2;
                assert!(check.event_goes(EVENTS, b"{3}", again).is_some());
                let actions = check.received(&message(EVENTS, "{3}", false), again);
                assert_eq!(actions[1], Action::Passes(EVENTS.into()));
            }
        }
    }

    #[test]
    fn a_user_without_read_permission_gets_no_result() {
        let now = Instant::now();
        let mut check = check();
        check.connected();
        check.event_goes(EVENTS, b"{}", now);
        check.confirmed(EVENTS, now);
        check.confirmed("p/n/health", now);
        assert_eq!(check.check_due(later(now)), [Action::Unsubscribe(EVENTS.into())]);
        assert!(check.owns(EVENTS) && check.owns("p/n/health") && !check.owns("p/n/request/+"));
    }

    #[test]
    fn unretained_and_too_long_messages_are_found() {
        let now = Instant::now();
        let mut check = check();
        check.connected();
        check.received(&message("p/n/status", "online", false), now);
        check.state_goes("p/n/health", br#"{"boot":"A"}"#);
        check.confirmed("p/n/health", now);
        // alone that the health does not come back says nothing
        let found = check.check_due(later(now));
        assert_eq!(found, [Action::Dropped { topic: "p/n/status".into(), why: KEPT }]);
        check.event_goes(EVENTS, b"{}", now);
        check.confirmed(EVENTS, now);
        let found = check.received(&message(EVENTS, "{}", false), now);
        assert_eq!(found[1], Action::Dropped { topic: "p/n/health".into(), why: LENGTH });
        let back = check.received(&message("p/n/health", r#"{"boot":"A"}"#, false), now);
        assert_eq!(back, [Action::Passes("p/n/health".into())]);
    }

    #[test]
    fn another_run_with_the_same_node_id_is_detected_and_an_earlier_one_is_not() {
        let now = Instant::now();
        let (ours, others) = (r#"{"boot":"A"}"#, r#"{"boot":"B"}"#);
        let mut check = check();
        check.connected();
        // left by the run before this one
        assert_eq!(check.received(&message("p/n/health", others, true), now), []);
        check.state_goes("p/n/health", ours.as_bytes());
        assert_eq!(check.received(&message("p/n/health", others, true), now), []);
        check.confirmed("p/n/health", now);
        assert_eq!(check.received(&message("p/n/health", ours, false), now), []);
        check.connected();
        assert_eq!(check.received(&message("p/n/health", ours, true), now), []);
        assert_eq!(check.received(&message("p/n/health", others, true), now), [Action::DuplicateNode]);
        assert_eq!(check.received(&message("p/n/health", others, false), now), [Action::DuplicateNode]);
        assert_eq!(check.received(&message("p/n/health", "no document", false), now), []);
    }
}
