//! At most one line in ten seconds about a broker that comes and goes.

use std::time::{Duration, Instant};

use crate::units::HeldBack;

const PERIOD: Duration = Duration::from_secs(10);

/// Logs a line at once, holds back lines that follow within ten seconds, then logs only the latest.
#[derive(Debug, Default)]
pub(crate) struct LogRateLimiter {
    last: Option<Instant>,
    waiting: Option<(bool, String)>,
    held: u64,
}

impl LogRateLimiter {
    /// Logs `line` (a warning where `bad`) now or later.
    pub(crate) fn log(&mut self, bad: bool, line: String) {
        if self.waiting.replace((bad, line)).is_some() {
            self.held += 1;
        }
        self.flush_due(Instant::now());
    }

    /// When the waiting line may be logged.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().and(self.last).map(|last| last + PERIOD)
    }

    /// Logs the waiting line, if its time has come; true if it did.
    pub(crate) fn flush_due(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now < last + PERIOD) {
            return false;
        }
        let Some((bad, line)) = self.waiting.take() else { return false };
        self.last = Some(now);
        let held = HeldBack(std::mem::take(&mut self.held));
        match bad {
            true => tracing::warn!("{line}{held}"),
            false => tracing::info!("{line}{held}"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_and_the_latest_wins() {
        let mut limiter = LogRateLimiter::default();
        limiter.log(true, "away".into());
        assert!(limiter.due().is_none(), "the first line is said at once");
        for n in 0..50 {
            limiter.log(true, format!("away {n}"));
        }
        limiter.log(false, "back".into());
        let due = limiter.due().unwrap();
        assert_eq!(limiter.held, 50);
        assert!(!limiter.flush_due(due - Duration::from_millis(1)));
        assert_eq!(limiter.waiting, Some((false, "back".into())));
        assert!(limiter.flush_due(due));
        assert!(limiter.due().is_none() && !limiter.flush_due(due + PERIOD));
    }
}
