//! Topics that a broker refuses, and the search for topics whose messages end the connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::publish::outbox::Record;

/// After a connection of this length the next pause is short again.
pub(super) const GOOD_CONNECTION: Duration = Duration::from_secs(5);
/// Short connections in a row after which messages go out one at a time, so that the one that ends them is found.
const SHORT: u32 = 5;
/// Connections that end while a topic alone is under way, after which that is left out.
const STRIKES: u32 = 3;
/// Topics that the broker refuses with a reason are tried again this often, besides at each connection.
const RETRY: Duration = Duration::from_secs(60);
/// A topic that ends connections is tried again after this: a retry costs some connections, but the network may have
/// been the cause.
const PARDON: Duration = Duration::from_secs(600);
/// A connection that holds so long after a receipt on a topic shows that the broker takes it.
const PROVEN: Duration = Duration::from_secs(2);
/// Where messages go out one at a time, the next goes this long after a receipt: some brokers confirm a message and then close.
const SETTLE: Duration = Duration::from_millis(100);
/// Receipts on one topic in one connection that clear it: a broker that closes after what it denies gives one.
const STEADY: u32 = 2;

/// Refused topics, and the state of the search for them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Topics on which the broker takes nothing, until the next try.
    pub(super) topics: BTreeSet<String>,
    /// Event records of these topics.
    pub(super) records: Vec<Record>,
    retry: Option<Instant>,
    /// Topics and filters that were reported.
    pub(super) reported: BTreeSet<String>,
    /// Of these, topics with a receipt in this connection, and when that is proof.
    proving: BTreeMap<String, Instant>,
    /// Subscriptions in the order in which they were asked for, and by packet id.
    pub(super) asked: VecDeque<String>,
    pub(super) sent: BTreeMap<u16, String>,
    /// Connections in a row that were closed before they were answered.
    pub(super) closed: u32,
    /// The broker retains no messages, which was logged.
    pub(super) keeps_nothing: bool,
    pub(super) up_since: Option<Instant>,
    /// Connections in a row that came about and soon ended.
    pub(super) short: u32,
    pub(super) strikes: BTreeMap<String, u32>,
    /// When topics that end connections are tried again.
    pardon: Option<Instant>,
    /// Receipts of this connection by topic, and topics that had some in one connection since the last that was not short.
    pub(super) receipts: BTreeMap<String, u32>,
    pub(super) steady: BTreeSet<String>,
    /// Until then the topic that was confirmed last is the only suspect.
    pub(super) settle: Option<Instant>,
    /// Filters that bring a message too large for this program.
    pub(super) deafening: BTreeSet<String>,
    /// Subscriptions that are asked for one at a time, and when the next.
    pub(super) apart: VecDeque<String>,
    pub(super) next_apart: Option<Instant>,
    pub(super) last_apart: Option<String>,
}

