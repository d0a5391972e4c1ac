//! Pauses between attempts to reach what is away.

#[cfg(any(feature = "mqtt", test))]
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pause before the next attempt: each is twice as long as the one before, up to a longest.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses of `first`, twice that, … to `longest`.
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause before the next attempt, without taking it.
    #[cfg(any(feature = "mqtt", feature = "cluster", test))]
    pub(crate) fn upcoming(&self) -> Duration {
        self.next
    }

    /// Takes the next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// Takes the next pause, three quarters of it to all of it by chance, so that a fleet does not come back at the same moment.
    #[cfg(any(feature = "mqtt", test))]
    pub(crate) fn jittered(&mut self) -> Duration {
        let fraction = (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64;
        self.pause().mul_f64(0.75 + 0.25 * fraction)
    }

    /// An attempt succeeded: the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause is `pause`.
    #[cfg(feature = "capture")]
    pub(crate) fn set(&mut self, pause: Duration) {
        self.next = pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new((first, longest));
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 350, 350]);
        let jittered: Vec<_> = (0..50).map(|_| backoff.jittered()).collect();
        assert!(
            jittered.iter().all(|pause| (longest.mul_f64(0.75)..=longest).contains(pause)),
            "{jittered:?}"
        );
        assert!(jittered.iter().any(|pause| pause != &jittered[0]), "no two boxes alike");
        backoff.reset();
        assert_eq!((backoff.upcoming(), backoff.pause()), (first, first));
    }
}
