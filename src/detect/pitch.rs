//! Whether the tones of a background are higher or lower than at calibration.

use serde::{Deserialize, Serialize};

use super::kept::Bands;
use crate::detect::exact::exact;
use crate::nn::band_edges;
use crate::units::{BANDS, FRAME_RATE};

/// Ratios of pitch that are tried: 1.01ᵏ for k from −STEPS to STEPS, 0.8 to 1.25.
const STEPS: i32 = 22;
const STEP: f64 = 1.01;
/// Bands on either side over which the smooth spectrum is averaged that tones stand out of.
const SMOOTH: usize = 4;
/// Deviation of the bands from the smooth spectrum, ln of power, below which a background has no tones.
const LEAST_TONES: f64 = 0.25;
/// Correlation with the shifted spectrum, and how far above that with the unshifted one, that say that it has moved.
const LEAST_CORRELATION: f64 = 0.85;
const LEAST_GAIN: f64 = 0.03;
/// Frames over which the present spectrum is averaged, with weights that fall exponentially.
const AVERAGED: f32 = FRAME_RATE as f32;

/// A log-mel spectrum, ln of power.
type Spectrum = [f32; BANDS];

/// The tones of a background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tones {
    /// Mean log-mel bands of calibration, `[64]`.
    mean: Vec<f32>,
}

impl Tones {
    /// Of the log-mel `bands` `[n, 64]` of calibration. None where they have no tones, from which a pitch could be measured.
    pub(super) fn fit(bands: &(impl Bands + ?Sized)) -> Option<Self> {
        let frames = bands.count();
        let mut sums = [0f64; BANDS];
        for frame in bands.frames() {
            sums.iter_mut().zip(&frame).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / frames.max(1) as f64) as f32).collect();
        let tones = tones(&to_spectrum(&mean));
        let power = tones.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / BANDS as f64;
        (power.sqrt() >= LEAST_TONES).then_some(Self { mean })
    }

    /// How much higher the spectrum `now` is, percent; none where the tones are where they were, or no shift makes them fit.
    fn shift_percent(&self, now: &Spectrum) -> Option<f64> {
        let centres: [f64; BANDS] = std::array::from_fn(|band| f64::from(band_edges(BANDS, band + 1)[0]));
        let (mean, present) = (to_spectrum(&self.mean), tones(now));
        let fit = |step: i32| correlation(&present, &shifted(&mean, &centres, STEP.powi(step)));
        let unmoved = fit(0);
        let (best, highest) = (-STEPS..=STEPS).map(|k| (k, fit(k))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let inside = (1 - STEPS..STEPS).contains(&best);
        if !inside || highest < LEAST_CORRELATION || highest < unmoved + LEAST_GAIN {
            return None;
        }
        let (below, above) = (fit(best - 1), fit(best + 1));
        let bend = below - 2.0 * highest + above;
        let fine = if bend < 0.0 { (0.5 * (below - above) / bend).clamp(-0.5, 0.5) } else { 0.0 };
        Some(100.0 * (STEP.powf(f64::from(best) + fine) - 1.0))
    }

    /// Whether this could have come from a fit.
    pub(crate) fn is_whole(&self) -> bool {
        self.mean.len() == BANDS && self.mean.iter().all(|x| x.is_finite())
    }
}

/// The spectrum of the last second or so of a stream: O(1) a frame.
#[derive(Debug, Clone)]
pub(crate) struct PitchTracker {
    average: Spectrum,
    frames: u32,
}

exact!(PitchTracker { average, frames });

impl PitchTracker {
    pub(crate) fn new() -> Self {
        Self { average: [0.0; BANDS], frames: 0 }
    }

    /// The next frame, log-mel bands `[64]`.
    pub(crate) fn push(&mut self, bands: &[f32]) {
        self.frames = self.frames.saturating_add(1);
        let share = 1.0 / (self.frames as f32).min(AVERAGED);
        self.average.iter_mut().zip(bands).for_each(|(a, x)| *a += share * (x - *a));
    }

