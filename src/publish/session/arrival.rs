//! Whether requests arrive. Brokers grant a subscription and hand nothing on where their rules forbid reading (Mosquitto's do), so
//! the daemon says a request to itself, which asks for nothing.
//!
//! Where its own status comes back the user may read, and with MQTT 3.1.1 no more can be known: a request that does not come back may
//! be one that this user must not write. MQTT 5 gives a reason then.

use std::time::{Duration, Instant};

use crate::mqtt::link::Message;

/// How long the broker may take to hand on what it has confirmed.
const PATIENCE: Duration = Duration::from_secs(5);
/// What did not arrive is tried again after this long.
const RECHECK_AFTER: Duration = Duration::from_secs(300);
/// A connection that ends so soon after the request was ended by it, as far as is known.
const ENDED_BY_IT: Duration = Duration::from_secs(2);

/// What has become known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Say this request, `payload`.
    Say(Vec<u8>),
    /// Requests do not arrive.
    Lost,
}

#[derive(Debug)]
pub(super) struct Arrival {
    /// The request that asks for nothing; none where no command is accepted, or where saying it ended the connection.
    topic: Option<String>,
    /// Refusals come with a reason (MQTT 5).
    reasons: bool,
    payload: Vec<u8>,
    /// When to say it.
    say_at: Option<Instant>,
    said: Option<Instant>,
    is_back: bool,
    /// When it must be back.
    by: Option<Instant>,
    /// The broker refuses the subscription of this connection, which is reported already.
    known: bool,
}

impl Arrival {
    pub(super) fn new(topic: Option<String>, reasons: bool) -> Self {
        Self {
            topic,
            reasons,
            payload: Vec::new(),
            say_at: None,
            said: None,
            is_back: false,
            by: None,
            known: false,
        }
    }

    /// What is said, if anything may be.
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The connection has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        if self.said.take().is_some_and(|said| now < said + ENDED_BY_IT) {
            self.topic = None;
        }
        (self.say_at, self.by, self.known) = (None, None, false);
    }

    /// The broker refuses the subscription.
    pub(super) fn told_already(&mut self) {
        self.known = true;
    }

    /// The broker has confirmed the status of this connection.
    pub(super) fn status_confirmed(&mut self, now: Instant) {
        if self.topic.is_some() && self.said.is_none() {
            self.say_at.get_or_insert(now + PATIENCE);
        }
    }

    /// The broker has confirmed the request, which it may have handed on before.
    pub(super) fn confirmed(&mut self, now: Instant) {
        self.by = (!self.is_back).then_some(now + PATIENCE);
    }

    /// The broker does not let this user write there: nothing is known of reading.
    pub(super) fn refused(&mut self) {
        self.by = None;
    }

    /// Whether a message is the request that asks for nothing.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let ours = self.topic.as_ref() == Some(&message.topic) && message.payload == self.payload;
        if ours {
            (self.by, self.say_at, self.is_back) = (None, None, true);
        }
        ours
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.by.into_iter().chain(self.say_at).min()
    }

    /// What time has come for; `reads`: the status of this connection came back.
    pub(super) fn retry_due(&mut self, now: Instant, reads: bool) -> Option<Found> {
        let over = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if over(self.by) {
            (self.by, self.say_at) = (None, Some(now + RECHECK_AFTER));
            return Some(Found::Lost);
        }
        if !over(self.say_at) {
            return None;
        }
        self.say_at = None;
        if self.known || (reads && !self.reasons) {
            return None;
        }
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        self.payload = format!(r#"{{"transaction":"{nanos}"}}"#).into_bytes();
        (self.said, self.is_back) = (Some(now), false);
        Some(Found::Say(self.payload.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "p/n/request/test";

    /// One that has said its request, and when.
    fn said(reasons: bool, reads: bool) -> (Arrival, Option<Vec<u8>>, Instant) {
        let (mut arrival, now) = (Arrival::new(Some(TOPIC.into()), reasons), Instant::now());
        arrival.status_confirmed(now);
        assert_eq!(arrival.retry_due(now, reads), None);
        let now = now + PATIENCE;
        let payload = match arrival.retry_due(now, reads) {
            Some(Found::Say(payload)) => Some(payload),
            _ => None,
        };
        (arrival, payload, now)
    }

    fn message(payload: &[u8]) -> Message {
        Message { retained: false, topic: TOPIC.into(), payload: payload.to_vec() }
    }

    #[test]
    fn what_does_not_come_back_is_lost_and_tried_again() {
        let (mut arrival, payload, now) = said(false, false);
        arrival.confirmed(now);
        assert!(!arrival.takes(&message(b"of somebody else")));
        assert_eq!(arrival.retry_due(now + PATIENCE, false), Some(Found::Lost));
        let again = arrival.retry_due(now + PATIENCE + RECHECK_AFTER, false);
        assert!(matches!(again, Some(Found::Say(other)) if Some(&other) != payload.as_ref()));
    }

    #[test]
    fn what_comes_back_or_may_not_be_written_is_no_loss() {
        let (mut arrival, payload, now) = said(true, true);
        arrival.confirmed(now);
        assert!(arrival.takes(&message(&payload.unwrap())));
        assert_eq!((arrival.retry_due(now + PATIENCE, true), arrival.due()), (None, None));
        let (mut arrival, payload, now) = said(true, true);
        assert!(arrival.takes(&message(&payload.unwrap())));
        arrival.confirmed(now);
        assert_eq!((arrival.retry_due(now + PATIENCE, true), arrival.due()), (None, None));
        let (mut arrival, _, now) = said(true, false);
        arrival.refused();
        assert_eq!(arrival.retry_due(now + PATIENCE, false), None);
    }

    #[test]
    fn nothing_is_said_where_it_would_tell_nothing_or_ends_connections() {
        assert_eq!(said(false, true).1, None);
        let (mut refused, now) = (Arrival::new(Some(TOPIC.into()), true), Instant::now());
        refused.told_already();
        refused.status_confirmed(now);
        assert_eq!(refused.retry_due(now + PATIENCE, false), None);
        let (mut arrival, _, now) = said(false, false);
        arrival.ended(now + ENDED_BY_IT / 2);
        arrival.status_confirmed(now);
        assert_eq!((arrival.topic(), arrival.due()), (None, None));
    }
}
