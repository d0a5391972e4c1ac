//! What happened to a source, countable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one source, over all its streams and reopenings.
#[derive(Debug, Default)]
pub struct SourceCounters {
    pub(super) xruns: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) not_finite: AtomicU64,
}

impl SourceCounters {
    /// Overruns that the device reported (this process was late).
    #[must_use]
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    /// Times that the source was opened; more than 1 means that it went and came back.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Samples that were NaN or infinite and were replaced by 0.
    #[must_use]
    pub fn not_finite(&self) -> u64 {
        self.not_finite.load(Ordering::Relaxed)
    }
}
