//! The sound that a device lost, computed from its capture times.

use std::time::{Duration, Instant};

/// Follows the capture times of one device over xruns and reopenings.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    rate: u32,
    /// When the next sample is due, on the clock of the open stream.
    due: Option<Duration>,
    /// The same on the wall, which outlives the stream.
    due_wall: Option<Instant>,
    /// Where the samples and losses so far end on the wall, counted from the first sample.
    counted: Option<Instant>,
}

impl Timeline {
    /// A new stream at `rate` Hz starts; its clock has nothing to do with that of the last one.
    pub(super) fn reopened(&mut self, rate: u32) {
        self.rate = rate;
        self.due = None;
    }

    /// The open stream gives `rate` samples a second in truth.
    #[cfg(feature = "capture")]
    pub(super) fn corrected(&mut self, rate: u32) {
        self.rate = rate;
    }

    /// `frames` samples arrived, the first captured at `at` on the stream's clock, `wall` on the wall. Returns
    /// the samples lost before them: after an xrun by the stream's clock, after a reopening by the wall's.
    /// Less than half of what arrived is jitter, no loss. A reopened stream may give sound at once that it collected before
    /// (ffmpeg does): what the count is ahead of the wall by is no loss of the next reopening, so that it does not add up.
    pub(super) fn arrived(&mut self, frames: usize, at: Duration, wall: Instant, xrun: bool) -> u64 {
        let missing = match (self.due, self.due_wall) {
            (Some(due), _) if xrun => at.saturating_sub(due),
            (None, Some(due)) => wall.saturating_duration_since(due),
            _ => Duration::ZERO,
        };
        let length = Duration::from_secs_f64(frames as f64 / f64::from(self.rate.max(1)));
        let lost = if missing > length / 2 { missing } else { Duration::ZERO };
        let ahead = self.counted.filter(|_| self.due.is_some() || lost.is_zero());
        let counted = ahead.map_or(wall, |counted| counted + lost) + length;
        self.due = Some(at + length);
        self.due_wall = Some(counted.max(wall + length));
        self.counted = Some(counted);
        (lost.as_secs_f64() * f64::from(self.rate)).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn losses_are_measured_and_jitter_is_none() {
        let start = Instant::now();
        let mut line = Timeline::default();
        line.reopened(48_000);
        let mut arrived = |ms: u32, xrun| line.arrived(960, ms * MS, start + ms * MS, xrun);
        assert_eq!(arrived(0, false), 0);
        assert_eq!(arrived(20, false), 0);
        assert_eq!(arrived(48, false), 0, "late, but nothing was lost");
        assert_eq!(arrived(568, true), 24_000);
        assert_eq!(arrived(590, true), 0, "an xrun that lost less than half a period");
    }

    #[test]
    fn sound_that_is_given_at_once_does_not_add_up() {
        let (start, mut line) = (Instant::now(), Timeline::default());
        let (mut counted, mut wall) = (0, Duration::ZERO);
        for _ in 0..200 {
            line.reopened(16_000);
            // 0.5 s at once, 1 s as it is captured, then 3 s without sound
            for piece in 0..75 {
                counted += 320 + line.arrived(320, piece * 20 * MS, start + wall, false);
                wall += if piece < 25 { Duration::ZERO } else { 20 * MS };
            }
            wall += 3000 * MS;
        }
        let ahead = counted as f64 / 16_000.0 - (wall - 3000 * MS).as_secs_f64();
        assert!((0.0..=0.55).contains(&ahead), "{ahead} s");
    }

    #[test]
    fn a_reopening_counts_the_time_away_at_the_new_rate() {
        let start = Instant::now();
        let mut line = Timeline::default();
        line.reopened(48_000);
        assert_eq!(line.arrived(960, 5 * MS, start, false), 0, "nothing is lost before the first sample");
        line.reopened(16_000);
        assert_eq!(line.arrived(320, MS, start + 2020 * MS, false), 32_000);
        assert_eq!(line.arrived(320, 21 * MS, start + 2040 * MS, false), 0);
    }
}
