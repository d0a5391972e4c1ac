//! Muting of a stream for a while.

use std::time::{Duration, Instant};

use crate::event::{Finding, Phase};

/// Whether event documents are suppressed, and how many were.
#[derive(Debug, Default)]
pub(super) struct Mute {
    until: Option<Instant>,
    /// The event that began while muted: its later documents are suppressed too.
    hidden: Option<u64>,
    /// Suppressed documents.
    pub(super) count: u64,
}

impl Mute {
    /// Mutes for so many seconds from `now` on, or no longer.
    pub(super) fn set(&mut self, seconds: u32, now: Instant) {
        self.until = (seconds > 0).then(|| now + Duration::from_secs(u64::from(seconds)));
    }

    /// True once, when the time is over.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        let over = self.until.is_some_and(|until| now >= until);
        if over {
            self.until = None;
        }
        over
    }

    /// Whether this document is suppressed. An event that was reported at its start is reported to its end.
    pub(super) fn hides(&mut self, finding: &Finding, now: Instant) -> bool {
        if finding.phase == Phase::New {
            let muted = self.until.is_some_and(|until| now < until);
            self.hidden = muted.then_some(finding.number);
        }
        let hides = self.hidden == Some(finding.number);
        self.count += u64::from(hides);
        hides
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    #[test]
    fn an_event_is_reported_completely_or_not_at_all() {
        let (mut mute, now) = (Mute::default(), Instant::now());
        let of = |number, phase| Finding { phase, ..samples::finding(number) };
        assert!(!mute.hides(&of(1, Phase::New), now));
        mute.set(60, now);
        assert!(!mute.hides(&of(1, Phase::End), now), "it was told when it began");
        assert!(mute.hides(&of(2, Phase::New), now) && mute.hides(&of(2, Phase::Update), now));
        let later = now + Duration::from_secs(61);
        assert!(mute.hides(&of(2, Phase::End), later), "nobody knows of it");
        assert!(!mute.hides(&of(3, Phase::New), later));
        assert!(mute.ends(later) && !mute.ends(later));
        assert_eq!(mute.count, 3);
    }
}
