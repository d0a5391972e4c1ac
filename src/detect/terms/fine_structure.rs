//! The fine structure of the spectrum: lines, notes and chirps, which bands are too wide to see.
//!
//! A call that is 12 dB fainter than a waterfall lies in a few of 512 bins, and far above them. What lies in a bin is compared with the
//! bins around it, so that neither gain nor colour matters, and nothing that bands see is seen a second time.

use std::f32::consts::TAU;
use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use super::row_moments::LONGEST;
use crate::detect::exact::exact;

/// Samples of a spectrum: 64 ms.
const SPECTRUM: usize = 1024;
/// Bins of a row: 15.6 Hz apart, from 0 Hz on.
pub(super) const BINS: usize = SPECTRUM / 2;
/// Bins below and above, 125 Hz each, whose mean with its own a bin is compared with.
const NEIGHBOURS: usize = 8;
/// Mean square of a bin below which there is silence.
const FLOOR: f32 = 1e-9;
/// Steps of a row in 1 of ln of power: fine beside the fluctuation of noise, which is 1.3.
const STEPS: f32 = 16.0;
/// Largest deviation that counts, in standard deviations, and smallest standard deviation of a bin, in ln of power.
const MOST: f32 = 12.0;
const LEAST: f32 = 0.1;
/// A row with this value is as usual; one that is farther off is learnt by the cube of how much farther.
const NEAR: f64 = 2.0;

/// The last 64 ms of sound.
#[derive(Debug, Clone)]
pub(in crate::detect) struct FineStructure {
    samples: Vec<f32>,
}

exact!(FineStructure { samples });

impl FineStructure {
    /// Of a stream that begins.
    pub(in crate::detect) fn new() -> Self {
        Self { samples: Vec::with_capacity(SPECTRUM) }
    }

    /// Takes the samples of the next hop.
    pub(in crate::detect) fn push(&mut self, hop: &[f32]) {
        let gone = (self.samples.len() + hop.len()).saturating_sub(SPECTRUM);
        self.samples.drain(..gone.min(self.samples.len()));
        self.samples.extend_from_slice(hop);
    }

    /// ln of the power of each bin under a Hann window less the mean of its neighbours, in sixteenths, `[512]`; none before the window is
    /// full, and of silence, where all are 0.
    pub(in crate::detect) fn row(&self) -> Option<[i8; BINS]> {
        let (transform, window) = spectrum();
        let mut windowed = [0f32; SPECTRUM];
        let samples: &[f32; SPECTRUM] = self.samples.as_slice().try_into().ok()?;
        for ((to, sample), weight) in windowed.iter_mut().zip(samples).zip(window) {
            *to = sample * weight;
        }
        let (mut bins, mut scratch) = ([Complex::default(); BINS + 1], [Complex::default(); SPECTRUM]);
        let scratch = scratch.get_mut(..transform.get_scratch_len())?;
        transform.process_with_scratch(&mut windowed, &mut bins, scratch).ok()?;
        let mut levels = [0f32; BINS];
        for (level, bin) in levels.iter_mut().zip(&bins) {
            *level = (bin.norm_sqr() / SPECTRUM as f32 + FLOOR).ln();
        }
        Some(less_neighbours(&levels)).filter(|row| row.iter().any(|bin| *bin != 0))
    }
}

/// The transform, and a Hann window.
fn spectrum() -> &'static (Arc<dyn RealToComplex<f32>>, [f32; SPECTRUM]) {
    static SHARED: OnceLock<(Arc<dyn RealToComplex<f32>>, [f32; SPECTRUM])> = OnceLock::new();
    SHARED.get_or_init(|| {
        let window = std::array::from_fn(|n| 0.5 - 0.5 * (TAU * n as f32 / SPECTRUM as f32).cos());
        (RealFftPlanner::new().plan_fft_forward(SPECTRUM), window)
    })
}

