//! Progress of the analysis, readable by other threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use super::PipelineFigures;
use crate::telemetry::Durations;

/// Progress of an analysis thread, readable by the supervisor.
#[derive(Debug, Default)]
pub(super) struct ThreadProgress {
    /// Rounds of the loop: the count stops only when the thread hangs.
    pub(super) rounds: AtomicU64,
    /// Frames that were scored, of all streams of the thread.
    pub(super) scored: AtomicU64,
    /// Duration in seconds, rounded up, of the longest running background calibration; 0 without one.
    pub(super) learning_s: AtomicU64,
    /// Set when all sources have ended: a ring that one of them left open counts as closed.
    pub(super) sources_gone: AtomicBool,
    /// Figures, refreshed about once a second.
    pub(super) figures: Mutex<Figures>,
}

/// Load of a thread, over two spans of at most 10 s.
#[derive(Debug)]
pub(super) struct Load {
    since: Instant,
    waited: Duration,
    /// Length and waiting of the span before.
    before: (Duration, Duration),
}

impl Load {
    const SPAN: Duration = Duration::from_secs(5);

    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, waited: Duration::ZERO, before: (Duration::ZERO, Duration::ZERO) }
    }

    /// The thread has waited for so long.
    pub(super) fn waited(&mut self, wait: Duration) {
        self.waited += wait;
    }

    /// The share, 0 to 1.
    pub(super) fn share(&mut self, now: Instant) -> f64 {
        let length = now.saturating_duration_since(self.since);
        let (all, waited) = (length + self.before.0, self.waited + self.before.1);
        if length >= Self::SPAN {
            (self.since, self.before, self.waited) = (now, (length, self.waited), Duration::ZERO);
        }
        if all.is_zero() { 0.0 } else { (1.0 - waited.as_secs_f64() / all.as_secs_f64()).clamp(0.0, 1.0) }
    }
}

impl Figures {
    /// Takes those of another thread as well: the busier one's load counts.
    pub(super) fn join(&mut self, other: &Self) {
        self.load = self.load.max(other.load);
        self.hop.join(&other.hop);
        self.step.join(&other.step);
        self.heard.join(&other.heard);
        self.streams.extend(other.streams.iter().cloned());
    }
}

/// Figures of an engine and its streams.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures {
    /// Share of the time for which the thread worked.
    pub(super) load: f64,
    pub(super) hop: Durations,
    /// The part of a hop that is the model's.
    pub(super) step: Durations,
    /// From the capture of a hop's last sample to its reading.
    pub(super) heard: Durations,
    pub(super) streams: Vec<(String, PipelineFigures)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_what_was_not_waited_of_the_last_seconds() {
        let start = Instant::now();
        let at = |s: f64| start + Duration::from_secs_f64(s);
        let mut load = Load::new(start);
        load.waited(Duration::from_secs(3));
        assert!((load.share(at(4.0)) - 0.25).abs() < 1e-9);
        load.waited(Duration::from_secs(1));
        assert!((load.share(at(5.0)) - 0.2).abs() < 1e-9);
        // of the next span nothing is waited: the span before counts still
        assert!((load.share(at(10.0)) - 0.6).abs() < 1e-9);
        assert!((load.share(at(15.0)) - 1.0).abs() < 1e-9, "and then no more");
    }
}
