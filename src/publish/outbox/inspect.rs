//! Inspection of an outbox whose daemon does not run: its content, and a check of its counters.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase, TableError};
use serde::Serialize;
use serde_json::Value;

use super::FILE;
use super::counters::OutboxCounters;
use super::file::{self, RECORDS};
use super::row::{self, GAP};
use super::trim::rfc3339;
use crate::error::{Error, Result};

/// The result of [`inspect`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The counters.
    pub tally: OutboxCounters,
    /// Records that are there, gap documents included.
    pub records: u64,
    /// Of these, gap documents.
    pub gaps: u64,
    /// Records by stream.
    pub streams: BTreeMap<String, u64>,
    /// When the first of them was accepted, RFC 3339.
    pub oldest: Option<String>,
    /// Faults, a line each; empty for a sound outbox.
    pub faults: Vec<String>,
    /// Damaged files that a daemon moved aside earlier.
    pub moved_aside: Vec<PathBuf>,
}

/// One line of [`export`].
#[derive(Serialize)]
struct Exported<'a> {
    seq: u64,
    kind: &'static str,
    stream: &'a str,
    topic: &'a str,
    accepted: String,
    /// The document; as text where it is no JSON.
    payload: Value,
}

/// Reads the whole outbox in the state folder `dir`, a record at a time, and checks it: the file's own checksums, every
/// document, and the counters against the records. After a kill the file is mended first, as a start of the daemon
/// would.
///
/// # Errors
/// A configuration error where there is no outbox, the daemon holds it or a newer version wrote it; a broker error where
/// the file is damaged as a whole.
pub fn inspect(dir: &Path) -> Result<Inspection> {
    let mut found = Inspection { moved_aside: moved_aside(dir), ..Inspection::default() };
    let (mut bytes, mut last) = (0, 0);
    let tally = walk(dir, &mut |seq, row| {
        found.records += 1;
        found.gaps += u64::from(row.0 == GAP);
        *found.streams.entry(row.2.to_owned()).or_default() += 1;
        found.oldest.get_or_insert_with(|| rfc3339(row.3));
        if serde_json::from_slice::<serde::de::IgnoredAny>(row.4).is_err() {
            found.faults.push(format!("record {seq} of {} is no JSON document", row.2));
        }
        bytes += row::size(row);
        last = seq;
        Ok(())
    })?;
    found.tally = tally;
    let mut disagree = |what: &str, books: u64, there: u64| {
        if books != there {
            found.faults.push(format!("the books say {books} {what}, and there are {there}"));
        }
    };
    disagree("pending documents", tally.pending(), found.records);
    disagree("pending bytes", tally.bytes, bytes);
    if tally.accepted < tally.acked + tally.dropped {
        found.faults.push(format!("more documents were acknowledged or dropped than accepted: {tally:?}"));
    }
    if last >= tally.next_seq.max(1) && found.records > 0 {
        found.faults.push(format!("the next number is {}, and {last} is in use", tally.next_seq));
    }
    Ok(found)
}

/// Writes the pending documents of the outbox in `dir`, in order, as JSON lines; gives their number. Nothing is
/// taken out. Memory does not grow with the outbox.
///
/// # Errors
/// As [`inspect`]; a configuration error where `out` cannot be written.
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<u64> {
    let mut count = 0;
    walk(dir, &mut |seq, row| {
        let text = || Value::String(String::from_utf8_lossy(row.4).into_owned());
        let line = Exported {
            seq,
            kind: if row.0 == GAP { "gap" } else { "event" },
            stream: row.2,
            topic: row.1,
            accepted: rfc3339(row.3),
            payload: serde_json::from_slice(row.4).unwrap_or_else(|_| text()),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
        count += 1;
        Ok(())
    })?;
    out.flush().map_err(|e| unwritable(&e))?;
    Ok(count)
}

type Visit<'a> = dyn FnMut(u64, &row::Row<'_>) -> std::io::Result<()> + 'a;

fn walk(dir: &Path, visit: &mut Visit<'_>) -> Result<OutboxCounters> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Err(Error::config(
            format!("there is no outbox {}", path.display()),
            "name the daemon's folder with --state-dir; without a broker a daemon has no outbox",
        ));
    }
    let (db, tally) = file::look(&path)?;
    let failed = |error: redb::Error| file::refused(&path, &error);
    let txn = db.begin_read().map_err(|e| failed(e.into()))?;
    let records = match txn.open_table(RECORDS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(tally.unwrap_or_default()),
        other => other.map_err(|e| failed(e.into()))?,
    };
    for entry in records.range(0..).map_err(|e| failed(e.into()))? {
        let (seq, row) = entry.map_err(|e| failed(e.into()))?;
        visit(seq.value(), &row.value()).map_err(|e| unwritable(&e))?;
    }
    Ok(tally.unwrap_or_default())
}

fn unwritable(error: &std::io::Error) -> Error {
    Error::config(
        format!("the documents cannot be written: {error}"),
        "check the free space and the permissions of the file given with --out",
    )
}

fn moved_aside(dir: &Path) -> Vec<PathBuf> {
    let is_damaged = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("outbox.redb.corrupt-"))
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_damaged).collect();
    found.sort();
    found
}
