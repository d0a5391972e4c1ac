//! Groups of bands at a lower rate: what rhythm is about.

use crate::detect::exact::exact;
use crate::units::BANDS;

/// Groups of neighbouring bands.
pub(super) const GROUPS: usize = 8;
/// Bands of a group.
const WIDE: usize = BANDS / GROUPS;
/// Seconds that the slow average remembers; the groups are given relative to it.
const REMEMBERED_S: f32 = 10.0;
/// What is usual counts as so much of that time when a stream begins.
const USUAL: f32 = 0.3;
/// A group pulls the average as if it were at most this far from it, in ln of power.
const LARGEST_PULL: f32 = 2.0;
/// Power below which a group counts as silent.
const FLOOR: f32 = 1e-6;

/// The log power of each group of bands over `step` frames, less its average over the last 10 s.
///
/// Powers are averaged before the logarithm is taken, so that a short loud sound counts for what it is. Without the slow average
/// a change of gain would be a change of everything that was predicted.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    step: usize,
    /// Sums of the powers of the step that goes on, and its frames.
    sums: [f32; GROUPS],
    frames: usize,
    average: [f32; GROUPS],
    /// Steps so far.
    steps: u64,
}

exact!(Groups { step, sums, frames, average, steps });

impl Groups {
    /// Of a stream that begins, a row in `step` frames, where the groups usually have these powers.
    pub(super) fn new(step: usize, usual: &[f32; GROUPS]) -> Self {
        let average = usual.map(|power| (power + FLOOR).ln());
        Self { step, sums: [0.0; GROUPS], frames: 0, average, steps: 0 }
    }

    /// Takes the mean power of each group in the next frame ([`powers`]); the row of a step with its last frame.
    pub(super) fn push(&mut self, powers: &[f32; GROUPS]) -> Option<[f32; GROUPS]> {
        self.sums.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power);
        self.frames += 1;
        if self.frames < self.step {
            return None;
        }
        let remembered = REMEMBERED_S * 100.0 / self.step as f32;
        let rate = (1.0 / (self.steps as f32 + USUAL * remembered)).max(1.0 - (-1.0 / remembered).exp());
        let mut row = [0.0; GROUPS];
        for ((to, sum), average) in row.iter_mut().zip(&self.sums).zip(&mut self.average) {
            let level = (sum / self.step as f32 + FLOOR).ln();
            *average += rate * (level - *average).clamp(-LARGEST_PULL, LARGEST_PULL);
            *to = level - *average;
        }
        (self.sums, self.frames) = ([0.0; GROUPS], 0);
        self.steps += 1;
        Some(row)
    }

    /// Frames of a row.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// The gain has changed by `shift` (ln of power): the average moves with it.
    pub(super) fn follow_gain(&mut self, shift: f32) {
        self.average.iter_mut().for_each(|average| *average += shift);
    }
}

/// The mean power of each group of a frame's log-mel bands `[64]`.
pub(super) fn powers(bands: &[f32]) -> [f32; GROUPS] {
    let mut powers = [0.0; GROUPS];
    for (power, group) in powers.iter_mut().zip(bands.chunks_exact(WIDE)) {
        *power = group.iter().map(|band| band.exp()).sum::<f32>() / WIDE as f32;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_log_of_the_mean_power_less_its_average() {
        let mut groups = Groups::new(4, &powers(&[-3.5; BANDS]));
        let frame = |level: f32| powers(&[level; BANDS]);
        let mut last = None;
        for _ in 0..8000 {
            last = groups.push(&frame(-3.0)).or(last);
        }
        assert!(last.unwrap().iter().all(|x| x.abs() < 1e-2));
        let loud: Vec<_> = (0..4).map(|i| groups.push(&frame(if i == 1 { 2.0 } else { -3.0 }))).collect();
        assert!(loud[..3].iter().all(Option::is_none));
        let expected = ((2f32.exp() + 3.0 * (-3f32).exp()) / 4.0).ln() + 3.0;
        let row = loud[3].unwrap();
        assert!((row[0] - expected).abs() < 0.05 * expected, "{} {expected}", row[0]);
    }
}
