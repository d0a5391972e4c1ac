//! Durations of hops.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest duration that is resolved, in tenths of a microsecond: ten minutes.
const LONGEST: u64 = 6_000_000_000;

/// A histogram of all durations ever added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DurationHistogram {
    /// Counts by bucket: up to the bound of the same index, above the bound before; the last bucket has no bound.
    counts: [u64; Self::BOUNDS_S.len() + 1],
    /// Their sum, seconds.
    pub sum_s: f64,
}

impl DurationHistogram {
    /// Upper bounds, seconds.
    pub const BOUNDS_S: [f64; 14] =
        [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

    fn push(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = Self::BOUNDS_S.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_s += seconds;
    }

    fn join(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.sum_s += other.sum_s;
    }

    /// Cumulative counts: durations up to each bound.
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts;
        Self::BOUNDS_S.into_iter().zip(counts.into_iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    /// Count of all durations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Percentiles of a set of durations, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// All durations since the start, also those outside the window.
    pub spread: DurationHistogram,
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
pub struct Durations {
    recent: Option<Histogram<u32>>,
    spread: DurationHistogram,
}

impl Durations {
    /// Takes those of `other` as well.
    pub fn join(&mut self, other: &Self) {
        self.spread.join(&other.spread);
        match (&mut self.recent, &other.recent) {
            (Some(mine), Some(theirs)) => {
                // both have the same bounds
                let _ = mine.add(theirs);
            }
            (None, Some(theirs)) => self.recent = Some(theirs.clone()),
            (_, None) => {}
        }
    }

    /// Percentiles; zeros when there are none.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let spread = self.spread;
        let Some(all) = self.recent.as_ref().filter(|all| !all.is_empty()) else {
            return Percentiles { spread, ..Percentiles::default() };
        };
        let at = |q: f64| all.value_at_quantile(q) as f64 / 10.0;
        Percentiles { spread, p50: at(0.5), p99: at(0.99), p999: at(0.999), mean: all.mean() / 10.0 }
    }
}

/// The durations of the latest hops, to three digits, in a fixed memory: adding one takes nanoseconds, and so does
/// forgetting the oldest.
#[derive(Debug, Clone)]
pub struct HopTimes {
    /// The durations since the last change, and those of the time before it.
    recent: [Option<Histogram<u32>>; 2],
    /// Durations after which the older half leaves the window.
    half: u64,
    spread: DurationHistogram,
}

impl HopTimes {
    /// A window of between half of `capacity` (at least 2) and all of it.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).ok();
        Self {
            recent: [histogram(), histogram()],
            half: (capacity as u64 / 2).max(1),
            spread: DurationHistogram::default(),
        }
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
        self.spread.push(duration);
    }

    /// How many were ever added.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.spread.total()
    }

    /// Percentiles of the window; zeros when it is empty.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        self.durations().percentiles()
    }

    /// A copy of the window.
    #[must_use]
    pub fn durations(&self) -> Durations {
        let [now, before] = &self.recent;
        let mut all = Durations { recent: before.clone(), spread: self.spread };
        if let (Some(all), Some(now)) = (&mut all.recent, now) {
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
        // none is forgotten in the spread
        let up_to: Vec<u64> = p.spread.up_to().map(|(_, count)| count).collect();
        assert_eq!(up_to[..3], [100, 200, 200]);
        assert!((p.spread.sum_s - 0.0201).abs() < 1e-9 && p.spread.total() == 200);
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
