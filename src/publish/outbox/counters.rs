//! What an outbox counts, and the limits of it.

use std::time::Duration;

use super::clock::ClockBook;

/// Limits past which the oldest records are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes of topics, payloads and their bookkeeping.
    pub max_bytes: u64,
    /// Time since a record was accepted. A clock that is set meanwhile changes nothing.
    pub max_age: Duration,
}

/// Counters: `accepted = acked + pending + dropped`, over all runs since the file was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounters {
    /// Records that became durable.
    pub accepted: u64,
    /// Records that the broker confirmed.
    pub acked: u64,
    /// Records given up because of age, size, a corrupt file or a broker that takes none so large.
    pub dropped: u64,
    /// Bytes of the pending records.
    pub bytes: u64,
    /// Number of the next record.
    pub(super) next_seq: u64,
    pub(super) clock: ClockBook,
}

impl OutboxCounters {
    /// Records that wait.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.accepted.saturating_sub(self.acked + self.dropped)
    }

    pub(super) fn settle(&mut self, done: Removal) {
        *(if done.delivered { &mut self.acked } else { &mut self.dropped }) += 1;
        self.bytes = self.bytes.saturating_sub(done.bytes);
    }
}

/// A record to be removed with the next commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removal {
    pub(super) bytes: u64,
    pub(super) delivered: bool,
}
