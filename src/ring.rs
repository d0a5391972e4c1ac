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
//! use cpc_stream::ring::{Read, ring};
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
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use clock::Origin;

/// Rates that a stream may have, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Marks (gaps, rate changes) that may wait for the reader at once.
const MARKS: usize = 256;

/// A thread that waits on a ring of another thread looks this often.
const POLL: Duration = Duration::from_millis(2);

/// What one [`RingReader::read`] found. Everything comes in the order in which it happened.
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

/// What went through a ring, readable from any thread. At rest `pushed = read + samples in the ring`.
#[derive(Debug, Default)]
pub struct RingCounters {
    pushed: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    read: AtomicU64,
}

impl RingCounters {
    /// Samples that the ring accepted.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Acquire)
    }

    /// Samples that found no room (an overrun: the reader is too slow).
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
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
    let writer = RingWriter {
        samples: samples_in,
        marks: marks_in,
        shared: Arc::clone(&shared),
        accepted: 0,
        clock: 0,
        rate: 0,
        segment: 0,
        new_rate: None,
        pending: 0,
        refusing: false,
        origin: None,
    };
    let reader = RingReader {
        samples: samples_out,
        marks: marks_out,
        shared,
        taken: 0,
        clock: 0,
        rate: 0,
        segment: 0,
        gap: 0,
    };
    (writer, reader)
}

/// The writing end; dropping it closes the stream.
pub struct RingWriter {
    samples: HeapProd<f32>,
    marks: HeapProd<Mark>,
    shared: Arc<Shared>,
    accepted: u64,
    /// Samples since the rate was last set, gaps included.
    clock: u64,
    rate: u32,
    segment: u16,
    new_rate: Option<u32>,
    pending: u64,
    refusing: bool,
    origin: Option<f64>,
}

