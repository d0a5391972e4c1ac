//! Sixteen groups of bands, 50 times a second, and the linear algebra of their past.

use nalgebra::DMatrix;

use super::sound::BANDS;
use super::{ROW, StreamFeatures};

/// Groups of neighbouring bands.
pub(super) const GROUPS: usize = 16;
/// Frames of a step: 20 ms.
pub(super) const STEP: usize = 2;
/// Steps a second.
pub(super) const STEPS_PER_S: usize = 50;

/// Groups of bands, standardised by the quiet part.
pub(super) struct Groups {
    /// `[steps, GROUPS]`.
    pub(super) values: Vec<f64>,
    /// Steps of the quiet part.
    pub(super) known: usize,
}

impl Groups {
    /// Of a stream of which the first `quiet` rows are known.
    pub(super) fn of(sound: &StreamFeatures, quiet: usize) -> Self {
        let in_group = BANDS / GROUPS;
        let mean = |frames: &[f32], group: usize| {
            let own = frames.chunks_exact(BANDS).flat_map(|f| &f[group * in_group..(group + 1) * in_group]);
            own.map(|&x| f64::from(x)).sum::<f64>() / (STEP * in_group) as f64
        };
        let mut values: Vec<f64> = sound
            .log_mel
            .chunks_exact(STEP * BANDS)
            .flat_map(|frames| (0..GROUPS).map(move |group| mean(frames, group)))
            .collect();
        let steps = values.len() / GROUPS;
        let known = (quiet * ROW / STEP).min(steps);
        for group in 0..GROUPS {
            let own = || values.iter().skip(group).step_by(GROUPS).take(known);
            let n = known.max(1) as f64;
            let mean = own().sum::<f64>() / n;
            let deviation = (own().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-3);
            values.iter_mut().skip(group).step_by(GROUPS).for_each(|x| *x = (*x - mean) / deviation);
        }
        Self { values, known }
    }

    /// Steps.
    pub(super) fn steps(&self) -> usize {
        self.values.len() / GROUPS
    }

    /// The values of steps `from` to `until`, one after the other.
    pub(super) fn window(&self, from: usize, until: usize) -> &[f64] {
        &self.values[from * GROUPS..until * GROUPS]
    }

    /// The step that is over when a row ends.
    pub(super) fn end_of_row(row: usize) -> usize {
        (row + 1) * ROW / STEP
    }

    /// Σ w wᵀ over the windows of `length` steps that end with one of the steps `ends`, `ends.start ≥ length − 1`:
    /// `[length · GROUPS]²`.
    ///
    /// The block of steps i + 1 and j + 1 is that of i and j without the first window and with one more at the end, so
    /// only the first blocks are summed over time.
    pub(super) fn gram(&self, length: usize, ends: std::ops::Range<usize>) -> DMatrix<f64> {
        let size = length * GROUPS;
        let mut gram = DMatrix::zeros(size, size);
        if ends.is_empty() {
            return gram;
        }
        let (first, last) = (ends.start + 1 - length, ends.end + 1 - length);
        let at = |step: usize, group: usize| self.values[step * GROUPS + group];
        for j in 0..length {
            let time = first..last;
            for a in 0..GROUPS {
                for b in 0..GROUPS {
                    let sum: f64 = time.clone().map(|t| at(t, a) * at(t + j, b)).sum();
                    gram[(a, j * GROUPS + b)] = sum;
                    gram[(j * GROUPS + b, a)] = sum;
                }
            }
        }
        for j in 1..length {
            for i in 1..=j {
                for b in 0..GROUPS {
                    let (gone, come) = (at(first + j - 1, b), at(last + j - 1, b));
                    for a in 0..GROUPS {
                        let before = gram[((i - 1) * GROUPS + a, (j - 1) * GROUPS + b)];
                        let sum = before - at(first + i - 1, a) * gone + at(last + i - 1, a) * come;
                        gram[(i * GROUPS + a, j * GROUPS + b)] = sum;
                        gram[(j * GROUPS + b, i * GROUPS + a)] = sum;
                    }
                }
            }
        }
        gram
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sound with bands of noise and a beat each `period` frames; the beats of `missing` are not there.
    pub(in crate::eval::baselines) fn beats(
        frames: usize,
        period: usize,
        missing: &[usize],
    ) -> StreamFeatures {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let log_mel = (0..frames * BANDS)
            .map(|i| {
                let frame = i / BANDS;
                let on = frame % period < 6 && !missing.contains(&(frame / period));
                rng.random_range(-0.5..0.5f32) + if on && i % BANDS > 20 { 3.0 } else { 0.0 }
            })
            .collect();
        StreamFeatures { log_mel, levels: vec![0.0; frames] }
    }

    #[test]
    fn the_gram_matrix_is_the_sum_over_windows() {
        let groups = Groups::of(&beats(400, 37, &[]), 60);
        let (length, ends) = (5, 10..90);
        let mut expected = DMatrix::zeros(length * GROUPS, length * GROUPS);
        for end in ends.clone() {
            let window = nalgebra::DVector::from_column_slice(groups.window(end + 1 - length, end + 1));
            expected += &window * window.transpose();
        }
        let found = groups.gram(length, ends);
        assert!((&found - &expected).norm() < 1e-8 * expected.norm(), "{}", (&found - &expected).norm());
    }

    #[test]
    fn the_quiet_part_is_standardised() {
        let groups = Groups::of(&beats(1000, 37, &[]), 100);
        assert_eq!((groups.steps(), groups.known), (500, 250));
        let first: Vec<f64> = groups.window(0, 250).iter().step_by(GROUPS).copied().collect();
        let mean = first.iter().sum::<f64>() / 250.0;
        let square = first.iter().map(|x| x * x).sum::<f64>() / 250.0;
        assert!(mean.abs() < 1e-9 && (square - 1.0).abs() < 1e-9);
        assert_eq!((Groups::end_of_row(0), Groups::end_of_row(1)), (2, 5));
    }
}
