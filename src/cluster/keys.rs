//! Keys of the bucket of leases, and the time of its entries.

use std::time::SystemTime;

/// Prefixes of keys in the bucket of leases.
pub(super) const STREAM: &str = "stream.";
pub(super) const WORKER: &str = "worker.";

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
