//! How long hops take.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest duration that is told apart from longer ones, in tenths of a microsecond: ten minutes.
const LONGEST: u64 = 6_000_000_000;

/// Percentiles of a set of durations, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// 999 of 1000 are shorter.
    pub p999: f64,
    /// Mean.
    pub mean: f64,
}

/// Some durations, to three digits, that can be joined with those of other threads.
#[derive(Debug, Clone, Default)]
pub struct Durations(Option<Histogram<u32>>);

impl Durations {
    /// Takes those of `other` as well.
    pub fn join(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(mine), Some(theirs)) => {
                // both have the same bounds
                let _ = mine.add(theirs);
            }
            (None, Some(theirs)) => self.0 = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// Percentiles; zeros when there are none.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let Some(all) = self.0.as_ref().filter(|all| !all.is_empty()) else { return Percentiles::default() };
        let at = |q: f64| all.value_at_quantile(q) as f64 / 10.0;
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), mean: all.mean() / 10.0 }
    }
}

/// The durations of the latest hops, to three digits, in a fixed memory: adding one takes nanoseconds, and so does
/// forgetting the oldest.
#[derive(Debug, Clone)]
pub struct HopTimes {
    /// The durations since the last change, and those of the time before it.
    recent: [Option<Histogram<u32>>; 2],
    /// Durations after which the older half is forgotten.
    half: u64,
    total: u64,
}

impl HopTimes {
    /// Remembers between a half of `capacity` (at least 2) and all of it.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).ok();
        Self { recent: [histogram(), histogram()], half: (capacity as u64 / 2).max(1), total: 0 }
    }

    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        let [now, before] = &mut self.recent;
        let (Some(now), Some(before)) = (now, before) else { return };
        if now.len() >= self.half {
            std::mem::swap(now, before);
            now.reset();
        }
        now.saturating_record((duration.as_nanos() / 100).try_into().unwrap_or(u64::MAX));
        self.total += 1;
    }

    /// How many were ever added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Percentiles of those remembered; zeros when there are none.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        self.durations().percentiles()
    }

    /// A copy of those remembered.
    #[must_use]
    pub fn durations(&self) -> Durations {
        let [now, before] = &self.recent;
        let mut all = Durations(before.clone());
        if let (Some(all), Some(now)) = (&mut all.0, now) {
            // both have the same bounds
            let _ = all.add(now);
        }
        all
    }
}

impl Default for HopTimes {
    /// For ten minutes of one stream.
    fn default() -> Self {
        Self::new(60_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_of_the_latest() {
        let mut times = HopTimes::new(100);
        for micros in 1..=200u64 {
            times.push(Duration::from_micros(micros));
        }
        let p = times.percentiles();
        let close = |found: f64, expected: f64| (found - expected).abs() <= expected * 2e-3;
        assert!(close(p.p50, 150.0) && close(p.p99, 199.0) && close(p.mean, 150.5), "{p:?}");
        assert_eq!(times.total(), 200);
    }

    #[test]
    fn nothing_yet() {
        assert_eq!(HopTimes::new(4).percentiles(), Percentiles::default());
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_durations(micros in proptest::collection::vec(1u64..10_000_000, 1..400)) {
            let mut times = HopTimes::new(2000);
            micros.iter().for_each(|&m| times.push(Duration::from_micros(m)));
            let mut sorted = micros.clone();
            sorted.sort_unstable();
            let p = times.percentiles();
            for (found, q) in [(p.p50, 0.5), (p.p99, 0.99), (p.p999, 0.999)] {
                let rank = ((sorted.len() as f64 * q).ceil() as usize).max(1) - 1;
                let expected = sorted[rank] as f64;
                prop_assert!((found - expected).abs() <= expected * 2e-3 + 0.1, "{found} {expected}");
            }
        }
    }
}
