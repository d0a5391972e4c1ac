//! The share of its sound that a stream lost of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time over which the share is taken: that of the alert rule in `config/prometheus-alerts.yaml`.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Least time between two counts that are kept.
const STEP: Duration = Duration::from_secs(10);
/// Least time for a share: before that a gap of a moment is much.
const SHORTEST: Duration = Duration::from_secs(60);

/// Counters of a stream at one time, in samples of its source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SoundCounts {
    /// Samples that came.
    pub(super) came: u64,
    /// Samples that were lost.
    pub(super) lost: u64,
    /// Times that the source was opened.
    pub(super) opened: u64,
}

/// Follows the counters of a stream over the last minutes.
///
/// What is lost while a source is away is left out: meanwhile the fault is that it gives no sound.
#[derive(Debug)]
pub(super) struct LossWindow {
    last: SoundCounts,
    /// Samples that came and that were lost since the start, those of intervals with a reopening left out.
    came: u64,
    lost: u64,
    /// The same at earlier times, the oldest first.
    kept: VecDeque<(Instant, u64, u64)>,
}

impl LossWindow {
    /// Of a stream that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: SoundCounts::default(), came: 0, lost: 0, kept: VecDeque::from([(now, 0, 0)]) }
    }

    /// The share lost over the last 15 minutes, 0 to 1, or since the last look where that is longer ago; `counts` are those at
    /// `now`.
    pub(super) fn share(&mut self, now: Instant, counts: SoundCounts) -> f64 {
        if counts.opened == self.last.opened {
            self.came += counts.came.saturating_sub(self.last.came);
            self.lost += counts.lost.saturating_sub(self.last.lost);
        }
        self.last = counts;
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.kept.get(1).is_some_and(|&(at, ..)| age(at) >= WINDOW) {
            self.kept.pop_front();
        }
        if self.kept.back().is_none_or(|&(at, ..)| age(at) >= STEP) {
            self.kept.push_back((now, self.came, self.lost));
        }
        let Some(&(_, came, lost)) = self.kept.front().filter(|&&(at, ..)| age(at) >= SHORTEST) else {
            return 0.0;
        };
        let (came, lost) = (self.came - came, self.lost - lost);
        lost as f64 / (came + lost).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once in 5 s, for so many seconds, while `lost` of 100 samples are lost.
    fn listen(window: &mut LossWindow, at: &mut (Instant, SoundCounts), seconds: u64, lost: u64) -> f64 {
        let mut share = 0.0;
        for _ in 0..seconds / 5 {
            at.0 += Duration::from_secs(5);
            at.1.came += (100 - lost) * 800;
            at.1.lost += lost * 800;
            share = window.share(at.0, at.1);
        }
        share
    }

    #[test]
    fn the_share_is_that_of_the_last_quarter_of_an_hour() {
        let now = Instant::now();
        let (mut window, mut at) =
            (LossWindow::new(now), (now, SoundCounts { opened: 1, ..SoundCounts::default() }));
        assert_eq!(window.share(now, at.1), 0.0);
        assert_eq!(listen(&mut window, &mut at, 55, 50), 0.0, "too early to say");
        assert!((listen(&mut window, &mut at, 600, 50) - 0.5).abs() < 1e-9);
        let share = listen(&mut window, &mut at, 450, 0);
        assert!((share - 0.25).abs() < 0.02, "{share}");
        assert_eq!(listen(&mut window, &mut at, 1000, 0), 0.0, "it is over");
        assert!(window.kept.len() < 100, "{}", window.kept.len());
    }

    #[test]
    fn what_is_lost_while_a_source_is_away_is_told_elsewhere() {
        let now = Instant::now();
        let (mut window, mut at) =
            (LossWindow::new(now), (now, SoundCounts { opened: 1, ..SoundCounts::default() }));
        window.share(now, at.1);
        assert_eq!(listen(&mut window, &mut at, 600, 0), 0.0);
        at.0 += Duration::from_secs(200);
        at.1.opened = 2;
        at.1.lost += 200 * 16_000;
        assert_eq!(window.share(at.0, at.1), 0.0);
        assert!(listen(&mut window, &mut at, 300, 2) > 0.005);
    }
}
