//! When the samples of a ring were captured: one atomic word shared by writer and reader.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// An estimate further off than this is a new time line rather than jitter.
const SNAP_S: f64 = 0.05;
/// Weight of one new estimate: at 50 callbacks a second it settles in about a second.
const WEIGHT: f64 = 1.0 / 32.0;

const UNSET: i64 = i64::MIN;

/// `origin` moved towards `measured`, both in seconds.
pub(super) fn smooth(origin: Option<f64>, measured: f64) -> f64 {
    match origin {
        Some(origin) if (measured - origin).abs() < SNAP_S => origin + WEIGHT * (measured - origin),
        _ => measured,
    }
}

/// The capture time of sample 0 since the last rate change, in microseconds after `epoch` (48 bits), with the
/// number of that rate change (16 bits), so that neither is ever read without the other.
#[derive(Debug)]
pub(super) struct Origin {
    epoch: Instant,
    word: AtomicI64,
}

impl Origin {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), word: AtomicI64::new(UNSET) }
    }

    /// `instant` as seconds after the epoch (negative before it).
    pub(super) fn seconds(&self, instant: Instant) -> f64 {
        match instant.checked_duration_since(self.epoch) {
            Some(after) => after.as_secs_f64(),
            None => -self.epoch.duration_since(instant).as_secs_f64(),
        }
    }

    pub(super) fn instant(&self, seconds: f64) -> Option<Instant> {
        let distance = Duration::try_from_secs_f64(seconds.abs()).ok()?;
        if seconds < 0.0 { self.epoch.checked_sub(distance) } else { self.epoch.checked_add(distance) }
    }

    pub(super) fn store(&self, segment: u16, seconds: f64) {
        let micros = (seconds * 1e6).round() as i64;
        self.word.store((micros << 16) | i64::from(segment), Ordering::Release);
    }

    /// Seconds after the epoch, if they belong to `segment`.
    pub(super) fn load(&self, segment: u16) -> Option<f64> {
        let word = self.word.load(Ordering::Acquire);
        (word != UNSET && (word & 0xffff) as u16 == segment).then_some((word >> 16) as f64 * 1e-6)
    }
}
