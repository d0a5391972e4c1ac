//! Whether the site has changed: medians of p over seconds, and their cumulative sum.

use std::collections::VecDeque;

use super::surprise::median;
use crate::detect::exact::exact;
use crate::units::FRAME_RATE;

/// Below this median p of 1 s the sound is not what was calibrated on ...
pub(crate) const CHANGED: f64 = 1e-3;
/// So much evidence that it is not, and the site has changed; also the seconds that this takes at least.
pub(crate) const CHANGED_BLOCKS: u32 = 60;
/// From this median p on, a calibration calls the sound normal.
pub(super) const NORMAL: f64 = 0.05;
/// Seconds over which it does.
const NORMAL_BLOCKS: usize = 30;
/// What a second says of another site: 1 where the median p of its sound is below 0.001, else by `place`, the probability of
/// its novelty: 1 from 10⁻⁴ downward, 0 at 0.01, −1 at 1. The sum, never below 0, is that of a cumulative sum test (Page,
/// Continuous inspection schemes, Biometrika 1954): a second that happens to sound like before takes little back.
pub(crate) fn cusum_increment(p: f64, place: f64) -> f64 {
    if p < CHANGED { 1.0 } else { (-p.min(place).log10()).clamp(0.0, 4.0) / 2.0 - 1.0 }
}

/// Medians of p over blocks of 1 s.
#[derive(Debug, Clone, Default)]
pub(crate) struct Medians {
    block: Vec<f64>,
    last: VecDeque<f64>,
}

exact!(Medians { block, last });

impl Medians {
    /// The next frame's p; the median of its block where it is the last one.
    pub(crate) fn push(&mut self, p: f64) -> Option<f64> {
        self.block.push(p);
        if self.block.len() < FRAME_RATE as usize {
            return None;
        }
        let middle = median(&mut self.block);
        self.block.clear();
        if self.last.len() >= NORMAL_BLOCKS {
            self.last.pop_front();
        }
        self.last.push_back(middle);
        Some(middle)
    }

    /// The median over the last 30 s: of the medians of its blocks. None before.
    pub(super) fn over_30_s(&self) -> Option<f64> {
        let mut last: Vec<f64> = self.last.iter().copied().collect();
        (last.len() == NORMAL_BLOCKS).then(|| median(&mut last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_left_for_good_not_for_a_sound() {
        let sum = |ps: &mut dyn Iterator<Item = f64>| {
            ps.scan(0f64, |sum, p| {
                *sum = (*sum + cusum_increment(0.5, p)).max(0.0);
                Some(*sum)
            })
            .fold(0.0, f64::max)
        };
        let limit = f64::from(CHANGED_BLOCKS);
        // normal, with a loud event of 20 s now and then
        let usual = |i: usize| if i % 60 < 20 { 1e-12 } else { (i % 100) as f64 / 100.0 + 0.005 };
        assert!(sum(&mut (0..36_000).map(usual)) < limit);
        // another site, of which every fifth second sounds like before
        let other = |i: usize| if i.is_multiple_of(5) { 0.3 } else { 3e-4 };
        assert!(sum(&mut (0..180).map(other)) > limit);
        assert_eq!(
            (cusum_increment(1.0, 1.0), cusum_increment(1.0, 0.01), cusum_increment(1.0, 0.0)),
            (-1.0, 0.0, 1.0)
        );
        assert_eq!(cusum_increment(9e-4, 1.0), 1.0);
    }
}