impl Refused {
    pub(super) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let fixed = [self.retry, self.next_apart, self.settle, self.pardon].into_iter().flatten();
        fixed.chain(self.proving.values().copied()).min()
    }

    /// A connection has come about: what is refused with a reason may go again, what ends connections may not.
    pub(super) fn begin(&mut self, now: Instant) {
        self.topics = self.ending();
        (self.up_since, self.closed, self.settle) = (Some(now), 0, None);
        self.receipts.clear();
        self.proving.clear();
    }

    /// The broker refuses what is published on `topic`, with a reason.
    pub(super) fn refuse(&mut self, topic: &str, now: Instant) {
        self.topics.insert(topic.to_owned());
        self.proving.remove(topic);
        self.retry.get_or_insert(now + RETRY);
    }

    /// A connection has ended while `topic` was the only suspect; true where it is left out from now on.
    pub(super) fn strike(&mut self, topic: &str, now: Instant) -> bool {
        let strikes = self.strikes.entry(topic.to_owned()).or_default();
        *strikes += 1;
        if *strikes == STRIKES {
            self.pardon.get_or_insert(now + PARDON);
        }
        *strikes == STRIKES
    }

    /// Topics that the time has come to try again.
    pub(super) fn tried_again(&mut self, now: Instant) -> Option<BTreeSet<String>> {
        if self.pardon.is_some_and(|at| now >= at) {
            (self.pardon, self.retry) = (None, Some(now));
            self.strikes.clear();
        }
        self.retry.filter(|&at| now >= at)?;
        self.retry = None;
        let ending = self.ending();
        let before = std::mem::replace(&mut self.topics, ending);
        Some(before.difference(&self.topics).cloned().collect())
    }

    /// Reported topics that the broker accepts again.
    pub(super) fn proven(&mut self, now: Instant) -> Vec<String> {
        let over = self.proving.iter().filter(|&(_, &at)| now >= at);
        let topics: Vec<String> = over.map(|(topic, _)| topic.clone()).collect();
        for topic in &topics {
            self.proving.remove(topic);
            self.reported.remove(topic);
        }
        topics
    }

    /// Topics whose messages end the connection.
    fn ending(&self) -> BTreeSet<String> {
        let enough = |(topic, &strikes): (&String, &u32)| (strikes >= STRIKES).then(|| topic.clone());
        self.strikes.iter().filter_map(enough).collect()
    }

    /// Counts a receipt.
    pub(super) fn confirmed(&mut self, topic: &str, now: Instant) {
        self.settle = self.is_careful().then_some(now + SETTLE);
        if self.reported.contains(topic) {
            self.proving.entry(topic.to_owned()).or_insert(now + PROVEN);
        }
        if self.steady.contains(topic) {
            return;
        }
        let count = self.receipts.entry(topic.to_owned()).or_default();
        *count += 1;
        if *count >= STEADY {
            self.steady.insert(topic.to_owned());
        }
    }

    /// Whether the end of a connection speaks against the topic that was alone under way: its message had no receipt, or has just
    /// had one and the topic never had more of them in a connection.
    pub(super) fn is_suspect(&self, topic: &str) -> bool {
        self.short > SHORT && (self.settle.is_none() || !self.steady.contains(topic))
    }

    /// Whether messages go out one at a time: for the first seconds of a connection, where those before were short.
    pub(super) fn is_careful(&self) -> bool {
        self.short >= SHORT && self.up_since.is_some_and(|since| since.elapsed() < GOOD_CONNECTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_short_connections(receipts: u32) -> Refused {
        let mut refused = Refused { short: SHORT + 1, up_since: Some(Instant::now()), ..Refused::default() };
        (0..receipts).for_each(|_| refused.confirmed("a/event", Instant::now()));
        refused
    }

    #[test]
    fn a_topic_with_receipts_in_a_connection_does_not_end_it() {
        assert!(of_short_connections(0).is_suspect("a/event"), "no receipt");
        assert!(of_short_connections(1).is_suspect("a/event"), "one, and then the end");
        let mut refused = of_short_connections(STEADY);
        assert!(!refused.is_suspect("a/event"));
        assert!(refused.is_suspect("b/event"));
        refused.settle = None;
        assert!(refused.is_suspect("a/event"), "the next message had no receipt");
        refused.short = SHORT;
        assert!(!refused.is_suspect("a/event"), "a line that breaks now and then");
    }

    #[test]
    fn a_topic_that_ends_connections_is_left_out_and_tried_again_after_its_pardon() {
        let now = Instant::now();
        let mut refused = of_short_connections(0);
        let struck: Vec<bool> = (0..STRIKES + 1).map(|_| refused.strike("a/event", now)).collect();
        assert_eq!(struck, [false, false, true, false]);
        refused.begin(now);
        assert!(refused.topics.contains("a/event"));
        assert_eq!(refused.due(), Some(now + PARDON));
        assert_eq!(refused.tried_again(now + PARDON / 2), None);
        // what is refused with a reason goes again each minute, and does not take the other one along
        refused.refuse("b/event", now);
        assert_eq!(refused.tried_again(now + RETRY), Some(BTreeSet::from(["b/event".to_owned()])));
        assert!(refused.topics.contains("a/event"));
        assert_eq!(refused.tried_again(now + PARDON), Some(BTreeSet::from(["a/event".to_owned()])));
        assert!(refused.topics.is_empty() && refused.due().is_none());
        assert!(!refused.strike("a/event", now + PARDON), "it is judged anew");
    }

    #[test]
    fn a_receipt_alone_does_not_show_that_a_topic_is_taken_again() {
        let now = Instant::now();
        let mut refused = Refused::default();
        refused.reported.insert("a/event".to_owned());
        refused.confirmed("a/event", now);
        // the broker closes after it
        refused.begin(now);
        assert_eq!(refused.proven(now + PROVEN), Vec::<String>::new());
        refused.confirmed("a/event", now);
        refused.refuse("a/event", now);
        assert_eq!(refused.proven(now + PROVEN), Vec::<String>::new());
        refused.confirmed("a/event", now);
        assert_eq!(refused.proven(now), Vec::<String>::new());
        assert_eq!(refused.proven(now + PROVEN), ["a/event"]);
        assert!(refused.reported.is_empty());
    }
}
