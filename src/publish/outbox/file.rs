//! The outbox's file: its tables, how it is opened, and what is done about a bad one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind as Io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, ReadableDatabase, TableDefinition, TableError};

use super::clock::ClockBook;
use super::{Tally, now_ms};
use crate::error::{Error, Result};

/// Kind, topic, stream, accepted at (unix ms), payload.
pub(super) type Row<'a> = (u8, &'a str, &'a str, u64, &'a [u8]);

pub(super) const RECORDS: TableDefinition<'_, u64, Row<'static>> = TableDefinition::new("records");
pub(super) const TALLY: TableDefinition<'_, &str, u64> = TableDefinition::new("tally");

pub(super) const EVENT: u8 = 0;
pub(super) const GAP: u8 = 1;

const FOLDER: &str = "name a folder with `--state-dir` where the daemon's user may write";

const FORMAT: u64 = 1;
const CACHE_BYTES: usize = 4 << 20;
const ROW_OVERHEAD: u64 = 64;

/// An opened file and what its books say; None in a new file.
pub(crate) struct Opened {
    pub(super) db: Database,
    pub(super) tally: Option<Tally>,
    pub(super) fresh_after_corruption: bool,
}

pub(super) fn size(row: &Row<'_>) -> u64 {
    (row.1.len() + row.2.len() + row.4.len()) as u64 + ROW_OVERHEAD
}

pub(super) fn entries(tally: &Tally) -> [(&'static str, u64); 9] {
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
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| match error.kind() {
            // no waiting mends these, unlike a disk that is full or read-only
            Io::NotFound | Io::PermissionDenied | Io::AlreadyExists | Io::NotADirectory => {
                Error::config(format!("the state folder {} cannot be made: {error}", dir.display()), FOLDER)
            }
            _ => refused(path, &redb::Error::Io(error)),
        })?;
    }
    match try_load(path) {
        Ok((db, tally)) => {
            sync_folder(path);
            Ok(Opened { db, tally, fresh_after_corruption: false })
        }
        Err(error) if is_corrupt(&error) => {
            move_aside(path, &error)?;
            let (db, tally) = load(path).map_err(|error| refused(path, &error))?;
            sync_folder(path);
            Ok(Opened { db, tally, fresh_after_corruption: true })
        }
        Err(error) => Err(refused(path, &error)),
    }
}

/// Opens a file that is to be looked at only: a damaged one stays where it is.
pub(super) fn look(path: &Path) -> Result<(Database, Option<Tally>)> {
    try_load(path).map_err(|error| match is_corrupt(&error) {
        true => Error::broker(
            format!("the outbox {} is damaged: {error}", path.display()),
            "start the daemon: it moves the file aside, counts what was in it as dropped and begins a new one",
        ),
        false => refused(path, &error),
    })
}

/// redb panics on some damage.
fn try_load(path: &Path) -> Result<(Database, Option<Tally>), redb::Error> {
    catch_unwind(AssertUnwindSafe(|| load(path)))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("the reader gave up on it".into())))
}

fn load(path: &Path) -> Result<(Database, Option<Tally>), redb::Error> {
    let db = Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(path)?;
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
            Some(Tally {
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

fn is_corrupt(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_) => true,
        redb::Error::UpgradeRequired(version) => *version != u8::MAX,
        redb::Error::Io(error) => matches!(error.kind(), Io::InvalidData | Io::UnexpectedEof),
        _ => false,
    }
}

fn move_aside(path: &Path, error: &redb::Error) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".corrupt-{}", now_ms()));
    tracing::error!(
        file = %path.display(), moved_to = %Path::new(&aside).display(), %error,
        "the outbox is corrupt: its events are lost to this daemon; starting a new one"
    );
    std::fs::rename(path, &aside).map_err(|error| refused(path, &redb::Error::Io(error)))
}

/// Without this a power cut may forget the name of a file whose content it kept.
fn sync_folder(path: &Path) {
    if let Some(Err(error)) = path.parent().map(|dir| File::open(dir).and_then(|dir| dir.sync_all())) {
        tracing::warn!(%error, "the folder of the outbox cannot be synchronised");
    }
}

pub(super) fn refused(path: &Path, error: &redb::Error) -> Error {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::config(
            format!("another process holds the lock on the outbox {}", path.display()),
            "stop the other cpc-stream, or give this one its own --state-dir",
        ),
        redb::Error::UpgradeRequired(_) => Error::config(
            format!("the outbox {} was written by a newer version", path.display()),
            "run that version, or move the file away",
        ),
        redb::Error::Io(error) if error.kind() == Io::PermissionDenied => {
            Error::config(format!("the outbox {} cannot be opened: {error}", path.display()), FOLDER)
        }
        other => Error::broker(
            format!("the outbox {} cannot be used: {other}", path.display()),
            "check free space, owner and health of the disk under the state folder",
        ),
    }
}
