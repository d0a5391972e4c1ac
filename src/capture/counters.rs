//! What happened to a source, countable from any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of one source, over all its streams and reopenings.
#[derive(Debug, Default)]
pub struct SourceCounters {
    pub(super) xruns: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) not_finite: AtomicU64,
    /// Rounds of the source's thread: stands still only when it hangs.
    pub(super) beats: AtomicU64,
    pub(super) opening: AtomicBool,
    pub(super) gave_up: AtomicBool,
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

    /// Rounds of the source's thread; they stand still only where it hangs, or has ended.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Whether a device is being opened, which may take its time.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Relaxed)
    }

    /// Whether an audio thread hangs, so that its device can never be opened again by this process.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    /// Samples that were NaN or infinite and were replaced by 0.
    #[must_use]
    pub fn not_finite(&self) -> u64 {
        self.not_finite.load(Ordering::Relaxed)
    }
}
