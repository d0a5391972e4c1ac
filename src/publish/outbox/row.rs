//! A row of the table of records.

/// Kind, topic, stream, accepted at (unix ms), payload.
pub(super) type Row<'a> = (u8, &'a str, &'a str, u64, &'a [u8]);

/// The kind of an event document, and of a gap document.
pub(super) const EVENT: u8 = 0;
pub(super) const GAP: u8 = 1;

/// Bytes of the bookkeeping of a row, about.
const ROW_OVERHEAD: u64 = 64;

/// Bytes that a row counts in the limits.
pub(super) fn size(row: &Row<'_>) -> u64 {
    (row.1.len() + row.2.len() + row.4.len()) as u64 + ROW_OVERHEAD
}
