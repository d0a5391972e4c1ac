//! The durable queue in front of the broker: accepted documents survive a kill and a power cut.

mod clock;
mod counters;
mod file;
mod inspect;
mod row;
mod trim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};

use crate::error::{Error, Result};

use clock::Clocks;
use counters::Removal;
pub use counters::{OutboxCounters, OutboxLimits};
pub(super) use file::Opened;
use file::{RECORDS, TALLY};
pub use inspect::{Inspection, export, inspect};
use row::Row;

/// Longest payload that is taken, bytes (the wire's packets end at 1 MiB).
pub const MAX_PAYLOAD: usize = 1_000_000;

/// Its name in the state folder.
const FILE: &str = "outbox.redb";

/// A message to keep until the broker has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic it goes to.
    pub topic: String,
    /// Stream it belongs to: gaps are counted by stream.
    pub stream: String,
    /// The document, at most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

/// A message of the queue, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Place in the queue; rises, never used twice.
    pub seq: u64,
    /// Topic it goes to.
    pub topic: String,
    /// The document.
    pub payload: Vec<u8>,
}

/// A first-in-first-out queue on disk, for one owner.
///
/// [`append`](Self::append) returns once its messages are on the disk. [`take`](Self::take) hands records out
/// in order, each once per opening; [`ack`](Self::ack) removes them. The removal reaches the disk with the
/// next append or [`flush`](Self::flush): a crash before that means a duplicate, never a loss.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    caps: OutboxLimits,
    db: Option<Database>,
    tally: OutboxCounters,
    taken: u64,
    out: BTreeMap<u64, u64>,
    done: BTreeMap<u64, Removal>,
    corrupt_files: u64,
}

impl Outbox {
    /// Opens or makes `outbox.redb` in the folder `dir`, which is made where it is missing. The whole file
    /// is verified; a corrupt one is moved aside as `outbox.redb.corrupt-<unix ms>` and counted.
    ///
    /// # Errors
    /// A configuration error where another process has the outbox open or a newer version wrote it; a broker
    /// error where the disk refuses.
    pub fn open(dir: &Path, caps: OutboxLimits) -> Result<Self> {
        let mut outbox = Self::closed(dir, caps);
        outbox.reopen()?;
        Ok(outbox)
    }

    /// An outbox whose file could not be opened yet: every operation that needs it tries again.
    pub(super) fn closed(dir: &Path, caps: OutboxLimits) -> Self {
        Self {
            path: dir.join(FILE),
            caps,
            db: None,
            tally: OutboxCounters { next_seq: 1, ..OutboxCounters::default() },
            taken: 0,
            out: BTreeMap::new(),
            done: BTreeMap::new(),
            corrupt_files: 0,
        }
    }

    /// The counters.
    #[must_use]
    pub fn tally(&self) -> OutboxCounters {
        self.tally
    }

    /// Corrupt files that this owner has moved aside.
    #[must_use]
    pub fn corrupt_files(&self) -> u64 {
        self.corrupt_files
    }

    /// Records taken and not confirmed.
    #[must_use]
    pub fn out(&self) -> usize {
        self.out.len()
    }

