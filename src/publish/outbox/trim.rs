//! Dropping of records when the outbox is full or records are too old, and the gap document in their place.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table};

use super::counters::{OutboxCounters, OutboxLimits};
use super::row::{EVENT, GAP, Row, size};
use crate::publish::gap::{Gap, GapReason};

/// 2024-01-01: a record older than this was accepted before the clock was set, and its age means nothing.
const EARLIEST_VALID_MS: u64 = 1_704_067_200_000;

struct DroppedRecords {
    topic: String,
    last_seq: u64,
    count: u64,
    from_ms: u64,
    until_ms: u64,
    reason: GapReason,
}

/// Removes the oldest records after `taken` until the rest fits `caps`. Where records of a stream went, one
/// gap record stands in their place; it grows with later losses, so that a long outage leaves one.
pub(super) fn trim(
    records: &mut Table<'_, u64, Row<'static>>,
    tally: &mut OutboxCounters,
    taken: u64,
    caps: OutboxLimits,
    now_ms: u64,
) -> Result<(), redb::Error> {
    let mut over = tally.bytes.saturating_sub(caps.max_bytes);
    if over > 0 {
        over += caps.max_bytes / 64;
    }
    let max_age_ms = u64::try_from(caps.max_age.as_millis()).unwrap_or(u64::MAX);
    let too_old = |at: u64| at >= EARLIEST_VALID_MS && now_ms.saturating_sub(at) > max_age_ms;

    let mut freed = 0;
    let mut victims = Vec::new();
    let mut gaps: BTreeMap<String, (u64, u64, Option<Gap>)> = BTreeMap::new();
    let mut lost: BTreeMap<String, DroppedRecords> = BTreeMap::new();
    for entry in records.range(taken + 1..)? {
        let (seq, row) = entry?;
        let (seq, row) = (seq.value(), row.value());
        let (kind, topic, stream, at, payload) = row;
        if kind != EVENT {
            gaps.insert(stream.to_owned(), (seq, size(&row), serde_json::from_slice(payload).ok()));
            continue;
        }
        let reason = match (too_old(at), freed < over) {
            (true, _) => GapReason::Age,
            (false, true) => GapReason::Size,
            (false, false) => break,
        };
        freed += size(&row);
        victims.push(seq);
        let lost = lost.entry(stream.to_owned()).or_insert_with(|| DroppedRecords {
            topic: topic.to_owned(),
            last_seq: seq,
            count: 0,
            from_ms: at,
            until_ms: at,
            reason,
        });
        (lost.last_seq, lost.until_ms, lost.reason) = (seq, at, reason);
        lost.count += 1;
    }
    for seq in &victims {
        records.remove(seq)?;
    }
    tally.dropped += victims.len() as u64;
    tally.bytes = tally.bytes.saturating_sub(freed);

    for (stream, lost) in lost {
        let mut gap =
            Gap::new(&stream, lost.count, rfc3339(lost.from_ms), rfc3339(lost.until_ms), lost.reason);
        if let Some((seq, bytes, earlier)) = gaps.remove(&stream) {
            records.remove(seq)?;
            tally.bytes = tally.bytes.saturating_sub(bytes);
            if let Some(earlier) = earlier {
                gap.id = earlier.id;
                gap.from = earlier.from;
                gap.dropped += earlier.dropped;
            }
        } else {
            tally.accepted += 1;
        }
        let payload = serde_json::to_vec(&gap).unwrap_or_default();
        let row: Row<'_> = (GAP, &lost.topic, &stream, lost.until_ms, &payload);
        records.insert(lost.last_seq, row)?;
        tally.bytes += size(&row);
        tracing::warn!(stream, dropped = gap.dropped, reason = ?lost.reason, "the outbox gave up old events");
    }
    Ok(())
}

pub(super) fn rfc3339(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}
