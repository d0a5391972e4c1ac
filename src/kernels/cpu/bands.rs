//! Log-mel bands, and their normalisation by running statistics of the site.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::error::{Error, Result};
use crate::kernels::Plan;

/// Power below which a band counts as silent, as [`LogMel`](crate::nn::LogMel) has it.
const FLOOR: f32 = 1e-6;

/// Smallest variance of a band, as [`RunningNorm`](crate::nn::RunningNorm) has it.
const LEAST_VARIANCE: f32 = 1e-4;

/// The filterbank of a plan: a window, a Fourier transform and sparse triangles.
pub(super) struct Bands {
    /// Samples before those under the window.
    silent: usize,
    window: Vec<f32>,
    transform: Arc<dyn RealToComplex<f32>>,
    /// First bin and weights of each band.
    triangles: Vec<(usize, Vec<f32>)>,
}

/// Buffers of one transform.
#[derive(Debug)]
pub(super) struct FftScratch {
    windowed: Vec<f32>,
    bins: Vec<Complex<f32>>,
    power: Vec<f32>,
    scratch: Vec<Complex<f32>>,
}

impl fmt::Debug for Bands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bands").field("window", &self.window.len()).field("bands", &self.count()).finish()
    }
}

impl Bands {
    /// Reads the window and the triangles out of the two matrices of a plan.
    ///
    /// # Errors
    /// When the first is not a windowed Fourier transform.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let (bins, matrix) = (plan.mel.rows, &plan.fourier);
        let rows: Vec<&[f32]> = matrix.data.chunks_exact(matrix.cols.max(1)).collect();
        let window: Vec<f32> =
            rows.iter().skip_while(|row| row.iter().all(|x| *x == 0.0)).map(|row| row[0]).collect();
        // the first sample under a Hann window has the weight 0
        let samples = 2 * bins.saturating_sub(1);
        let silent = rows.len().saturating_sub(samples);
        let window: Vec<f32> =
            std::iter::repeat_n(0.0, samples.saturating_sub(window.len())).chain(window).collect();
        if matrix.cols != 2 * bins || window.len() != samples || !is_transform(&rows[silent..], &window) {
            return Err(Error::internal(format!(
                "[{}, {}] of a plan is not a windowed Fourier transform of {bins} bins",
                matrix.rows, matrix.cols
            )));
        }
        let triangles = (0..plan.mel.cols)
            .map(|band| {
                let column = plan.mel.data.iter().skip(band).step_by(plan.mel.cols);
                let first = column.clone().take_while(|weight| **weight == 0.0).count();
                let mut weights: Vec<f32> = column.skip(first).copied().collect();
                while weights.last() == Some(&0.0) {
                    weights.pop();
                }
                (first, weights)
            })
            .collect();
        let transform = RealFftPlanner::new().plan_fft_forward(samples);
        Ok(Self { silent, window, transform, triangles })
    }

    /// How many bands.
    pub(super) fn count(&self) -> usize {
        self.triangles.len()
    }

    /// Buffers for a transform.
    pub(super) fn spectrum(&self) -> FftScratch {
        FftScratch {
            windowed: self.transform.make_input_vec(),
            bins: self.transform.make_output_vec(),
            power: vec![0.0; self.transform.make_output_vec().len()],
            scratch: self.transform.make_scratch_vec(),
        }
    }

    /// The bands of a window: the stream's earlier samples, then its newest ones.
    ///
    /// # Errors
    /// When there are fewer samples than the window covers.
    pub(super) fn compute(
        &self,
        before: &[f32],
        samples: &[f32],
        scratch: &mut FftScratch,
        bands: &mut [f32],
    ) -> Result<()> {
        // in two runs, each a pass of wide registers
        let earlier = &before[self.silent.min(before.len())..];
        let newer = &samples[self.silent.saturating_sub(before.len()).min(samples.len())..];
        let (now, later) = scratch.windowed.split_at_mut(earlier.len().min(self.window.len()));
        let (weights, later_weights) = self.window.split_at(now.len());
        for (to, from, weights) in [(now, earlier, weights), (later, newer, later_weights)] {
            to.iter_mut().zip(from).zip(weights).for_each(|((x, sample), weight)| *x = sample * weight);
        }
        self.transform
            .process_with_scratch(&mut scratch.windowed, &mut scratch.bins, &mut scratch.scratch)
            .map_err(|error| Error::internal(format!("a spectrum of {} samples: {error}", samples.len())))?;
        for (power, bin) in scratch.power.iter_mut().zip(&scratch.bins) {
            *power = bin.norm_sqr();
        }
        for (band, (first, weights)) in bands.iter_mut().zip(&self.triangles) {
            let sum: f32 =
                scratch.power[*first..].iter().zip(weights).map(|(power, weight)| power * weight).sum();
            *band = (sum + FLOOR).ln();
        }
        Ok(())
    }
}

/// Whether rows are `window · cos`, then `window · sin`.
fn is_transform(rows: &[&[f32]], window: &[f32]) -> bool {
    let transpose = std::f64::consts::TAU / window.len() as f64;
    rows.iter().zip(window).enumerate().all(|(n, (row, weight))| {
        let (cosines, sines) = row.split_at(row.len() / 2);
        cosines.iter().zip(sines).enumerate().all(|(f, (cosine, sine))| {
            let (sin, cos) = (transpose * (n * f % window.len()) as f64).sin_cos();
            let off = |x: f32, exact: f64| (f64::from(x) - f64::from(*weight) * exact).abs();
            off(*cosine, cos) < 1e-5 && off(*sine, sin) < 1e-5
        })
    })
}

/// Normalises bands by the statistics of the site (mean and variance of each band, then the frames they count for),
/// which learn from them unless `least`, the least weight of a frame, is 0.
pub(super) fn normalise(least: f32, bands: &[f32], statistics: &mut [f32], into: &mut [f32]) {
    let (mean, rest) = statistics.split_at_mut(bands.len());
    let (variance, received) = rest.split_at_mut(bands.len());
    let numbers = into.iter_mut().zip(bands).zip(mean.iter_mut().zip(variance));
    let Some(received) = received.first_mut().filter(|_| least != 0.0) else {
        for ((y, x), (mean, variance)) in numbers {
            *y = (x - *mean) / variance.sqrt();
        }
        return;
    };
    *received = (*received + 1.0).min((1.0 / f64::from(least)) as f32);
    let weight = 1.0 / *received;
    for ((y, x), (mean, variance)) in numbers {
        let off = x - *mean;
        *mean += off * weight;
        *variance = (*variance + off * off * weight) * (1.0 - weight);
        *y = (x - *mean) / (*variance + LEAST_VARIANCE).sqrt();
    }
}
