//! Throttle for log lines that a flood of events would repeat.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::units::HeldBack;

/// A line of one kind is written this often at most.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets one line of a kind through in ten seconds, and counts those in between.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<(Option<Instant>, u64)>);

impl LogThrottle {
    /// Lets the first line through.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// `Some` where a line may be written now, with the lines held back since the last one.
    #[must_use]
    pub fn allow(&self) -> Option<HeldBack> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<HeldBack> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held) = &mut *known;
        if last.is_some_and(|last| now < last + PERIOD) {
            *held += 1;
            return None;
        }
        *last = Some(now);
        Some(HeldBack(std::mem::take(held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_and_the_others_are_counted() {
        let (seldom, start) = (LogThrottle::new(), Instant::now());
        assert_eq!(seldom.allow_at(start), Some(HeldBack(0)));
        for _ in 0..900 {
            assert_eq!(seldom.allow_at(start + PERIOD / 2), None);
        }
        assert_eq!(seldom.allow_at(start + PERIOD), Some(HeldBack(900)));
        assert_eq!(seldom.allow_at(start + PERIOD), None);
    }
}
