//! Log-mel bands of the sound, one vector a hop.

use candle_core::{D, DType, Device, Result, Tensor};

use super::{BatchState, Geometry, StreamingModule};
use crate::units::{HOP, MODEL_RATE};

/// Samples under the window of one frame: 25 ms.
pub const WINDOW_SAMPLES: usize = 400;
/// Hops that hold the window.
const BLOCKS: usize = 3;
/// `ln(Σ_f m_{b,f} |X_f|² + 1e-6)` over triangular mel bands b: `[batch, samples]` to
/// `[batch, samples / 160, bands]`, each number between -13.8 and about 10.
///
/// X is the Fourier transform of 400 samples under a Hann window (25 ms, a new one every 10 ms); the window of
/// frame u ends with its hop, so there is no look-ahead. Bands lie evenly on the mel scale
/// `2595 log10(1 + f/700)` from 50 Hz to 8 kHz with a peak of 1. Both steps are matrix products, so they run
/// where the model runs.
#[derive(Debug, Clone)]
pub struct LogMel {
    /// `[480, 2 · bins]`: window times cosine, then window times sine; the first 80 rows are 0.
    fourier: Tensor,
    /// `[bins, bands]`.
    mel: Tensor,
    bins: usize,
}

/// The last 320 samples of each stream, `[batch, 320]`.
#[derive(Debug, Clone)]
pub struct LogMelState {
    past: Tensor,
}

impl BatchState for LogMelState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.past]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        Self { past: tensors.into_iter().next().unwrap_or_else(|| self.past.clone()) }
    }
}

impl LogMel {
    /// Power below which a band counts as silent: what the rounding of 16 bit sound leaves.
    pub const FLOOR: f64 = 1e-6;

    /// A filterbank of `bands` bands, 2 to 128.
    ///
    /// # Errors
    /// When `bands` is out of range, or the device cannot hold it.
    pub fn new(bands: usize, device: &Device) -> Result<Self> {
        if !(2..=128).contains(&bands) {
            candle_core::bail!("{bands} mel bands; expected 2 to 128");
        }
        let bins = WINDOW_SAMPLES / 2 + 1;
        let silent = BLOCKS * HOP - WINDOW_SAMPLES;
        let mut fourier = vec![0f32; BLOCKS * HOP * 2 * bins];
        for (n, row) in fourier.chunks_exact_mut(2 * bins).skip(silent).enumerate() {
            let turn = std::f64::consts::TAU * n as f64 / WINDOW_SAMPLES as f64;
            let hann = 0.5 - 0.5 * turn.cos();
            let (cosines, sines) = row.split_at_mut(bins);
            for (f, (c, s)) in cosines.iter_mut().zip(sines).enumerate() {
                let (sin, cos) = (turn * f as f64).sin_cos();
                (*c, *s) = ((hann * cos) as f32, (hann * sin) as f32);
            }
        }
        let mel = triangles(bands, bins);
        Ok(Self {
            fourier: Tensor::from_vec(fourier, (BLOCKS * HOP, 2 * bins), device)?,
            mel: Tensor::from_vec(mel, (bins, bands), device)?,
            bins,
        })
    }

    /// `[480, 2 · bins]` of the Fourier transform and `[bins, bands]` of the triangles.
    #[must_use]
    pub fn weights(&self) -> (&Tensor, &Tensor) {
        (&self.fourier, &self.mel)
    }

    /// How many bands.
    #[must_use]
    pub fn bands(&self) -> usize {
        self.mel.dims().last().copied().unwrap_or(0)
    }
}

/// Lower and upper edge in Hz of band number `band` of `bands`, where its triangle falls to 0.
#[must_use]
pub fn band_edges(bands: usize, band: usize) -> [f32; 2] {
    [band, band + 2].map(|i| edge_hz(bands, i) as f32)
}

/// The frequencies in Hz at which the triangles of `bands` bands have their peaks.
#[must_use]
pub fn band_centres(bands: usize) -> Vec<f32> {
    (1..=bands).map(|i| edge_hz(bands, i) as f32).collect()
}

/// Level of a band in dB, from its log power: that of a tone at the centre of the band which has this power, as
/// [`level_dbfs`](crate::units::level_dbfs) gives it.
#[must_use]
pub fn band_dbfs(log_power: f64) -> f64 {
    // a tone of amplitude 1 has the power (400 / 4)² under the Hann window, and a level of 1/√2
    let tone = WINDOW_SAMPLES as f64 / 4.0;
    10.0 * (log_power * std::f64::consts::LOG10_E - (2.0 * tone * tone).log10())
}

/// The i-th of the `bands + 2` points that triangles span.
fn edge_hz(bands: usize, i: usize) -> f64 {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let (low, high) = (mel(50.0), mel(f64::from(MODEL_RATE) / 2.0));
    700.0 * (10f64.powf((low + (high - low) * i as f64 / (bands + 1) as f64) / 2595.0) - 1.0)
}

