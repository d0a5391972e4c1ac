//! At most one line in ten seconds about a broker that comes and goes.

use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(10);

/// Lets a line through at once, holds back what follows within ten seconds, then says only the latest.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    last: Option<Instant>,
    waiting: Option<(bool, String)>,
    held: u64,
}

impl Quiet {
    /// Says `line` (a warning where `bad`) now or later.
    pub(crate) fn say(&mut self, bad: bool, line: String) {
        if self.waiting.replace((bad, line)).is_some() {
            self.held += 1;
        }
        self.catch_up(Instant::now());
    }

    /// When the line that waits may be said.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().and(self.last).map(|last| last + PERIOD)
    }

    /// Says the line that waits, if its time has come; true if it spoke.
    pub(crate) fn catch_up(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now < last + PERIOD) {
            return false;
        }
        let Some((bad, line)) = self.waiting.take() else { return false };
        self.last = Some(now);
        let held = std::mem::take(&mut self.held);
        match bad {
            true => tracing::warn!(held, "{line}"),
            false => tracing::info!(held, "{line}"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_and_the_latest_wins() {
        let mut quiet = Quiet::default();
        quiet.say(true, "away".into());
        assert!(quiet.due().is_none(), "the first line is said at once");
        for n in 0..50 {
            quiet.say(true, format!("away {n}"));
        }
        quiet.say(false, "back".into());
        let due = quiet.due().unwrap();
        assert_eq!(quiet.held, 50);
        assert!(!quiet.catch_up(due - Duration::from_millis(1)));
        assert_eq!(quiet.waiting, Some((false, "back".into())));
        assert!(quiet.catch_up(due));
        assert!(quiet.due().is_none() && !quiet.catch_up(due + PERIOD));
    }
}
