//! A check of the real sample rate of a device against its nominal rate.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

/// Largest trusted deviation of a rate.
pub(super) const TOLERANCE: f64 = 0.005;
/// Blocks of a second that are compared with the latest one.
const SPAN: usize = 5;
/// So many comparisons in a row must agree.
const AGREEING: u32 = 2;
/// Measured rates are rounded to this many Hz: the resampler has less to do with them.
const STEP: f64 = 50.0;
/// A device that needs more rate corrections than this is taken offline.
const MOST_CORRECTIONS: u32 = 3;

/// Compares the samples of one device with the monotonic clock. A callback is never early, so that the least lateness
/// of a second is free of the scheduler's jitter, and its slope over seconds is the error of the rate.
#[derive(Debug, Default)]
pub(super) struct RateCheck {
    nominal: u32,
    rate: u32,
    corrections: u32,
    start: Option<Instant>,
    frames: u64,
    /// Number of the running block, and the least lateness in it, s.
    block: u64,
    least: f64,
    /// Of the blocks before; the newest last.
    past: [f64; SPAN],
    blocks: usize,
    /// Comparisons in a row that were too large, negative ones where the device is too fast.
    verdicts: i32,
}

/// The result of a rate check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateStatus {
    /// It really is this many Hz.
    Correct(u32),
    /// It is not steady.
    Refuse(u32),
}

impl RateCheck {
    /// A device was opened at `nominal` Hz; gives the rate to go on with, which is another one where the device was
    /// found out before.
    pub(super) fn opened(&mut self, nominal: u32) -> u32 {
        if self.nominal != nominal {
            *self = Self { nominal, rate: nominal, ..Self::default() };
        }
        self.restart();
        self.rate
    }

    /// Discards the measurement, not the corrected rate.
    fn restart(&mut self) {
        (self.start, self.frames, self.blocks, self.verdicts) = (None, 0, 0, 0);
    }

    /// `frames` samples arrived at `now`; `broken` where some were lost before them. Tells when the rate is wrong.
    pub(super) fn arrived(&mut self, frames: usize, now: Instant, broken: bool) -> Option<RateStatus> {
        if broken {
            self.restart();
        }
        let Some(start) = self.start else {
            (self.start, self.block, self.least) = (Some(now), 0, f64::INFINITY);
            return None;
        };
        self.frames += frames as u64;
        let elapsed = now.saturating_duration_since(start).as_secs_f64();
        let late = elapsed - self.frames as f64 / f64::from(self.rate.max(1));
        if elapsed as u64 == self.block {
            self.least = self.least.min(late);
            return None;
        }
        let (least, skipped) = (self.least, elapsed as u64 > self.block + 1);
        (self.block, self.least) = (elapsed as u64, late);
        if skipped || !least.is_finite() {
            self.restart();
            return None;
        }
        self.judge(least)
    }

    /// The slope, or 0 where it is a step: a piece of sound that did not come is late once, a wrong rate in each second.
    fn steady(&self, slope: f64, oldest: f64) -> f64 {
        let steps = std::iter::once(oldest).chain(self.past).zip(self.past);
        let alike =
            steps.filter(|(before, after)| (after - before) * slope.signum() > slope.abs() / 2.0).count();
        if alike >= SPAN - 1 { slope } else { 0.0 }
    }

    fn judge(&mut self, least: f64) -> Option<RateStatus> {
        let [oldest, ..] = self.past;
        let full = self.blocks >= SPAN;
        self.past.rotate_left(1);
        if let Some(newest) = self.past.last_mut() {
            *newest = least;
        }
        self.blocks += 1;
        if !full {
            return None;
        }
        let slope = (least - oldest) / SPAN as f64;
        self.verdicts = match self.steady(slope, oldest) {
            slow if slow > TOLERANCE => self.verdicts.max(0) + 1,
            fast if fast < -TOLERANCE => self.verdicts.min(0) - 1,
            _ => 0,
        };
        if self.verdicts.unsigned_abs() < AGREEING {
            return None;
        }
        let measured = f64::from(self.rate) * (1.0 - slope).max(0.0);
        let rounded = ((measured / STEP).round() * STEP) as u32;
        self.corrections += 1;
        self.restart();
        if self.corrections > MOST_CORRECTIONS {
            (self.rate, self.corrections) = (self.nominal, 0);
            return Some(RateStatus::Refuse(rounded));
        }
        self.rate = rounded;
        Some(RateStatus::Correct(rounded))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Callbacks of 20 ms at a true rate, each late by up to 8 ms; when the first verdict came, and what it was.
    fn status(check: &mut RateCheck, truth: f64, seconds: f64) -> Option<(f64, RateStatus)> {
        let start = Instant::now();
        let frames = 960;
        (1..)
            .map_while(|i: u32| {
                let t = f64::from(i * frames) / truth;
                let jitter = f64::from(i.wrapping_mul(2_654_435_761) >> 20) / 4096.0 * 0.008;
                (t < seconds).then(|| {
                    (t, check.arrived(frames as usize, start + Duration::from_secs_f64(t + jitter), false))
                })
            })
            .find_map(|(t, found)| Some((t, found?)))
    }

    #[test]
    fn a_true_rate_is_trusted_and_a_false_one_found_out_in_time() {
        for off in [0.0, 0.002, -0.002, 0.004, -0.004] {
            let mut check = RateCheck::default();
            check.opened(48_000);
            assert_eq!(status(&mut check, 48_000.0 * (1.0 + off), 120.0), None, "off by {off}");
        }
        for off in [0.007, -0.007, 0.02, -0.081_25, 1.0, -0.5] {
            let (mut check, truth) = (RateCheck::default(), 48_000.0 * (1.0 + off));
            check.opened(48_000);
            let (when, found) = status(&mut check, truth, 60.0).expect("found out");
            assert!(when < 9.0, "off by {off}: after {when} s");
            let RateStatus::Correct(rate) = found else { panic!("{found:?}") };
            assert!((f64::from(rate) / truth - 1.0).abs() < 0.0025, "{truth} was taken for {rate}");
            assert_eq!(check.opened(48_000), rate, "it is remembered over a reopening");
            assert_eq!(check.opened(16_000), 16_000);
        }
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        let mut check = RateCheck::default();
        check.opened(48_000);
        for truth in [47_000.0, 46_000.0, 47_000.0] {
            assert!(matches!(status(&mut check, truth, 30.0), Some((_, RateStatus::Correct(_)))));
        }
        assert!(matches!(status(&mut check, 46_000.0, 30.0), Some((_, RateStatus::Refuse(_)))));
    }

    #[test]
    fn losses_are_no_slowness() {
        let (mut check, start) = (RateCheck::default(), Instant::now());
        check.opened(48_000);
        // every two seconds half a second is lost
        let mut at = 0.0;
        for i in 0..3000 {
            let broken = i % 100 == 99;
            at += 0.02 + if broken { 0.5 } else { 0.0 };
            assert_eq!(check.arrived(960, start + Duration::from_secs_f64(at), broken), None);
        }
    }

    #[test]
    fn pieces_that_nobody_missed_are_no_slowness() {
        for lost in [&[40][..], &[40, 41, 42], &[40, 95, 150], &[40, 41, 42, 43, 44, 45, 46, 47]] {
            let (mut check, start) = (RateCheck::default(), Instant::now());
            check.opened(16_000);
            for i in (0..2000).filter(|i| !lost.contains(i)) {
                let at = start + Duration::from_millis(20 * i);
                assert_eq!(check.arrived(320, at, false), None, "{lost:?}, at {i}");
            }
        }
    }
}
