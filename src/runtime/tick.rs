//! Pacing of the rounds over the rings, so that one step serves many streams.

use std::time::{Duration, Instant};

/// Paces the rounds that take sound: they begin at least a tick apart. A stream that gives a hop every 10 ms never waits for
/// a tick that is shorter; sound of many streams that comes one after another is taken together.
#[derive(Debug)]
pub(super) struct Tick {
    every: Duration,
    /// Beginning of the last round that took sound.
    last: Option<Instant>,
}

impl Tick {
    /// Rounds begin `every` apart, or as soon as there is sound where that is zero.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// A round that began at `now` took sound.
    pub(super) fn took(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// The time to wait before the next round.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.last
            .map_or(Duration::ZERO, |last| self.every.saturating_sub(now.saturating_duration_since(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_begin_a_tick_apart_and_the_first_at_once() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut tick = Tick::new(ms(5));
        assert_eq!(tick.left(start), Duration::ZERO);
        tick.took(start);
        assert_eq!(tick.left(start), ms(5));
        assert_eq!(tick.left(start + ms(2)), ms(3), "work counts as a part of the tick");
        assert_eq!(tick.left(start + ms(10)), Duration::ZERO, "one stream at its own pace never waits");
        let mut none = Tick::new(Duration::ZERO);
        none.took(start);
        assert_eq!(none.left(start), Duration::ZERO);
    }
}
