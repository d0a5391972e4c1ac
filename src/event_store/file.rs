//! The file of the store: one table of rows by id, which ascend with the time at which events were reported.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::config::EventsConfig;
use super::label_example::LabelExample;
use super::labels::{LabelRows, StoredLabels};
use super::row::{Columns, Row};
use crate::error::{Error, Result};
use crate::table_file;

/// Its name in the state folder.
const FILE: &str = "events.redb";
/// Its name in errors.
const WHAT: &str = "event store";
const FORMAT: u64 = 1;
/// 2024-01-01: what is older was reported before the clock was set, and its age means nothing.
const EARLIEST_VALID_MS: u64 = 1_704_067_200_000;

const ROWS: TableDefinition<'_, &str, Columns<'static>> = TableDefinition::new("events");
/// Examples of labels as JSON, by the id of the event.
const EXAMPLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("examples");
/// How often each label was heard.
const HEARD: TableDefinition<'_, &str, u64> = TableDefinition::new("heard");
const BOOKS: TableDefinition<'_, &str, u64> = TableDefinition::new("books");

/// Number of events and bytes in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// The open database, and its size.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) db: Arc<Database>,
    pub(super) size: Size,
}

/// Opens the store in the folder `dir`; true where it is a new one in place of a corrupt one.
pub(super) fn open(dir: &Path) -> Result<(Opened, bool)> {
    table_file::open(&dir.join(FILE), WHAT, load)
}

pub(super) fn refused(dir: &Path, error: &redb::Error) -> Error {
    table_file::refused(&dir.join(FILE), WHAT, error)
}

fn load(path: &Path) -> Result<Opened, redb::Error> {
    let db = table_file::database(path)?;
    let mut size = Size::default();
    let txn = db.begin_read()?;
    match txn.open_table(BOOKS) {
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
        Ok(books) => {
            if books.get("format")?.map_or(0, |value| value.value()) > FORMAT {
                return Err(redb::Error::UpgradeRequired(u8::MAX));
            }
            for entry in txn.open_table(ROWS)?.iter()? {
                let (_, row) = entry?;
                size.events += 1;
                size.bytes += Row::read(row.value()).size();
            }
        }
    }
    txn.close()?;
    Ok(Opened { db: Arc::new(db), size })
}

/// The examples of labels, and how often each label was heard.
pub(super) fn labels(db: &Database) -> Result<StoredLabels, redb::Error> {
    let txn = db.begin_read()?;
    let (mut examples, mut heard) = (Vec::new(), Vec::new());
    match txn.open_table(EXAMPLES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok((examples, heard)),
        Err(error) => return Err(error.into()),
        Ok(table) => {
            for entry in table.iter()? {
                // a later version may have written what this one cannot read
                examples.extend(serde_json::from_slice::<LabelExample>(entry?.1.value()).ok());
            }
        }
    }
    for entry in txn.open_table(HEARD)?.iter()? {
        let (label, times) = entry?;
        heard.push((label.value().to_owned(), times.value()));
    }
    Ok((examples, heard))
}

/// Writes rows and labels, then removes the rows that are past the limits; gives the new size.
pub(super) fn write(
    opened: &Opened,
    rows: &BTreeMap<String, Row>,
    labels: &LabelRows,
    limits: &EventsConfig,
) -> Result<Size, redb::Error> {
    let mut size = opened.size;
    let txn = opened.db.begin_write()?;
    {
        txn.open_table(BOOKS)?.insert("format", FORMAT)?;
        let (mut examples, mut heard) = (txn.open_table(EXAMPLES)?, txn.open_table(HEARD)?);
        for (id, example) in &labels.examples {
            match example {
                Some(json) => examples.insert(id.as_str(), json.as_slice()).map(drop)?,
                None => examples.remove(id.as_str()).map(drop)?,
            }
        }
        for (label, times) in &labels.heard {
            match times {
                Some(times) => heard.insert(label.as_str(), *times).map(drop)?,
                None => heard.remove(label.as_str()).map(drop)?,
            }
        }
        let mut table = txn.open_table(ROWS)?;
        for (id, row) in rows {
            let former = table.insert(id.as_str(), row.columns())?.map(|row| Row::read(row.value()).size());
            size.events += u64::from(former.is_none());
            size.bytes = (size.bytes + row.size()).saturating_sub(former.unwrap_or(0));
        }
        let newest = rows.values().map(|row| row.onset_ms).max().unwrap_or(0);
        // age is counted by the time stamps of events, so that a wrong clock alone removes nothing
        let oldest = newest.saturating_sub(limits.max_age().as_millis() as u64);
        let mut going = Vec::new();
        let mut left = size;
        for entry in table.iter()? {
            let (id, row) = entry?;
            let row = Row::read(row.value());
            let full = left.events > u64::from(limits.max_events) || left.bytes > limits.max_bytes;
            if !full && (row.onset_ms < EARLIEST_VALID_MS || row.onset_ms >= oldest) {
                break;
            }
            left.events -= 1;
            left.bytes = left.bytes.saturating_sub(row.size());
            going.push(id.value().to_owned());
        }
        for id in &going {
            table.remove(id.as_str())?;
        }
        size = left;
    }
    txn.commit()?;
    Ok(size)
}

/// The row of an event.
pub(super) fn get(db: &Database, id: &str) -> Result<Option<Row>, redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(ROWS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    Ok(table.get(id)?.map(|row| Row::read(row.value())))
}

/// Shows every row older than `before` to `look`, the newest first, until that is false.
pub(super) fn scan(
    db: &Database,
    before: Option<&str>,
    look: &mut dyn FnMut(&str, Row) -> bool,
) -> Result<(), redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(ROWS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        other => other?,
    };
    let range = match before {
        Some(before) => table.range::<&str>(..before)?,
        None => table.range::<&str>(..)?,
    };
    for entry in range.rev() {
        let (id, row) = entry?;
        if !look(id.value(), Row::read(row.value())) {
            break;
        }
    }
    Ok(())
}
