//! The outbox's file: its tables, how it is opened, and the handling of a damaged one.

use std::collections::BTreeSet;
use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition, TableError};

use super::clock::ClockBook;
use super::counters::OutboxCounters;
use super::row::Row;
use crate::error::{Error, Result};
use crate::table_file;

pub(super) const RECORDS: TableDefinition<'_, u64, Row<'static>> = TableDefinition::new("records");
pub(super) const TALLY: TableDefinition<'_, &str, u64> = TableDefinition::new("tally");

/// Its name in errors.
const WHAT: &str = "outbox";
const FORMAT: u64 = 1;

/// An opened file and its counters; `None` in a new file.
pub(crate) struct Opened {
    pub(super) db: Database,
    pub(super) tally: Option<OutboxCounters>,
    pub(super) fresh_after_corruption: bool,
}

pub(super) fn entries(tally: &OutboxCounters) -> [(&'static str, u64); 9] {
    [
        ("format", FORMAT),
        ("accepted", tally.accepted),
        ("acked", tally.acked),
        ("dropped", tally.dropped),
        ("bytes", tally.bytes),
        ("next_seq", tally.next_seq),
        ("boot", tally.clock.boot),
        ("boot_first_seq", tally.clock.first_seq),
        ("boot_offset_ms", tally.clock.offset),
    ]
}

pub(super) fn open(path: &Path) -> Result<Opened> {
    let ((db, tally), fresh_after_corruption) = table_file::open(path, WHAT, load)?;
    Ok(Opened { db, tally, fresh_after_corruption })
}

/// Opens a file for inspection only: a damaged one stays where it is.
pub(super) fn look(path: &Path) -> Result<(Database, Option<OutboxCounters>)> {
    table_file::try_load(path, load).map_err(|error| match table_file::is_corrupt(&error) {
        true => Error::broker(
            format!("the outbox {} is damaged: {error}", path.display()),
            "start the daemon: it moves the file aside, counts what was in it as dropped and begins a new one",
        ),
        false => refused(path, &error),
    })
}

fn load(path: &Path) -> Result<(Database, Option<OutboxCounters>), redb::Error> {
    let db = table_file::database(path)?;
    let txn = db.begin_read()?;
    let tally = match txn.open_table(TALLY) {
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
        Ok(table) => {
            let get =
                |key| -> Result<u64, redb::Error> { Ok(table.get(key)?.map_or(0, |value| value.value())) };
            if get("format")? > FORMAT {
                return Err(redb::Error::UpgradeRequired(u8::MAX));
            }
            txn.open_table(RECORDS)?;
            Some(OutboxCounters {
                accepted: get("accepted")?,
                acked: get("acked")?,
                dropped: get("dropped")?,
                bytes: get("bytes")?,
                next_seq: get("next_seq")?.max(1),
                clock: ClockBook {
                    boot: get("boot")?,
                    first_seq: get("boot_first_seq")?,
                    offset: get("boot_offset_ms")?,
                },
            })
        }
    };
    txn.close()?;
    Ok((db, tally))
}

pub(super) fn present(db: &Database, seqs: impl Iterator<Item = u64>) -> Result<BTreeSet<u64>, redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(RECORDS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeSet::new()),
        other => other?,
    };
    let mut found = BTreeSet::new();
    for seq in seqs {
        if table.get(seq)?.is_some() {
            found.insert(seq);
        }
    }
    Ok(found)
}

pub(super) fn refused(path: &Path, error: &redb::Error) -> Error {
    table_file::refused(path, WHAT, error)
}