/// What lies above the mean of the neighbours, of which there are fewer at the ends.
fn less_neighbours(levels: &[f32; BINS]) -> [i8; BINS] {
    let mut sums = [0f64; BINS + 1];
    let mut sum = 0.0;
    for (to, level) in sums.iter_mut().skip(1).zip(levels) {
        sum += f64::from(*level);
        *to = sum;
    }
    std::array::from_fn(|bin| {
        let (from, to) = (bin.saturating_sub(NEIGHBOURS), (bin + NEIGHBOURS + 1).min(BINS));
        let mean = (sums[to] - sums[from]) / (to - from) as f64;
        ((levels[bin] - mean as f32) * STEPS).round() as i8
    })
}

/// Rows of calibration, summed up: without rounding, so that a part of them can be taken out again.
#[derive(Debug, Clone)]
pub(super) struct FineSums {
    rows: i64,
    /// Sum and sum of squares of each bin.
    bins: Vec<[i64; 2]>,
}

impl FineSums {
    /// Of no row.
    pub(super) fn new() -> Self {
        Self { rows: 0, bins: vec![[0; 2]; BINS] }
    }

    /// Takes in a row.
    pub(super) fn add(&mut self, row: &[i8]) {
        self.rows += 1;
        for ([sum, squares], &x) in self.bins.iter_mut().zip(row) {
            *sum += i64::from(x);
            *squares += i64::from(x) * i64::from(x);
        }
    }

    /// Those of all `parts` together.
    pub(super) fn of_all(parts: &[Self]) -> Self {
        parts.iter().fold(Self::new(), |all, part| all.joined(part, 1))
    }

    /// Those that are in this and not in `part`.
    pub(super) fn without(&self, part: &Self) -> Self {
        self.clone().joined(part, -1)
    }

    fn joined(mut self, other: &Self, sign: i64) -> Self {
        self.rows += sign * other.rows;
        for (to, of) in self.bins.iter_mut().zip(&other.bins) {
            to.iter_mut().zip(of).for_each(|(to, of)| *to += sign * of);
        }
        self
    }
}

/// How the fine structure usually lies at a site: each bin by itself, since a line seldom moves others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct FineDensity {
    /// Mean and variance of each bin, in ln of power.
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// Rows that it stands for.
    weight: f64,
}

exact!(FineDensity { mean, variance, weight });

impl FineDensity {
    /// Of rows of calibration.
    pub(super) fn of(sums: &FineSums) -> Self {
        let rows = sums.rows.max(1) as f64;
        let mean = |sum: i64| sum as f64 / rows;
        let bins = sums.bins.iter();
        let variance = |[sum, squares]: &[i64; 2]| mean(*squares) - mean(*sum).powi(2);
        Self {
            mean: bins.clone().map(|[sum, _]| mean(*sum) as f32 / STEPS).collect(),
            variance: bins.map(|bin| variance(bin) as f32 / STEPS.powi(2)).collect(),
            weight: rows,
        }
    }

    /// Mean fourth power of how far bins lie above their mean, in standard deviations: few bins that stand out count for more than many
    /// that do a little. 0 or more; 0.5 is usual for noise.
    pub(super) fn value(&self, row: &[i8]) -> f64 {
        let bins = row.iter().zip(&self.mean).zip(&self.variance);
        let fourth = bins.map(|((&x, mean), variance)| {
            let excess = f32::from(x) / STEPS - mean;
            let square = excess.max(0.0).powi(2) / variance.max(LEAST * LEAST);
            square.min(MOST * MOST).powi(2)
        });
        f64::from(fourth.sum::<f32>()) / BINS as f64
    }

    /// Takes in a row of this value: the less the more it is unusual, as a density does. Does not allocate.
    pub(super) fn learn(&mut self, row: &[i8], value: f64) {
        let weight = if value > NEAR { (NEAR / value).powi(3) } else { 1.0 };
        let share = (weight / (self.weight + weight)) as f32;
        self.weight = (self.weight + weight).min(LONGEST);
        for ((mean, variance), &x) in self.mean.iter_mut().zip(&mut self.variance).zip(row) {
            let off = f32::from(x) / STEPS - *mean;
            *mean += share * off;
            *variance = (1.0 - share) * (*variance + share * off * off);
        }
    }

