//! The writing end of a ring.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ringbuf::HeapProd;
use ringbuf::traits::{Observer, Producer};

use super::{Mark, RingCounters, Shared, clock};

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
    pub(super) fn new(samples: HeapProd<f32>, marks: HeapProd<Mark>, shared: Arc<Shared>) -> Self {
        Self {
            samples,
            marks,
            shared,
            accepted: 0,
            clock: 0,
            rate: 0,
            segment: 0,
            new_rate: None,
            pending: 0,
            refusing: false,
            origin: None,
        }
    }

    /// Writes what fits of `samples` and returns how many that were; the rest is counted and marked as a gap.
    ///
    /// Never allocates, locks or blocks.
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let accepted = self.accept(samples);
        let refused = (samples.len() - accepted) as u64;
        if refused > 0 {
            self.shared.counters.overruns.fetch_add(u64::from(!self.refusing), Ordering::Release);
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

    /// Sets the rate of the samples from here on, in Hz: `rate`. The sample clock starts again from here; a gap that is
    /// still to be marked is converted.
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
        // the reader counts marks, and two changes without a sample between them make one
        if self.new_rate.replace(rate).is_none() {
            self.segment = self.segment.wrapping_add(1);
        }
        self.origin = None;
    }

    /// The rate last set, in Hz; 0 before the first.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Sets the capture time of the next sample pushed to `captured` (monotonic). Estimates are smoothed, so that the
    /// scheduling jitter of one callback does not show.
    pub fn anchor(&mut self, captured: Instant) {
        if self.rate == 0 {
            return;
        }
        let measured = self.shared.origin.seconds(captured) - self.clock as f64 / f64::from(self.rate);
        let origin = clock::smooth(self.origin, measured);
        self.origin = Some(origin);
        self.shared.origin.store(self.segment, origin);
    }

    /// Whether the reader is gone.
    #[must_use]
    pub fn reader_is_gone(&self) -> bool {
        self.shared.reader_gone.load(Ordering::Acquire)
    }

    /// The counters of this ring.
    #[must_use]
    pub fn counters(&self) -> Arc<RingCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Closes the stream, like dropping the writer: the reader gets what is left, then [`Read::Closed`](super::Read::Closed).
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