    /// How much higher the pitch is than at calibration, percent, −20 to 25; none where it is not, or nothing can be said. Tries
    /// 45 shifts of 64 bands: not for every frame.
    pub(crate) fn percent(&self, known: &Tones) -> Option<f64> {
        (self.frames as f32 >= AVERAGED / 2.0).then(|| known.shift_percent(&self.average)).flatten()
    }
}

fn to_spectrum(values: &[f32]) -> Spectrum {
    std::array::from_fn(|band| values.get(band).copied().unwrap_or_default())
}

/// What stands out of the smooth spectrum.
fn tones(spectrum: &Spectrum) -> Spectrum {
    std::array::from_fn(|band| {
        let near = &spectrum[band.saturating_sub(SMOOTH)..(band + SMOOTH + 1).min(BANDS)];
        spectrum[band] - near.iter().sum::<f32>() / near.len() as f32
    })
}

/// The tones of `mean` at `ratio` times their frequency; what comes from beyond the bands is as the last band.
fn shifted(mean: &Spectrum, centres: &[f64; BANDS], ratio: f64) -> Spectrum {
    let mut below = 0;
    let moved: Spectrum = std::array::from_fn(|band| {
        let from = centres[band] / ratio;
        while below + 2 < BANDS && centres[below + 1] <= from {
            below += 1;
        }
        let part = ((from - centres[below]) / (centres[below + 1] - centres[below])).clamp(0.0, 1.0) as f32;
        mean[below] + part * (mean[below + 1] - mean[below])
    });
    tones(&moved)
}

fn correlation(a: &Spectrum, b: &Spectrum) -> f64 {
    let dot = |a: &Spectrum, b: &Spectrum| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{LogMel, StreamingModule};
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Log-mel bands of a drive whose tones lie at multiples of `hz`, 40 dB over noise at most.
    fn drive(hz: f32, seconds: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<f32> = (0..seconds * 16_000)
            .map(|i| {
                let turn = std::f32::consts::TAU * ((hz * i as f32 / 16_000.0) % 1.0);
                let tone = (1..=9).map(|k| (k as f32 * turn).sin() / k as f32).sum::<f32>();
                0.05 * tone + 0.005 * rng.random_range(-1.0..1.0f32)
            })
            .collect();
        bands(&samples)
    }

    fn bands(samples: &[f32]) -> Vec<f32> {
        let filterbank = LogMel::new(BANDS, &Device::Cpu).unwrap();
        let samples = Tensor::from_slice(samples, (1, samples.len()), &Device::Cpu).unwrap();
        filterbank.forward(&samples).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn percent(known: &Tones, bands: &[f32]) -> Option<f64> {
        let mut tracker = PitchTracker::new();
        bands.chunks_exact(BANDS).for_each(|frame| tracker.push(frame));
        tracker.percent(known)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn a_shift_of_the_pitch_is_measured(hz in 200.0f32..450.0, shift in 4.0f32..15.0, down in any::<bool>()) {
            let known = Tones::fit(&drive(hz, 4, 1)).expect("tones");
            let shift = if down { -shift } else { shift };
            let found = percent(&known, &drive(hz * (1.0 + shift / 100.0), 2, 2));
            let found = found.expect("a shift");
            prop_assert!((found - f64::from(shift)).abs() < 1.5, "{found} for {shift} of {hz} Hz");
            prop_assert_eq!(percent(&known, &drive(hz, 2, 3)), None);
        }
    }

    #[test]
    fn noise_has_no_pitch_and_a_foreign_tone_moves_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let noise: Vec<f32> = (0..64_000).map(|_| 0.02 * rng.random_range(-1.0..1.0f32)).collect();
        assert_eq!(Tones::fit(&bands(&noise)), None);
        let known = Tones::fit(&drive(220.0, 4, 1)).unwrap();
        assert!(known.is_whole() && !Tones { mean: vec![0.0] }.is_whole());
        let mut sound = drive(220.0, 2, 2);
        // half a second of a whistle in a band of its own
        sound.chunks_exact_mut(BANDS).rev().take(50).for_each(|frame| frame[40] += 5.0);
        assert_eq!(percent(&known, &sound), None);
        assert_eq!(percent(&known, &sound[..10 * BANDS]), None, "0.1 s is too short");
    }
}
