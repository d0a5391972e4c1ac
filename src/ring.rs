//! The lock-free ring between a source and the inference thread.
//!
//! One ring carries one stream: mono `f32` samples at the rate of the device. The writing end lives in the
//! audio callback, so it never allocates, locks or logs; the reading end is polled by the inference thread,
//! which may read many rings.
//!
//! **The sample clock never slips.** What does not fit is refused (the newest samples), counted, and marked at
//! its exact place: the reader gets [`Read::Samples`] up to the gap, then [`Read::Gap`], then what follows. Gaps
//! and rate changes travel as marks in a second small ring. When even that ring is full the samples are refused
//! too, so a gap may grow but never moves. After an overflow writing resumes once the whole next push, or half
//! of the ring, is free: a slow reader gets few long gaps rather than many short ones.
//!
//! ```
//! use cpc_stream::internal::ring::{Read, ring};
//!
//! let (mut writer, mut reader) = ring(4);
//! writer.set_rate(48_000);
//! assert_eq!(writer.push(&[0.1, 0.2, 0.3, 0.4, 0.5]), 4);
//! drop(writer);
//!
//! let mut out = [0.0; 8];
//! assert_eq!(reader.read(&mut out), Read::Rate(48_000));
//! assert_eq!(reader.read(&mut out), Read::Samples(4));
//! assert_eq!(reader.read(&mut out), Read::Gap { lost: 1 });
//! assert_eq!(reader.read(&mut out), Read::Closed);
//! ```

mod clock;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use ringbuf::HeapRb;
use ringbuf::traits::Split;

use clock::Origin;

pub use reader::{RingReader, wait_any};
pub use writer::RingWriter;

/// Rates that a stream may have, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Marks (gaps, rate changes) that may wait for the reader at once.
const MARKS: usize = 256;

/// Result of one [`RingReader::read`]. Everything comes in the order in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The samples that follow were taken at this rate, in Hz. Comes before the first sample and wherever the
    /// rate changes (a device came back with another one): build the resampler here.
    Rate(u32),
    /// This many samples were written to the front of the buffer.
    Samples(usize),
    /// `lost` samples (at the rate in force) are missing here: advance the clock and reset what remembers.
    Gap {
        /// Samples missing, at least 1.
        lost: u64,
    },
    /// Nothing now; wait.
    Empty,
    /// Nothing now and never again: the writer is gone and all was read.
    Closed,
}

/// Counters of a ring, readable from any thread. At rest `pushed = read + samples in the ring`.
#[derive(Debug, Default)]
pub struct RingCounters {
    pushed: AtomicU64,
    refused: AtomicU64,
    overruns: AtomicU64,
    lost: AtomicU64,
    read: AtomicU64,
}

impl RingCounters {
    /// Samples that the ring accepted.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    /// Samples that a full ring refused, in all overruns.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Overruns: episodes in which the ring is full and refuses samples, each until it takes samples again.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Acquire)
    }

    /// Samples in all gaps marked so far, refused ones among them. A gap counts once it is marked, which
    /// happens with the next accepted sample or at the end.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    /// Samples that the reader took out.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Samples accepted before the mark.
    at: u64,
    rate: Option<u32>,
    lost: u64,
}

#[derive(Debug)]
struct Shared {
    counters: Arc<RingCounters>,
    origin: Origin,
    /// Lost after the last mark, set when the writer goes.
    tail_lost: AtomicU64,
    closed: AtomicBool,
    reader_gone: AtomicBool,
    waiting: OnceLock<Thread>,
}

/// A ring for `capacity` samples (at least 1).
///
/// Say the rate with [`RingWriter::set_rate`] before the first push.
#[must_use]
pub fn ring(capacity: usize) -> (RingWriter, RingReader) {
    let (samples_in, samples_out) = HeapRb::new(capacity.max(1)).split();
    let (marks_in, marks_out) = HeapRb::new(MARKS).split();
    let shared = Arc::new(Shared {
        counters: Arc::default(),
        origin: Origin::new(),
        tail_lost: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        reader_gone: AtomicBool::new(false),
        waiting: OnceLock::new(),
    });
    (
        RingWriter::new(samples_in, marks_in, Arc::clone(&shared)),
        RingReader::new(samples_out, marks_out, shared),
    )
}
