//! Queries of the event store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::file::{self, Opened};
use super::filter::Filter;
use super::labels::{LabelFile, LabelInfo, Labels};
use super::recogniser::InForce;
use super::row::{Row, StoredEvent};
use crate::error::Result;

/// Half an hour in ms: all but a few time zones of the world differ by multiples of it.
const HALF_HOUR_MS: u64 = 1_800_000;
/// Events of the highest severity that a summary names.
const WORST: usize = 3;
/// Most events of a page.
const LONGEST_PAGE: usize = 1000;

/// Some events, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Value of [`Filter::before`] for the next page; null on the last one.
    pub next: Option<String>,
}

/// The events that began in one half hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HalfHour {
    /// Its start, Unix seconds.
    pub start: u64,
    /// How many.
    pub events: u32,
    /// Their highest severity.
    pub severity: u8,
}

/// All events that a filter finds, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub events: u64,
    /// Of these, how many have no verdict.
    pub unjudged: u64,
    /// By half hours, in order; those without events are left out.
    pub half_hours: Vec<HalfHour>,
    /// By stream.
    pub streams: BTreeMap<String, u64>,
    /// By kind.
    pub kinds: BTreeMap<String, u64>,
    /// Labels that they have.
    pub labels: BTreeSet<String>,
    /// By label.
    pub label_counts: BTreeMap<String, u64>,
    /// The three of the highest severity, the highest first, and of two alike the newer.
    pub worst: Vec<StoredEvent>,
}

/// State shared by readers and the writer.
#[derive(Debug)]
pub(super) struct SharedState {
    /// Folder of the file; `None` keeps events in memory only.
    pub(super) dir: Option<PathBuf>,
    pub(super) opened: Mutex<Option<Opened>>,
    /// Rows that are not on the disk yet.
    pub(super) waiting: Mutex<BTreeMap<String, Row>>,
    /// The last rows that it has taken, for as long as the file cannot be read: on a full disk it cannot be opened.
    pub(super) written: Mutex<BTreeMap<String, Row>>,
    pub(super) labels: Mutex<Labels>,
    pub(super) in_force: InForce,
    /// Cosine from which one event sounds like another.
    pub(super) least: f64,
}

pub(super) fn record_written<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedState {
    /// Puts the labels as they are now into force.
    pub(super) fn renew_recogniser(&self) {
        let new = Arc::new(record_written(&self.labels).recogniser());
        // the lock is held for the exchange alone
        *record_written(&self.in_force) = new;
    }

    fn opened(&self) -> Option<Opened> {
        record_written(&self.opened).clone()
    }

    fn refused(&self, error: &redb::Error) -> crate::error::Error {
        file::refused(self.dir.as_deref().unwrap_or(std::path::Path::new("")), error)
    }
}

/// A read handle; any number, from any thread. A query of thousands of events takes milliseconds.
#[derive(Debug, Clone)]
pub struct EventStore {
    pub(super) shared: Arc<SharedState>,
}

impl EventStore {
    /// All labels by name.
    #[must_use]
    pub fn labels(&self) -> Vec<LabelInfo> {
        record_written(&self.shared.labels).list()
    }

    /// All examples of labels, to be kept or taken to another node.
    #[must_use]
    pub fn label_file(&self) -> LabelFile {
        record_written(&self.shared.labels).file()
    }

    /// The event `id`.
    ///
    /// # Errors
    /// A broker error where the file cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<StoredEvent>> {
        Ok(self.row(id)?.as_ref().and_then(Row::kept))
    }

    pub(super) fn row(&self, id: &str) -> Result<Option<Row>> {
        if let Some(row) = record_written(&self.shared.waiting).get(id) {
            return Ok(Some(row.clone()));
        }
        let Some(opened) = self.shared.opened() else {
            return Ok(record_written(&self.shared.written).get(id).cloned());
        };
        file::get(&opened.db, id).map_err(|e| self.shared.refused(&e))
    }

    /// The newest `limit` events (1 to 1,000) that `filter` takes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn page(&self, filter: &Filter, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, LONGEST_PAGE);
        let mut events = Vec::new();
        let mut next = None;
        self.scan(filter, &mut |id, row| {
            if events.len() == limit {
                next = events.last().map(|(id, _): &(String, Option<StoredEvent>)| id.clone());
                return false;
            }
            events.push((id.to_owned(), row.kept()));
            true
        })?;
        Ok(Page { events: events.into_iter().filter_map(|(_, kept)| kept).collect(), next })
    }

    /// Counts the events that match `filter`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn summary(&self, filter: &Filter) -> Result<Summary> {
        let mut sum = Summary::default();
        let mut worst = Vec::new();
        let mut half_hours: BTreeMap<u64, (u32, u8)> = BTreeMap::new();
        self.scan(filter, &mut |_, row| {
            sum.events += 1;
            sum.unjudged += u64::from(row.verdict.is_none());
            let (count, severity) = half_hours.entry(row.onset_ms / HALF_HOUR_MS).or_default();
            (*count, *severity) = (*count + 1, row.severity.max(*severity));
            *sum.streams.entry(row.stream.clone()).or_default() += 1;
            *sum.kinds.entry(row.kind.clone()).or_default() += 1;
            if !row.label.is_empty() {
                sum.labels.insert(row.label.clone());
                *sum.label_counts.entry(row.label.clone()).or_default() += 1;
            }
            let place = worst.partition_point(|other: &Row| other.severity >= row.severity);
            if place < WORST {
                worst.insert(place, row);
                worst.truncate(WORST);
            }
            true
        })?;
        sum.worst = worst.iter().filter_map(Row::kept).collect();
        let of =
            |(place, (events, severity))| HalfHour { start: place * HALF_HOUR_MS / 1000, events, severity };
        sum.half_hours = half_hours.into_iter().map(of).collect();
        Ok(sum)
    }

    /// Calls `look` with each event that matches `filter`, the newest first, until it returns false. Rows that wait for
    /// the disk take the place of their older versions.
    pub(super) fn scan(&self, filter: &Filter, look: &mut dyn FnMut(&str, Row) -> bool) -> Result<()> {
        let opened = self.shared.opened();
        let mut waiting = BTreeMap::new();
        if opened.is_none() {
            waiting.clone_from(&record_written(&self.shared.written));
        }
        waiting.extend(record_written(&self.shared.waiting).clone());
        let mut goes_on = true;
        let mut show = |id: &str, row: Row| {
            goes_on = goes_on && (!filter.matches(id, &row) || look(id, row));
            goes_on
        };
        if let Some(opened) = opened {
            let mut each = |id: &str, row: Row| {
                let mut row = Some(row);
                while let Some(newest) = waiting.last_entry().filter(|newest| newest.key().as_str() >= id) {
                    let (newer, of_newer) = newest.remove_entry();
                    row = row.filter(|_| newer != id);
                    show(&newer, of_newer);
                }
                row.is_none_or(|row| show(id, row))
            };
            file::scan(&opened.db, filter.before.as_deref(), &mut each)
                .map_err(|e| self.shared.refused(&e))?;
        }
        for (id, row) in waiting.into_iter().rev() {
            show(&id, row);
        }
        Ok(())
    }
}
