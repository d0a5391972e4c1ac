//! The age of records where the clock is set while they wait: it is counted by the time since boot.
//!
//! A Raspberry Pi has no clock that runs while it is off. It starts with the time of its last shutdown, or in 1970, and
//! is set right once it has a network: what was accepted a minute before then looks weeks old. So the difference
//! between the wall clock and the time since the boot is stored with the counters, and where it jumps, the times of the
//! records are shifted by it: those of this boot, and where it jumps forward all. So the time for which the machine was
//! off may not count.

use std::time::{SystemTime, UNIX_EPOCH};

use redb::{ReadableTable as _, Table};

use super::row::Row;

/// A jump of the clock below this is left alone, in ms.
const SMALLEST_STEP_MS: u64 = 60_000;

/// Readings of the machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Unix time in ms.
    pub(super) wall_ms: u64,
    /// Time since the boot in ms, sleep included; none where the kernel does not tell.
    pub(super) up_ms: Option<u64>,
    /// Identifies this boot.
    pub(super) boot: u64,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let uptime = read("/proc/uptime").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let boot = read("/proc/sys/kernel/random/boot_id").map(|id| id.replace('-', ""));
        Self {
            wall_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            up_ms: uptime.map(|seconds| (seconds * 1000.0) as u64),
            boot: boot.and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok()).unwrap_or(0),
        }
    }
}

/// The stored readings of the clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClockBook {
    /// The boot in which the last commit was made.
    pub(super) boot: u64,
    /// The first record of that boot; 0 in books that know of no boot.
    pub(super) first_seq: u64,
    /// Unix time at that boot in ms, by the clock as it was at the last commit: an `i64` as its bits.
    pub(super) offset: u64,
}

impl ClockBook {
    /// Stores the clocks' readings before record `next_seq`; returns the jump of the wall clock in ms since the last
    /// time, where it was set in this boot.
    pub(super) fn note(&mut self, clocks: Clocks, next_seq: u64) -> Option<i64> {
        let offset = (clocks.wall_ms as i64).wrapping_sub(clocks.up_ms? as i64);
        let known = (self.first_seq > 0 && self.boot == clocks.boot).then_some(self.offset as i64);
        let first_seq = if known.is_some() { self.first_seq } else { next_seq };
        *self = Self { boot: clocks.boot, first_seq, offset: offset as u64 };
        known.map(|known| offset.wrapping_sub(known)).filter(|step| step.unsigned_abs() > SMALLEST_STEP_MS)
    }
}

/// Moves the times of all records from `first_seq` on by `step_ms`.
pub(super) fn shift(
    records: &mut Table<'_, u64, Row<'static>>,
    first_seq: u64,
    step_ms: i64,
) -> Result<(), redb::Error> {
    let mut moved = Vec::new();
    for entry in records.range(first_seq..)? {
        let (seq, row) = entry?;
        let (kind, topic, stream, at, payload) = row.value();
        let at = at.saturating_add_signed(step_ms);
        moved.push((seq.value(), (kind, topic.to_owned(), stream.to_owned(), at, payload.to_vec())));
    }
    for (seq, (kind, topic, stream, at, payload)) in moved {
        records.insert(seq, (kind, topic.as_str(), stream.as_str(), at, payload.as_slice()))?;
    }
    tracing::info!(
        seconds = step_ms / 1000,
        "the clock was set: the ages of waiting events are counted by it from here on"
    );
    Ok(())
}