    /// Records that were not taken yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.tally.pending().saturating_sub(self.out.len() as u64)
    }

    /// Confirmations that have not reached the disk.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.done.len()
    }

    /// Puts `messages` at the end of the queue in one commit; when this returns they are on the disk.
    ///
    /// # Errors
    /// A broker error where the disk refuses; then none or all of them are in the file, and the next call
    /// opens the file anew.
    pub fn append(&mut self, messages: &[Message]) -> Result<()> {
        self.append_at(messages, Clocks::now())
    }

    fn append_at(&mut self, messages: &[Message], clocks: Clocks) -> Result<()> {
        if let Some(message) = messages.iter().find(|message| message.payload.len() > MAX_PAYLOAD) {
            return Err(Error::internal(format!(
                "a document of {} bytes for {} is longer than {MAX_PAYLOAD}",
                message.payload.len(),
                message.topic
            )));
        }
        self.reopen()?;
        match self.commit(messages, clocks) {
            Ok(tally) => {
                self.tally = tally;
                self.done.clear();
                Ok(())
            }
            Err(error) => {
                self.db = None;
                Err(file::refused(&self.path, &error))
            }
        }
    }

    /// Brings confirmations to the disk and gives up what is too old.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush(&mut self) -> Result<()> {
        self.append(&[])
    }

    /// The next `count` records in order that were not taken since the file was opened.
    ///
    /// # Errors
    /// A broker error where the file cannot be read.
    pub fn take(&mut self, count: usize) -> Result<Vec<Record>> {
        self.reopen()?;
        let records = match self.read(count) {
            Ok(records) => records,
            Err(error) => {
                self.db = None;
                return Err(file::refused(&self.path, &error));
            }
        };
        for (record, size) in &records {
            self.taken = record.seq;
            self.out.insert(record.seq, *size);
        }
        Ok(records.into_iter().map(|(record, _)| record).collect())
    }

    /// The broker has confirmed record `seq`. Numbers that are not out are ignored.
    pub fn ack(&mut self, seq: u64) {
        self.settle(seq, true);
    }

    /// Record `seq` can never be delivered: it counts as dropped. Numbers that are not out are ignored.
    pub fn give_up(&mut self, seq: u64) {
        self.settle(seq, false);
    }

    fn settle(&mut self, seq: u64, delivered: bool) {
        if let Some(bytes) = self.out.remove(&seq) {
            let done = Removal { bytes, delivered };
            self.done.insert(seq, done);
            self.tally.settle(done);
        }
    }

    fn reopen(&mut self) -> Result<()> {
        if self.db.is_some() {
            return Ok(());
        }
        let Opened { db, tally, fresh_after_corruption } = file::open(&self.path)?;
        let known = self.tally;
        self.tally = tally.unwrap_or(OutboxCounters { next_seq: 1, ..OutboxCounters::default() });
        if fresh_after_corruption {
            self.corrupt_files += 1;
            self.tally = OutboxCounters { dropped: known.dropped + known.pending(), bytes: 0, ..known };
            self.out.clear();
            self.done.clear();
        }
        // a record that was taken keeps its number: never hand that number out again
        self.tally.next_seq = self.tally.next_seq.max(known.next_seq);
        let present =
            file::present(&db, self.done.keys().copied()).map_err(|e| file::refused(&self.path, &e))?;
        self.done.retain(|seq, _| present.contains(seq));
        for done in self.done.values() {
            self.tally.settle(*done);
        }
        self.db = Some(db);
        Ok(())
    }

    fn commit(&self, messages: &[Message], clocks: Clocks) -> Result<OutboxCounters, redb::Error> {
        let db = self.db.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let (mut tally, now_ms) = (self.tally, clocks.wall_ms);
        let txn = db.begin_write()?;
        {
            let mut records = txn.open_table(RECORDS)?;
            if let Some(step) = tally.clock.note(clocks, tally.next_seq) {
                // what an earlier boot with the same wrong clock left has no truer time
                let first = if step > 0 { 0 } else { tally.clock.first_seq };
                clock::shift(&mut records, first, step)?;
            }
            for seq in self.done.keys() {
                records.remove(seq)?;
            }
            for message in messages {
                let row: Row<'_> = (row::EVENT, &message.topic, &message.stream, now_ms, &message.payload);
                records.insert(tally.next_seq, row)?;
                tally.next_seq += 1;
                tally.accepted += 1;
                tally.bytes += row::size(&row);
            }
            trim::trim(&mut records, &mut tally, self.taken, self.caps, now_ms)?;
            let mut book = txn.open_table(TALLY)?;
            for (key, value) in file::entries(&tally) {
                book.insert(key, value)?;
            }
        }
        txn.commit()?;
        Ok(tally)
    }

    fn read(&self, count: usize) -> Result<Vec<(Record, u64)>, redb::Error> {
        let db = self.db.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let txn = db.begin_read()?;
        let records = match txn.open_table(RECORDS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in records.range(self.taken + 1..)?.take(count) {
            let (seq, row) = entry?;
            let row = row.value();
            let record = Record { seq: seq.value(), topic: row.1.to_owned(), payload: row.4.to_vec() };
            found.push((record, row::size(&row)));
        }
        Ok(found)
    }
}

#[cfg(test)]
fn now_ms() -> u64 {
    Clocks::now().wall_ms
}

#[cfg(test)]
mod tests;
