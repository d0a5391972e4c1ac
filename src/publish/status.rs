//! Counters and flags of the publisher, readable by any thread at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
#[cfg(feature = "mqtt")]
use std::time::Duration;
use std::time::{Instant, SystemTime};

use super::absence::Absence;
use super::outbox::OutboxCounters;
use super::payload::{BrokerHealth, Health, OutboxHealth};
#[cfg(feature = "mqtt")]
use crate::mqtt::BrokerAddress;
use crate::telemetry::{HopTimes, Percentiles};

/// The link to the broker.
#[cfg_attr(not(feature = "mqtt"), allow(dead_code))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LinkState {
    Away = 0,
    Connecting = 1,
    Connected = 2,
}

/// Counters and flags of the publisher.
#[derive(Debug, Default)]
pub struct PublisherStatus {
    link: AtomicU8,
    /// Host and port of the broker, where one is configured.
    broker: OnceLock<String>,
    /// While the broker is away.
    absence: Mutex<Option<Absence>>,
    #[cfg(feature = "mqtt")]
    losses: AtomicU64,
    accepted: AtomicU64,
    acked: AtomicU64,
    dropped: AtomicU64,
    pending: AtomicU64,
    bytes: AtomicU64,
    corrupt_files: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) requests_done: AtomicU64,
    pub(super) requests_refused: AtomicU64,
    /// How long events took to become durable.
    commits: Mutex<HopTimes>,
    /// Faults of the broker, by their subject.
    faults: Mutex<BTreeMap<String, String>>,
    pub(super) degraded: AtomicBool,
    pub(super) reader_gone: AtomicBool,
    pub(super) lines_lost: AtomicU64,
    orphaned: AtomicBool,
}

impl PublisherStatus {
    /// Whether a broker is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.link.load(Relaxed) == LinkState::Connected as u8
    }

    /// Event documents that became durable (on stdout: that were written), over all runs of the outbox.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Of the accepted, those that the broker confirmed.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked.load(Relaxed)
    }

    /// Of the accepted, those that wait.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    /// Of the accepted, those that were given up because of age or size.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Size of what waits, bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Messages that were never accepted: a queue in memory was full, or stdout was closed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Requests that were carried out.
    #[must_use]
    pub fn requests_done(&self) -> u64 {
        self.requests_done.load(Relaxed)
    }

    /// Requests that were not: unknown, not allowed, unreadable, too many, or of something that is not there.
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        self.requests_refused.load(Relaxed)
    }

    /// How long it took from an event's arrival at the outbox until it was durable.
    #[must_use]
    pub fn commits(&self) -> Percentiles {
        self.commits.lock().map(|times| times.percentiles()).unwrap_or_default()
    }

    /// A commit ended, `duration` after the first of its events had come.
    #[cfg(feature = "mqtt")]
    pub(super) fn committed(&self, duration: Duration) {
        if let Ok(mut times) = self.commits.lock() {
            times.push(duration);
        }
    }

    /// Faults of the broker, a line each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Sets the fault of `what`.
    #[cfg(feature = "mqtt")]
    pub(super) fn set_fault(&self, what: String, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(what, fault);
    }

    /// Clears the fault of `what`.
    #[cfg(feature = "mqtt")]
    pub(super) fn clear_fault(&self, what: &str) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// Whether the disk refuses writes, so that new events wait in memory, or the state folder is gone.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.degraded.load(Relaxed) || self.orphaned.load(Relaxed)
    }

    /// Event documents that stdout did not take, though its reader is there: a disk that is full.
    #[must_use]
    pub fn lines_lost(&self) -> u64 {
        self.lines_lost.load(Relaxed)
    }

    /// The state folder was removed: writes go to deleted files, and are lost with the process.
    pub fn set_orphaned(&self, orphaned: bool) {
        self.orphaned.store(orphaned, Relaxed);
    }

    /// Corrupt outbox files moved aside since the start.
    #[must_use]
    pub fn corrupt_files(&self) -> u64 {
        self.corrupt_files.load(Relaxed)
    }

    /// Whether the reader of stdout has closed it (`cpc-stream | head`): a request to stop, no failure.
    #[must_use]
    pub fn wants_stop(&self) -> bool {
        self.reader_gone.load(Relaxed)
    }

    /// Writes the publisher's part of the health document.
    pub fn fill(&self, health: &mut Health) {
        health.events_accepted = self.accepted();
        health.events_acked = self.acked();
        health.events_pending = self.pending();
        health.events_dropped = self.dropped();
        health.events_refused = self.refused();
        health.requests_done = self.requests_done();
        health.requests_refused = self.requests_refused();
        health.broker =
            BrokerHealth { connected: self.connected(), faults: self.faults(), ..BrokerHealth::default() };
        if let (Some(broker), Some(absence)) = (self.broker.get(), self.absence().as_ref()) {
            let now = (Instant::now(), SystemTime::now());
            absence.fill(broker, health.events_pending, now, &mut health.broker);
        }
        health.outbox = OutboxHealth {
            pending: self.pending(),
            bytes: self.pending_bytes(),
            dropped: self.dropped(),
            degraded: self.degraded(),
            removed: self.orphaned.load(Relaxed),
            corrupt_files: self.corrupt_files(),
        };
    }

    fn absence(&self) -> MutexGuard<'_, Option<Absence>> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker is configured, and away until it is connected.
    #[cfg(feature = "mqtt")]
    pub(super) fn expect_broker(&self, address: &BrokerAddress) {
        let _ = self.broker.set(format!("{}:{}", address.host, address.port));
        *self.absence() = Some(Absence::new(Instant::now()));
    }

    /// Sets the reason why the broker is away.
    #[cfg(feature = "mqtt")]
    pub(super) fn explain_absence(&self, reason: &str) {
        self.absence().iter_mut().for_each(|absence| absence.explain(reason));
    }

    #[cfg(feature = "mqtt")]
    pub(super) fn set_link(&self, link: LinkState) {
        self.link.store(link as u8, Relaxed);
        match link {
            LinkState::Connected => *self.absence() = None,
            LinkState::Away | LinkState::Connecting => {
                self.absence().get_or_insert_with(|| Absence::new(Instant::now()));
            }
        }
        if link == LinkState::Away {
            self.losses.fetch_add(1, Relaxed);
        }
    }

    /// Connections that ended and tries for one that failed, since the start.
    #[cfg(feature = "mqtt")]
    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    pub(super) fn set_tally(&self, tally: OutboxCounters, corrupt_files: u64) {
        self.accepted.store(tally.accepted, Relaxed);
        self.acked.store(tally.acked, Relaxed);
        self.dropped.store(tally.dropped, Relaxed);
        self.pending.store(tally.pending(), Relaxed);
        self.bytes.store(tally.bytes, Relaxed);
        self.corrupt_files.store(corrupt_files, Relaxed);
    }
}
