//! Counters of sources, readable from any thread.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Counters of one source, over all its streams and reopenings.
#[derive(Debug, Default)]
pub struct SourceCounters {
    pub(super) xruns: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) not_finite: AtomicU64,
    /// Bytes that are no whole frames.
    pub(super) bytes_refused: AtomicU64,
    /// The rate at which samples come, where it is not the configured one, and that, Hz; else 0.
    pub(super) measured_hz: AtomicU32,
    pub(super) configured_hz: AtomicU32,
    /// Rounds of the source's thread: the count stops only when the thread hangs.
    pub(super) beats: AtomicU64,
    pub(super) opening: AtomicBool,
    pub(super) gave_up: AtomicBool,
    /// Chunks of a microphone on the broker.
    pub(super) chunks: ChunkCounters,
}

/// Counters of the chunks of a microphone on the broker.
#[derive(Debug, Default)]
pub struct ChunkCounters {
    pub(super) taken: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) refused: AtomicU64,
    missing: AtomicU64,
}

impl ChunkCounters {
    /// Counts one; how many there were before.
    pub(super) fn count(&self, which: fn(&Self) -> &AtomicU64) -> u64 {
        which(self).fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add_missing(&self, frames: u64) {
        self.missing.fetch_add(frames, Ordering::Relaxed);
    }

    /// All chunks that arrived.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Of these, those that came when they had been given up.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Of these, those whose sound had come before.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Of these, invalid messages, and chunks of an unexpected session.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Frames that are missing between chunks.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing.load(Ordering::Relaxed)
    }
}

impl SourceCounters {
    /// Gaps (xruns) that the sound card reported: this process was late.
    #[must_use]
    pub fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    /// Times that the source was opened; more than 1 means that it went and came back.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Rounds of the source's thread; the count stops only where the thread hangs, or has ended.
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

    /// Counters of chunks; all 0 where the source is no microphone on the broker.
    #[must_use]
    pub fn chunks(&self) -> &ChunkCounters {
        &self.chunks
    }

    /// Bytes that were refused because they are no whole frames: of datagrams that are none, and at the end of
    /// connections.
    #[must_use]
    pub fn bytes_refused(&self) -> u64 {
        self.bytes_refused.load(Ordering::Relaxed)
    }

    /// The samples a second that come from a network, where they are not as many as is configured, and what is, Hz.
    #[must_use]
    pub fn wrong_rate(&self) -> Option<(u32, u32)> {
        let measured = self.measured_hz.load(Ordering::Relaxed);
        (measured > 0).then(|| (measured, self.configured_hz.load(Ordering::Relaxed)))
    }

    /// Samples that were invalid ([`is_valid_sample`](crate::units::is_valid_sample)) and were taken as 0.
    #[must_use]
    pub fn not_finite(&self) -> u64 {
        self.not_finite.load(Ordering::Relaxed)
    }
}