    /// Whether this could have come from a fit.
    pub(super) fn is_whole(&self) -> bool {
        self.mean.len() == BINS
            && self.variance.len() == BINS
            && self.mean.iter().all(|x| x.is_finite())
            && self.variance.iter().all(|x| x.is_finite() && *x >= 0.0)
            && self.weight >= 1.0
            && self.weight.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::units::HOP;

    /// Rows of `seconds` of noise at this gain with tones of this amplitude 1 kHz apart.
    fn rows(seconds: usize, seed: u64, gain: f32, (tones, amplitude): (usize, f32)) -> Vec<[i8; BINS]> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut structure, mut rows) = (FineStructure::new(), Vec::new());
        for hop in 0..seconds * 100 {
            let samples: Vec<f32> = (0..HOP)
                .map(|i| {
                    let turns = |k: usize| ((hop * HOP + i) * k % 16) as f32 / 16.0;
                    let sum: f32 = (1..=tones).map(|k| (TAU * turns(k)).sin()).sum();
                    gain * (amplitude * sum + rng.random_range(-0.1..0.1f32))
                })
                .collect();
            structure.push(&samples);
            rows.extend(structure.row().filter(|_| (hop + 1).is_multiple_of(5)));
        }
        rows
    }

    fn density(rows: &[[i8; BINS]]) -> FineDensity {
        let mut sums = FineSums::new();
        rows.iter().for_each(|row| sums.add(row));
        FineDensity::of(&sums)
    }

    fn mean_value(density: &FineDensity, rows: &[[i8; BINS]]) -> f64 {
        rows.iter().map(|row| density.value(row)).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn faint_tones_stand_out_and_a_change_of_gain_does_not() {
        let density = density(&rows(30, 1, 1.0, (0, 0.0)));
        let usual = mean_value(&density, &rows(10, 2, 1.0, (0, 0.0)));
        assert!((0.2..1.0).contains(&usual), "{usual}");
        let louder = mean_value(&density, &rows(10, 3, 4.0, (0, 0.0)));
        assert!((louder - usual).abs() < 0.1, "{louder} {usual}");
        // three tones of 10 dB below the noise each
        let tones = mean_value(&density, &rows(10, 4, 1.0, (3, 0.026)));
        assert!(tones > 1.7 * usual, "{tones} {usual}");
    }

    #[test]
    fn a_tone_that_stays_becomes_usual() {
        let mut density = density(&rows(60, 1, 1.0, (0, 0.0)));
        let tone = rows(600, 2, 1.0, (1, 0.1));
        let first = mean_value(&density, &tone[..20]);
        tone.iter().for_each(|row| density.learn(row, 1.0));
        assert!(mean_value(&density, &tone[..20]) < 0.4 * first, "{first}");
        assert!(density.is_whole());
    }

    #[test]
    fn a_fold_taken_out_is_as_if_it_had_never_been_in() {
        let all = rows(6, 5, 1.0, (0, 0.0));
        let parts: Vec<FineSums> = all
            .chunks(20)
            .map(|rows| {
                let mut sums = FineSums::new();
                rows.iter().for_each(|row| sums.add(row));
                sums
            })
            .collect();
        let without = FineDensity::of(&FineSums::of_all(&parts).without(&parts[0]));
        assert_eq!(without, density(&all[20..]));
    }

    proptest! {
        /// Silence, a constant, a full scale: no row is undefined, and no value is.
        #[test]
        fn any_sound_has_a_row(level in -1e4f32..1e4, noise in 0.0..1e4f32, seed in 0u64..100) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut structure = FineStructure::new();
            for _ in 0..8 {
                prop_assert!(structure.samples.len() <= SPECTRUM);
                let hop: Vec<f32> = (0..HOP).map(|_| level + noise * rng.random_range(-1.0..1.0f32)).collect();
                structure.push(&hop);
            }
            let row = structure.row().unwrap_or([0; BINS]);
            let mut density = density(&[row, [0; BINS]]);
            prop_assert!(density.is_whole() && density.value(&row).is_finite());
            density.learn(&row, density.value(&row));
            prop_assert!(density.is_whole());
        }
    }
}