/// `[bins, bands]`.
fn triangles(bands: usize, bins: usize) -> Vec<f32> {
    let width = f64::from(MODEL_RATE) / WINDOW_SAMPLES as f64;
    // in bins; a low band is at least one bin wide, otherwise its weights would all be 0
    let edge = |i: usize| edge_hz(bands, i) / width;
    let mut weights = vec![0f32; bins * bands];
    for (f, row) in weights.chunks_exact_mut(bands).enumerate() {
        for (b, weight) in row.iter_mut().enumerate() {
            let (left, centre, right) = (edge(b), edge(b + 1), edge(b + 2));
            let (rise, fall) = ((centre - left).max(1.0), (right - centre).max(1.0));
            let x = f as f64 - centre;
            *weight = (1.0 - if x < 0.0 { -x / rise } else { x / fall }).max(0.0) as f32;
        }
    }
    weights
}

impl StreamingModule for LogMel {
    type State = LogMelState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: HOP, receptive_field: WINDOW_SAMPLES }
    }

    fn zero_state(&self, batch: usize) -> Result<LogMelState> {
        let shape = (batch, (BLOCKS - 1) * HOP);
        Ok(LogMelState { past: Tensor::zeros(shape, DType::F32, self.mel.device())? })
    }

    fn step(&self, xs: &Tensor, state: &mut LogMelState) -> Result<Tensor> {
        let (batch, samples) = xs.dims2()?;
        let frames = samples / HOP;
        if frames == 0 || samples % HOP != 0 {
            candle_core::bail!("a piece of {samples} samples; expected a multiple of {HOP}");
        }
        let received = Tensor::cat(&[&state.past, xs], 1)?;
        let blocks = received.reshape((batch, frames + BLOCKS - 1, HOP))?;
        let shifted: Vec<Tensor> = (0..BLOCKS).map(|b| blocks.narrow(1, b, frames)).collect::<Result<_>>()?;
        let windows = Tensor::cat(&shifted, 2)?.reshape((batch * frames, BLOCKS * HOP))?;
        state.past = received.narrow(1, samples, (BLOCKS - 1) * HOP)?.contiguous()?;
        let squares = windows.matmul(&self.fourier)?.sqr()?;
        let power =
            (squares.narrow(D::Minus1, 0, self.bins)? + squares.narrow(D::Minus1, self.bins, self.bins)?)?;
        let bands = (power.matmul(&self.mel)? + Self::FLOOR)?.log()?;
        bands.reshape((batch, frames, self.mel.dim(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use proptest::prelude::*;

    fn bank() -> LogMel {
        LogMel::new(64, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_tone_has_its_level_in_its_band() {
        let centres = band_centres(64);
        assert_eq!((centres.len(), centres[4]), (64, band_edges(64, 5)[0]));
        for band in [20, 40, 60] {
            let turn = std::f32::consts::TAU * centres[band] / MODEL_RATE as f32;
            let tone: Vec<f32> = (0..6 * HOP).map(|i| 0.1 * (turn * i as f32).sin()).collect();
            let level = f64::from(crate::units::level_dbfs(&tone));
            let xs = Tensor::from_vec(tone, (1, 6 * HOP), &Device::Cpu).unwrap();
            let bands: Vec<f32> =
                bank().forward(&xs).unwrap().get(0).unwrap().get(5).unwrap().to_vec1().unwrap();
            let loudest = (0..64).max_by(|&a, &b| bands[a].total_cmp(&bands[b])).unwrap();
            let found = band_dbfs(f64::from(bands[loudest]));
            // bins of 40 Hz and the slopes of the triangle take something
            assert!(
                loudest == band && (level - 3.0..level + 3.0).contains(&found),
                "{band}: {found} for {level}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn steps_equal_forward(seed: u64, pieces in cuttings()) {
            let xs = noise(seed, &[2, 12 * HOP]);
            prop_assert!(difference_of_pieces(&bank(), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_samples_change_no_earlier_frame(seed: u64, at in 0usize..1200) {
            assert_causal(&bank(), &noise(seed, &[1, 8 * HOP]), at).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&bank(), &noise(5, &[3, 8 * HOP])).unwrap();
    }

    #[test]
    fn a_tone_is_loudest_in_its_own_band() {
        let mut loudest = std::collections::BTreeSet::new();
        for step in 1..160 {
            let hz = 50.0 * f64::from(step);
            let tone = |i: usize| (std::f64::consts::TAU * hz * i as f64 / 16_000.0).sin() as f32;
            let xs =
                Tensor::from_vec((0..800).map(tone).collect::<Vec<_>>(), (1, 800), &Device::Cpu).unwrap();
            let frames = bank().forward(&xs).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            let last = frames.last().unwrap();
            let (band, _) = last.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            // a full-scale tone under a Hann window has a peak of (400 / 4)²
            assert!((last[band] - 1e4f32.ln()).abs() < 1.6, "{hz} Hz: {}", last[band]);
            loudest.insert(band);
        }
        assert!(loudest.len() > 45, "{loudest:?}");
        let weights = triangles(64, 201);
        assert!((0..64).all(|b| weights.iter().skip(b).step_by(64).sum::<f32>() >= 0.99));
    }

    #[test]
    fn silence_has_a_floor() {
        let xs = Tensor::zeros((1, 4 * HOP), DType::F32, &Device::Cpu).unwrap();
        let values = bank().forward(&xs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|v| (v - 1e-6f32.ln()).abs() < 1e-4));
    }
}
