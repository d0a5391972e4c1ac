//! How long hops take.

use std::time::Duration;

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

/// The durations of the latest hops, in a fixed memory.
#[derive(Debug, Clone)]
pub struct HopTimes {
    micros: Vec<f32>,
    next: usize,
    total: u64,
}

impl HopTimes {
    /// Remembers the latest `capacity` (at least 1) durations.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { micros: Vec::with_capacity(capacity.max(1)), next: 0, total: 0 }
    }

    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        let micros = duration.as_secs_f32() * 1e6;
        if self.micros.len() < self.micros.capacity() {
            self.micros.push(micros);
        } else if let Some(slot) = self.micros.get_mut(self.next) {
            *slot = micros;
            self.next = (self.next + 1) % self.micros.len();
        }
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
        let mut sorted = self.micros.clone();
        sorted.sort_by(f32::total_cmp);
        let at = |q: f64| {
            let index = ((sorted.len() as f64 * q).ceil() as usize).saturating_sub(1);
            sorted.get(index).copied().map_or(0.0, f64::from)
        };
        let mean = sorted.iter().copied().map(f64::from).sum::<f64>() / sorted.len().max(1) as f64;
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), mean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_the_latest() {
        let mut times = HopTimes::new(100);
        for micros in 1..=200u64 {
            times.push(Duration::from_micros(micros));
        }
        let p = times.percentiles();
        assert!(
            (p.p50 - 150.0).abs() < 1e-3 && (p.p99 - 199.0).abs() < 1e-3 && (p.mean - 150.5).abs() < 1e-2
        );
        assert_eq!(times.total(), 200);
    }
}
