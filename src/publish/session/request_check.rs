//! Whether requests arrive. A broker may grant a subscription and deliver nothing where its rules forbid reading (Mosquitto does), so
//! the daemon sends itself a request without effect.
//!
//! A status that comes back shows that the user may read. MQTT 3.1.1 shows no more: a request that does not come back may be one that
//! this user must not write. MQTT 5 gives a reason for that.

use std::time::{Duration, Instant};

use crate::mqtt::link::Message;

/// What requests that do not arrive are called among the faults.
pub(super) const REQUESTS: &str = "requests";
/// How long the broker may take to deliver a confirmed request.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval after which a lost request is sent again.
const RECHECK_AFTER: Duration = Duration::from_secs(300);
/// A connection that ends this soon after the request counts as ended by it.
const BLAMED_WITHIN: Duration = Duration::from_secs(2);

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Send a request with this payload.
    Send(Vec<u8>),
    /// Requests do not arrive.
    Lost,
}

#[derive(Debug)]
pub(super) struct RequestCheck {
    /// The topic of the request without effect; none where no command is accepted, or where it ended the connection.
    topic: Option<String>,
    /// Refusals come with a reason (MQTT 5).
    reasons: bool,
    payload: Vec<u8>,
    /// When to send it.
    send_at: Option<Instant>,
    sent: Option<Instant>,
    is_back: bool,
    /// When it must have come back.
    by: Option<Instant>,
    /// The broker refuses the subscription of this connection, which is reported already.
    is_reported: bool,
}

impl RequestCheck {
    pub(super) fn new(topic: Option<String>, reasons: bool) -> Self {
        Self {
            topic,
            reasons,
            payload: Vec::new(),
            send_at: None,
            sent: None,
            is_back: false,
            by: None,
            is_reported: false,
        }
    }

    /// The topic, where requests are checked.
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The connection has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        if self.sent.take().is_some_and(|sent| now < sent + BLAMED_WITHIN) {
            self.topic = None;
        }
        (self.send_at, self.by, self.is_reported) = (None, None, false);
    }

    /// The broker refuses the subscription.
    pub(super) fn already_reported(&mut self) {
        self.is_reported = true;
    }

    /// The broker has confirmed the status of this connection.
    pub(super) fn status_confirmed(&mut self, now: Instant) {
        if self.topic.is_some() && self.sent.is_none() {
            self.send_at.get_or_insert(now + DELIVERY_TIMEOUT);
        }
    }

    /// The broker has confirmed the request, which it may have delivered before.
    pub(super) fn confirmed(&mut self, now: Instant) {
        self.by = (!self.is_back).then_some(now + DELIVERY_TIMEOUT);
    }

    /// The broker does not let this user write there: nothing is known of reading.
    pub(super) fn refused(&mut self) {
        self.by = None;
    }

    /// Whether a message is the request without effect.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let ours = self.topic.as_ref() == Some(&message.topic) && message.payload == self.payload;
        if ours {
            (self.by, self.send_at, self.is_back) = (None, None, true);
        }
        ours
    }

    /// The time of the next check.
    pub(super) fn due(&self) -> Option<Instant> {
        self.by.into_iter().chain(self.send_at).min()
    }

    /// The result that is due at `now`; `reads`: the status of this connection came back.
    pub(super) fn retry_due(&mut self, now: Instant, reads: bool) -> Option<Found> {
        let over = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if over(self.by) {
            (self.by, self.send_at) = (None, Some(now + RECHECK_AFTER));
            return Some(Found::Lost);
        }
        if !over(self.send_at) {
            return None;
        }
        self.send_at = None;
        if self.is_reported || (reads && !self.reasons) {
            return None;
        }
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        self.payload = format!(r#"{{"transaction":"{nanos}"}}"#).into_bytes();
        (self.sent, self.is_back) = (Some(now), false);
        Some(Found::Send(self.payload.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "p/n/request/test";

    /// A check that has sent its request, and when.
    fn sent(reasons: bool, reads: bool) -> (RequestCheck, Option<Vec<u8>>, Instant) {
        let (mut check, now) = (RequestCheck::new(Some(TOPIC.into()), reasons), Instant::now());
        check.status_confirmed(now);
        assert_eq!(check.retry_due(now, reads), None);
        let now = now + DELIVERY_TIMEOUT;
        let payload = match check.retry_due(now, reads) {
            Some(Found::Send(payload)) => Some(payload),
            _ => None,
        };
        (check, payload, now)
    }

    fn message(payload: &[u8]) -> Message {
        Message { retained: false, topic: TOPIC.into(), payload: payload.to_vec() }
    }

    #[test]
    fn what_does_not_come_back_is_lost_and_tried_again() {
        let (mut check, payload, now) = sent(false, false);
        check.confirmed(now);
        assert!(!check.takes(&message(b"of another sender")));
        assert_eq!(check.retry_due(now + DELIVERY_TIMEOUT, false), Some(Found::Lost));
        let again = check.retry_due(now + DELIVERY_TIMEOUT + RECHECK_AFTER, false);
        assert!(matches!(again, Some(Found::Send(other)) if Some(&other) != payload.as_ref()));
    }

    #[test]
    fn what_comes_back_or_may_not_be_written_is_no_loss() {
        let (mut check, payload, now) = sent(true, true);
        check.confirmed(now);
        assert!(check.takes(&message(&payload.unwrap())));
        assert_eq!((check.retry_due(now + DELIVERY_TIMEOUT, true), check.due()), (None, None));
        let (mut check, payload, now) = sent(true, true);
        assert!(check.takes(&message(&payload.unwrap())));
        check.confirmed(now);
        assert_eq!((check.retry_due(now + DELIVERY_TIMEOUT, true), check.due()), (None, None));
        let (mut check, _, now) = sent(true, false);
        check.refused();
        assert_eq!(check.retry_due(now + DELIVERY_TIMEOUT, false), None);
    }

    #[test]
    fn nothing_is_sent_where_it_would_show_nothing_or_ends_connections() {
        assert_eq!(sent(false, true).1, None);
        let (mut refused, now) = (RequestCheck::new(Some(TOPIC.into()), true), Instant::now());
        refused.already_reported();
        refused.status_confirmed(now);
        assert_eq!(refused.retry_due(now + DELIVERY_TIMEOUT, false), None);
        let (mut check, _, now) = sent(false, false);
        check.ended(now + BLAMED_WITHIN / 2);
        check.status_confirmed(now);
        assert_eq!((check.topic(), check.due()), (None, None));
    }
}
