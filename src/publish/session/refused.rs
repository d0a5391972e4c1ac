//! What a broker refuses, and what is remembered to find out which topic ends the connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::GOOD_CONNECTION;
use crate::publish::outbox::Record;

/// Short connections in a row after which messages go out one at a time, so that the one that ends them is found.
const SHORT: u32 = 5;
/// Connections that end while a topic alone is under way, after which that is left out.
pub(super) const STRIKES: u32 = 3;
/// Where messages go out one at a time, the next goes this long after a receipt: some brokers confirm a message and then close.
const SETTLE: Duration = Duration::from_millis(100);
/// Receipts on one topic in one connection that clear it: a broker that closes after what it denies gives one.
const STEADY: u32 = 2;

/// What the broker refuses, and what is remembered to find that out.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Topics on which the broker takes nothing, until the next try.
    pub(super) topics: BTreeSet<String>,
    /// Event records of these topics.
    pub(super) records: Vec<Record>,
    pub(super) retry: Option<Instant>,
    /// Topics and filters that were told of.
    pub(super) told: BTreeSet<String>,
    /// Subscriptions in the order in which they were asked for, and by packet id.
    pub(super) asked: VecDeque<String>,
    pub(super) sent: BTreeMap<u16, String>,
    /// Connections in a row that were closed before they were answered.
    pub(super) closed: u32,
    pub(super) up_since: Option<Instant>,
    /// Connections in a row that came about and soon ended.
    pub(super) short: u32,
    pub(super) strikes: BTreeMap<String, u32>,
    /// When topics that end connections are tried again.
    pub(super) pardon: Option<Instant>,
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
        [self.retry, self.next_apart, self.settle, self.pardon].into_iter().flatten().min()
    }

    /// Topics whose messages end the connection.
    pub(super) fn ending(&self) -> BTreeSet<String> {
        let enough = |(topic, &strikes): (&String, &u32)| (strikes >= STRIKES).then(|| topic.clone());
        self.strikes.iter().filter_map(enough).collect()
    }

    /// Counts a receipt.
    pub(super) fn confirmed(&mut self, topic: &str, now: Instant) {
        self.settle = self.is_careful().then_some(now + SETTLE);
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
}