impl RingWriter {
    /// Writes what fits of `samples` and returns how many that were; the rest is counted and marked as a gap.
    ///
    /// Never allocates, locks or blocks.
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let accepted = self.accept(samples);
        let refused = (samples.len() - accepted) as u64;
        if refused > 0 {
            self.refusing = true;
            self.pending += refused;
            self.clock += refused;
            self.shared.counters.refused.fetch_add(refused, Ordering::Release);
        }
        accepted
    }

    /// Writes all of `samples`, waiting for room. False when the reader is gone or `keep_going` said no, which
    /// is asked about every millisecond; the samples that are left are then dropped uncounted.
    pub fn push_blocking(&mut self, mut samples: &[f32], keep_going: impl Fn() -> bool) -> bool {
        while !samples.is_empty() {
            if self.reader_is_gone() || !keep_going() {
                return false;
            }
            let accepted = self.accept(samples);
            samples = &samples[accepted..];
            if !samples.is_empty() {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        true
    }

    fn accept(&mut self, samples: &[f32]) -> usize {
        let room = self.samples.vacant_len();
        let resume = samples.len().min(self.samples.capacity().get().div_ceil(2));
        if samples.is_empty() || room == 0 || (self.refusing && room < resume) || !self.publish_mark() {
            return 0;
        }
        self.refusing = false;
        let accepted = self.samples.push_slice(samples);
        self.accepted += accepted as u64;
        self.clock += accepted as u64;
        self.shared.counters.pushed.fetch_add(accepted as u64, Ordering::Release);
        self.wake();
        accepted
    }

    /// Puts the outstanding gap and rate change in front of the next sample; false when there is no room.
    fn publish_mark(&mut self) -> bool {
        if self.pending == 0 && self.new_rate.is_none() {
            return true;
        }
        let mark = Mark { at: self.accepted, rate: self.new_rate, lost: self.pending };
        if self.marks.try_push(mark).is_err() {
            return false;
        }
        self.shared.counters.lost.fetch_add(self.pending, Ordering::Release);
        self.pending = 0;
        self.new_rate = None;
        true
    }

    /// Marks `lost` samples (at the rate last set) as missing before the next sample: an xrun, a device that was
    /// gone. Consecutive gaps merge.
    pub fn mark_gap(&mut self, lost: u64) {
        self.pending += lost;
        self.clock += lost;
    }

    /// Says that the samples from here on were taken at `rate` Hz. The sample clock starts again from here; a
    /// gap that is still to be marked is converted.
    pub fn set_rate(&mut self, rate: u32) {
        if rate == self.rate {
            return;
        }
        if self.rate > 0 {
            let seconds = self.pending as f64 / f64::from(self.rate);
            self.pending = (seconds * f64::from(rate)).round() as u64;
        }
        self.clock = self.pending;
        self.rate = rate;
        self.segment = self.segment.wrapping_add(1);
        self.new_rate = Some(rate);
        self.origin = None;
    }

    /// The rate last set, in Hz; 0 before the first.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Says that the next sample pushed was captured at `captured` (monotonic). Estimates are smoothed, so that
    /// the scheduling jitter of one callback does not show.
    pub fn anchor(&mut self, captured: Instant) {
        if self.rate == 0 {
            return;
        }
        let measured = self.shared.origin.seconds(captured) - self.clock as f64 / f64::from(self.rate);
        let origin = clock::smooth(self.origin, measured);
        self.origin = Some(origin);
        self.shared.origin.store(self.segment, origin);
    }

    /// Whether nobody will read any more.
    #[must_use]
    pub fn reader_is_gone(&self) -> bool {
        self.shared.reader_gone.load(Ordering::Acquire)
    }

    /// The counters of this ring.
    #[must_use]
    pub fn counters(&self) -> Arc<RingCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Closes the stream, like dropping the writer: the reader gets what is left, then [`Read::Closed`].
    pub fn close(self) {}

    fn wake(&self) {
        if let Some(thread) = self.shared.waiting.get() {
            thread.unpark();
        }
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        self.shared.counters.lost.fetch_add(self.pending, Ordering::Release);
        self.shared.tail_lost.store(self.pending, Ordering::Release);
        self.shared.closed.store(true, Ordering::Release);
        self.wake();
    }
}

/// The reading end; dropping it makes [`RingWriter::push_blocking`] return false.
pub struct RingReader {
    samples: HeapCons<f32>,
    marks: HeapCons<Mark>,
    shared: Arc<Shared>,
    taken: u64,
    clock: u64,
    rate: u32,
    segment: u16,
    /// Lost at the mark whose rate change was just reported.
    gap: u64,
}

impl RingReader {
    /// The next thing that happened on the stream. Reads never cross a gap or a rate change. `out` must not be
    /// empty.
    pub fn read(&mut self, out: &mut [f32]) -> Read {
        if self.gap > 0 {
            return self.take_gap();
        }
        // The order of these three looks matters: a mark is published before the samples that follow it, and
        // the end after both, so looking at them in the reverse order never lets a sample slip past its mark.
        let closed = self.shared.closed.load(Ordering::Acquire);
        let available = self.samples.occupied_len();
        let mut limit = available.min(out.len());
        if let Some(mark) = self.marks.try_peek().copied() {
            if mark.at == self.taken {
                return self.take_mark(mark);
            }
            limit = limit.min(usize::try_from(mark.at - self.taken).unwrap_or(usize::MAX));
        }
        if limit > 0 {
            let taken = self.samples.pop_slice(&mut out[..limit]);
            self.taken += taken as u64;
            self.clock += taken as u64;
            self.shared.counters.read.fetch_add(taken as u64, Ordering::Release);
            return Read::Samples(taken);
        }
        if available > 0 || !closed {
            return Read::Empty;
        }
        self.gap = self.shared.tail_lost.swap(0, Ordering::AcqRel);
        if self.gap > 0 { self.take_gap() } else { Read::Closed }
    }

    fn take_mark(&mut self, mark: Mark) -> Read {
        self.marks.skip(1);
        self.gap = mark.lost;
        match mark.rate {
            Some(rate) => {
                self.rate = rate;
                self.clock = 0;
                self.segment = self.segment.wrapping_add(1);
                Read::Rate(rate)
            }
            None => self.take_gap(),
        }
    }

    fn take_gap(&mut self) -> Read {
        let lost = std::mem::take(&mut self.gap);
        self.clock += lost;
        Read::Gap { lost }
    }

    /// The rate of the next sample in Hz, as last reported by [`Read::Rate`]; 0 before the first.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// When the next sample to be read was, or will be, captured. `None` where the source has no such clock
    /// (a file read as fast as it goes) and for the short while in which the device has changed its rate but
    /// older samples are still to be read.
    #[must_use]
    pub fn captured_at(&self) -> Option<Instant> {
        let origin = self.shared.origin.load(self.segment)?;
        let offset = if self.rate > 0 { self.clock as f64 / f64::from(self.rate) } else { 0.0 };
        self.shared.origin.instant(origin + offset)
    }

    /// Whether [`RingReader::read`] would give anything but [`Read::Empty`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.gap > 0
            || self.shared.closed.load(Ordering::Acquire)
            || self.samples.occupied_len() > 0
            || !self.marks.is_empty()
    }

    /// Samples waiting to be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.occupied_len()
    }

    /// Whether no sample waits to be read (a gap or the end still may).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Sleeps until this ring is ready or `timeout` is over; true when ready. See [`wait_any`].
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        wait_any([self], timeout)
    }

    /// The counters of this ring.
    #[must_use]
    pub fn counters(&self) -> Arc<RingCounters> {
        Arc::clone(&self.shared.counters)
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Release);
    }
}

/// Sleeps until any of `readers` is ready or `timeout` is over; true when one is ready.
///
/// The first thread that waits on a ring is the one its writer wakes (`Thread::unpark`, at once); any other
/// thread finds out within 2 ms.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "iterators over references are passed like references")]
pub fn wait_any<'a>(readers: impl IntoIterator<Item = &'a RingReader> + Clone, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    let me = thread::current();
    let mut woken = true;
    for reader in readers.clone() {
        woken &= reader.shared.waiting.get_or_init(|| me.clone()).id() == me.id();
    }
    loop {
        if readers.clone().into_iter().any(RingReader::is_ready) {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::park_timeout(if woken { left } else { left.min(POLL) });
    }
}
