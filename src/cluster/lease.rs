//! Leases: keys with one owner each, as the servers decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::{Entry, Operation, Store, UpdateErrorKind};

/// A key that this worker has.
#[derive(Debug)]
pub(super) struct Lease {
    key: String,
    value: Vec<u8>,
    revision: Arc<AtomicU64>,
    renewed: Instant,
    /// Another worker has it, or could have.
    pub(super) lost: bool,
}

impl Lease {
    /// Takes a free key; `None` where it has an owner, or the servers do not answer.
    pub(super) async fn take(store: &Store, key: String, value: Vec<u8>) -> Option<Self> {
        // time before the request: the lease may be as old as that
        let renewed = Instant::now();
        let revision = store.create(&key, value.clone().into()).await.ok()?;
        Some(Self { key, value, revision: Arc::new(AtomicU64::new(revision)), renewed, lost: false })
    }

    /// The revision, which ascends: a token of everything written under this lease.
    pub(super) fn revision(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.revision)
    }

    /// Renews it; notes where it is lost, which it is `after` so long without an answer.
    pub(super) async fn renew(&mut self, store: &Store, after: Duration) {
        let asked = Instant::now();
        let revision = self.revision.load(Ordering::Relaxed);
        match store.update(&self.key, self.value.clone().into(), revision).await {
            Ok(revision) => {
                self.revision.store(revision, Ordering::Relaxed);
                self.renewed = asked;
            }
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => self.lost = true,
            Err(error) => tracing::debug!("cluster: the lease {} is not renewed: {error}", self.key),
        }
        self.lost |= self.renewed.elapsed() >= after;
    }

    /// Gives it back.
    pub(super) async fn release(self, store: &Store) {
        if !self.lost {
            let revision = self.revision.load(Ordering::Relaxed);
            if let Err(error) = store.delete_expect_revision(&self.key, Some(revision)).await {
                tracing::debug!("cluster: the lease {} runs out by itself: {error}", self.key);
            }
        }
    }
}

/// The state of all keys, as reported by the servers.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    keys: BTreeMap<String, (Vec<u8>, Instant)>,
}

impl LeaseTable {
    /// Applies a change.
    pub(super) fn apply(&mut self, entry: Entry, now: Instant) {
        match entry.operation {
            Operation::Put => drop(self.keys.insert(entry.key, (entry.value.to_vec(), now))),
            Operation::Delete | Operation::Purge => drop(self.keys.remove(&entry.key)),
        }
    }

    /// Keys that begin with `prefix` and were renewed within `limit`: what follows the prefix, and the value.
    pub(super) fn alive<'a>(
        &'a self,
        prefix: &'a str,
        limit: Duration,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.keys.iter().filter_map(move |(key, (value, at))| {
            let name = key.strip_prefix(prefix)?;
            (at.elapsed() < limit).then_some((name, value.as_slice()))
        })
    }

    /// Whether the key has an owner.
    pub(super) fn is_taken(&self, key: &str, limit: Duration) -> bool {
        self.keys.get(key).is_some_and(|(_, at)| at.elapsed() < limit)
    }
}
