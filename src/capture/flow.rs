//! The flow of a connection: sound, a trickle, or silence.

use std::time::{Duration, Instant};

/// A connection trickles when it delivers less than this share of the sound of twice its silence limit.
const SHARE: u32 = 4;

/// Follows the frames of a connection.
#[derive(Debug)]
pub(super) struct FlowMonitor {
    /// Its silence limit.
    limit: Duration,
    rate: u32,
    /// Time of the last frames.
    last: Instant,
    /// Time at which the flow was sufficient last.
    enough: Instant,
    /// Frames since then.
    since: usize,
    trickles: bool,
}

impl FlowMonitor {
    /// Of a connection that begins now, with `rate` frames a second.
    pub(super) fn new(limit: Duration, rate: u32) -> Self {
        let now = Instant::now();
        Self { limit, rate, last: now, enough: now, since: 0, trickles: false }
    }

    /// Starts with another sender.
    pub(super) fn begin(&mut self) {
        (self.trickles, self.since) = (false, 0);
    }

    /// The sender had to wait for this program until now.
    pub(super) fn held_up(&mut self, now: Instant) {
        if !self.trickles {
            (self.enough, self.last, self.since) = (now, now, 0);
        }
    }

    /// Counts frames. False where they are too few to be sound.
    pub(super) fn take(&mut self, frames: usize, now: Instant) -> bool {
        // silence is reported as silence, not as a trickle
        if !self.trickles && now.saturating_duration_since(self.last) >= self.limit {
            (self.enough, self.since) = (now, 0);
        }
        self.last = now;
        self.since += frames;
        if self.sound() >= self.limit / SHARE {
            // what trickles for long has given enough some time
            let dense = now.saturating_duration_since(self.enough) < 2 * self.limit;
            self.trickles &= !dense;
            (self.enough, self.since) = (now, 0);
        }
        !self.trickles
    }

    fn sound(&self) -> Duration {
        Duration::from_secs_f64(self.since as f64 / f64::from(self.rate.max(1)))
    }

    /// Whether it delivers too little.
    pub(super) fn trickles(&self) -> bool {
        self.trickles
    }

    /// Some(the time that is missing between its last frames) at the moment from which on it gives too little.
    pub(super) fn begins_to_trickle(&mut self, now: Instant) -> Option<Duration> {
        let trickles = now.saturating_duration_since(self.last) < self.limit
            && now.saturating_duration_since(self.enough) >= 2 * self.limit;
        if self.trickles || !trickles {
            return None;
        }
        self.trickles = true;
        let missing = self.last.saturating_duration_since(self.enough).saturating_sub(self.sound());
        (self.enough, self.since) = (now, 0);
        Some(missing)
    }

    /// How long it has given nothing.
    pub(super) fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Frames of `ms` each `every` ms for so many seconds; when it was found to trickle, and what was missing.
    fn feed(
        flow: &mut FlowMonitor,
        start: Instant,
        ms: u32,
        every: u32,
        seconds: u32,
    ) -> (Option<u32>, Duration, bool) {
        let (mut found, mut missing, mut is_sound) = (None, Duration::ZERO, false);
        for at in (0..seconds * 1000).step_by(10) {
            let now = start + at * MS;
            if at % every == 0 {
                is_sound = flow.take(16 * ms as usize, now);
            }
            if let Some(more) = flow.begins_to_trickle(now) {
                found.get_or_insert(at);
                missing += more;
            }
        }
        (found, missing, is_sound)
    }

    #[test]
    fn sound_in_bursts_does_not_trickle_and_single_frames_do() {
        for (ms, every) in [(20, 20), (100, 100), (1900, 1900), (10, 20), (1000, 3500)] {
            let start = Instant::now();
            let mut flow = FlowMonitor::new(2000 * MS, 16_000);
            let (found, _, is_sound) = feed(&mut flow, start, ms, every, 60);
            assert!(found.is_none() && is_sound, "{ms} ms each {every} ms");
        }
        let start = Instant::now();
        let mut flow = FlowMonitor::new(2000 * MS, 16_000);
        assert!(feed(&mut flow, start, 20, 20, 5).2);
        let (found, missing, is_sound) = feed(&mut flow, start + 5000 * MS, 1, 400, 20);
        assert!(!is_sound && found.is_some_and(|at| at <= 4000), "{found:?}");
        // what is missing between the frames of the time until it was found, and no more
        assert!(missing > 3000 * MS && missing < 4000 * MS, "{missing:?}");
        let (found, _, is_sound) = feed(&mut flow, start + 25_000 * MS, 20, 20, 2);
        assert!(found.is_none() && is_sound, "it is sound again");
    }
}
