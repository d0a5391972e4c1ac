//! The reading end of a ring.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ringbuf::HeapCons;
use ringbuf::traits::{Consumer, Observer};

use super::{Mark, Read, RingCounters, Shared};

/// A thread that waits on a ring of another thread looks this often.
const POLL: Duration = Duration::from_millis(2);

/// The reading end; dropping it makes [`RingWriter::push_blocking`](super::RingWriter::push_blocking) return false.
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
    pub(super) fn new(samples: HeapCons<f32>, marks: HeapCons<Mark>, shared: Arc<Shared>) -> Self {
        Self { samples, marks, shared, taken: 0, clock: 0, rate: 0, segment: 0, gap: 0 }
    }

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
