//! What is normal at a place, band by band, and features in its units.

use nalgebra::{Cholesky, DMatrix, DVector, SymmetricEigen};
use serde::{Deserialize, Serialize};

use crate::critic::Channel;
use crate::error::{Error, Result};
use crate::units::BANDS;

/// Frames at the start of calibration that contexts take to settle.
const WARM_UP: usize = 100;
/// Frames between a context (or a past) and what it foretells: their windows share no sample.
const LAG: usize = 3;
/// Weight of the penalty of predictions, for each frame that they are fitted to.
const PENALTY: f64 = 0.22;
/// Shrinkage of the covariance that is whitened.
const SHRINKAGE: f64 = 0.1;
/// Least deviation of a band, ln of power: what steady noise of digital origin can have.
const LEAST_DEVIATION: f64 = 0.05;
/// Memories of the averages of a band's past, in frames.
const PAST_FRAMES: [f32; 2] = [5.0, 30.0];
/// Memory of the average from which the middle of all bands is taken, in frames.
const MIDDLE_FRAMES: f32 = 20.0;
/// Memory of the slow average, in frames.
const SLOW_FRAMES: f32 = 300.0;
/// Features are cut at so many deviations.
const LARGEST: f32 = 8.0;

/// The statistics of a place: of its log-mel bands, and of how its contexts and its past foretell them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// `[64]`, ln of power.
    mean: Vec<f32>,
    /// `[64]`, ln of power.
    deviation: Vec<f32>,
    /// `[64, 64]`, symmetric; applied to bands in their deviations.
    whitening: Vec<f32>,
    from_context: Prediction,
    from_past: Prediction,
}

/// A linear prediction of the bands, fitted by ridge regression, and the deviation of what it leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prediction {
    /// `[inputs, 64]`.
    weights: Vec<f32>,
    /// `[64]`.
    offset: Vec<f32>,
    /// `[64]`.
    deviation: Vec<f32>,
}

impl Prediction {
    /// Of the rows of `targets` `[n, 64]` from those of `inputs` `[n, width]`.
    fn fit(inputs: &DMatrix<f32>, targets: &DMatrix<f32>) -> Result<Self> {
        let n = inputs.nrows() as f64;
        let column_mean = |m: &DMatrix<f32>| m.row_mean().transpose();
        let (input_mean, target_mean) = (column_mean(inputs), column_mean(targets));
        let centred = |m: &DMatrix<f32>, mean: &DVector<f32>| {
            let mut m = m.clone();
            m.row_iter_mut().for_each(|mut row| row -= mean.transpose());
            m
        };
        let mut x = centred(inputs, &input_mean);
        let y = centred(targets, &target_mean);
        let scale: Vec<f32> = x.column_iter().map(|c| (c.norm_squared() / n as f32).sqrt() + 1e-3).collect();
        for (mut column, scale) in x.column_iter_mut().zip(&scale) {
            column /= *scale;
        }
        let mut gram = (x.transpose() * &x).cast::<f64>();
        for i in 0..gram.nrows() {
            gram[(i, i)] += PENALTY * n;
        }
        let Some(cholesky) = Cholesky::new(gram) else {
            return Err(Error::internal("the regression of calibration has no solution"));
        };
        let mut weights = cholesky.solve(&(x.transpose() * &y).cast::<f64>()).cast::<f32>();
        let rest = &y - &x * &weights;
        let deviation =
            rest.column_iter().map(|c| (f64::from(c.norm_squared()) / n).sqrt() + LEAST_DEVIATION);
        let deviation = deviation.map(|d| d as f32).collect();
        for (mut row, scale) in weights.row_iter_mut().zip(&scale) {
            row /= *scale;
        }
        let offset = target_mean - weights.transpose() * input_mean;
        Ok(Self {
            // row after row
            weights: weights.transpose().as_slice().to_vec(),
            offset: offset.as_slice().to_vec(),
            deviation,
        })
    }

    /// Writes (bands − prediction) / deviation to `out`.
    fn residual(&self, input: &[f32], bands: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(bands).zip(&self.offset).for_each(|((o, x), b)| *o = x - b);
        for (&x, row) in input.iter().zip(self.weights.chunks_exact(BANDS)) {
            out.iter_mut().zip(row).for_each(|(o, w)| *o -= x * w);
        }
        out.iter_mut().zip(&self.deviation).for_each(|(o, d)| *o /= d);
    }

    fn is_whole(&self, inputs: usize) -> bool {
        let finite = |xs: &[f32]| xs.iter().all(|x| x.is_finite());
        self.weights.len() == inputs * BANDS
            && self.offset.len() == BANDS
            && self.deviation.len() == BANDS
            && finite(&self.weights)
            && finite(&self.offset)
            && self.deviation.iter().all(|d| d.is_finite() && *d > 0.0)
    }
}

/// What features remember of a stream.
#[derive(Debug, Clone)]
pub struct SiteState {
    /// The last [`LAG`] contexts and pasts, oldest first.
    contexts: Vec<Vec<f32>>,
    pasts: Vec<Vec<f32>>,
    averages: [Vec<f32>; 2],
    middle: Vec<f32>,
    slow: Vec<f32>,
    frames: u64,
    scratch: Vec<f32>,
}

impl SiteState {
    /// Of a stream that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            contexts: Vec::new(),
            pasts: Vec::new(),
            averages: [Vec::new(), Vec::new()],
            middle: Vec::new(),
            slow: Vec::new(),
            frames: 0,
            scratch: Vec::new(),
        }
    }

    /// Moves the averages of the past on and gives the past as of now: bands, short and longer average.
    fn past(&mut self, bands: &[f32]) -> Vec<f32> {
        let mut past = bands.to_vec();
        for (average, memory) in self.averages.iter_mut().zip(PAST_FRAMES) {
            follow(average, bands, memory);
            past.extend_from_slice(average);
        }
        past
    }
}

impl Default for SiteState {
    fn default() -> Self {
        Self::new()
    }
}

/// Exponential average with a memory of `frames`; the first value is taken as it is.
fn follow(average: &mut Vec<f32>, now: &[f32], frames: f32) {
    if average.is_empty() {
        average.extend_from_slice(now);
    } else {
        let rate = 1.0 - (-1.0 / frames).exp();
        average.iter_mut().zip(now).for_each(|(a, x)| *a += rate * (x - *a));
    }
}

fn remember(last: &mut Vec<Vec<f32>>, now: Vec<f32>) {
    if last.len() == LAG {
        last.remove(0);
    }
    last.push(now);
}

impl Site {
    /// Learns the place from consecutive frames: `bands` `[n, 64]` and `contexts` `[n, width]`.
    ///
    /// # Errors
    /// When there are fewer than 3 s of it.
    pub fn fit(bands: &[f32], contexts: &[f32], width: usize) -> Result<Self> {
        let n = bands.len() / BANDS;
        if n < 3 * WARM_UP {
            return Err(Error::config(
                format!("calibration heard {n} frames in a row, expected at least {}", 3 * WARM_UP),
                "let calibration listen longer, or run `calibrate` again",
            ));
        }
        let heard = |values: &[f32], width: usize, from: usize, to: usize| {
            DMatrix::from_row_slice(
                to - from,
                width,
                values.get(from * width..to * width).unwrap_or_default(),
            )
        };
        let targets = heard(bands, BANDS, WARM_UP, n);
        let mean: Vec<f32> = targets.row_mean().iter().copied().collect();
        let mut normal = targets.clone();
        normal.row_iter_mut().for_each(|mut row| row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m));
        let rows = normal.nrows() as f32;
        let deviation: Vec<f32> =
            normal.column_iter().map(|c| (c.norm_squared() / rows).sqrt() + LEAST_DEVIATION as f32).collect();
        normal.column_iter_mut().zip(&deviation).for_each(|(mut c, d)| c /= *d);
        let mut covariance = (normal.transpose() * &normal).cast::<f64>() / f64::from(rows);
        covariance *= 1.0 - SHRINKAGE;
        (0..BANDS).for_each(|i| covariance[(i, i)] += SHRINKAGE);
        let eigen = SymmetricEigen::new(covariance);
        let roots = eigen.eigenvalues.map(|v| 1.0 / v.max(1e-6).sqrt());
        let whitening = &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose();

        let mut state = SiteState::new();
        let pasts: Vec<f32> = bands.chunks_exact(BANDS).flat_map(|frame| state.past(frame)).collect();
        let past_width = BANDS * (1 + PAST_FRAMES.len());
        Ok(Self {
            mean,
            deviation,
            whitening: whitening.iter().map(|&x| x as f32).collect(),
            from_context: Prediction::fit(&heard(contexts, width, WARM_UP - LAG, n - LAG), &targets)?,
            from_past: Prediction::fit(&heard(&pasts, past_width, WARM_UP - LAG, n - LAG), &targets)?,
        })
    }

    /// Features of the next frame in the order of `channels`, 64 each, appended to `out`; each within ±8.
    pub fn features(
        &self,
        channels: &[Channel],
        (bands, context): (&[f32], &[f32]),
        state: &mut SiteState,
        out: &mut Vec<f32>,
    ) {
        let mut normal = std::mem::take(&mut state.scratch);
        normal.clear();
        let of_band = bands.iter().zip(&self.mean).zip(&self.deviation);
        normal.extend(of_band.map(|((x, m), d)| (x - m) / d));
        follow(&mut state.middle, &normal, MIDDLE_FRAMES);
        follow(&mut state.slow, &normal, SLOW_FRAMES);
        let past = state.past(bands);
        for channel in channels {
            let start = out.len();
            out.resize(start + BANDS, 0.0);
            let Some(own) = out.get_mut(start..) else { continue };
            match channel {
                Channel::Band => own.copy_from_slice(&normal),
                Channel::White => {
                    for (&x, row) in normal.iter().zip(self.whitening.chunks_exact(BANDS)) {
                        own.iter_mut().zip(row).for_each(|(o, w)| *o += x * w);
                    }
                }
                Channel::Unexpected => {
                    if let Some(before) = state.contexts.first().filter(|_| state.contexts.len() == LAG) {
                        self.from_context.residual(before, bands, own);
                    }
                }
                Channel::Unforeseen => {
                    if let Some(before) = state.pasts.first().filter(|_| state.pasts.len() == LAG) {
                        self.from_past.residual(before, bands, own);
                    }
                }
                Channel::Shape => {
                    let middle = middle_of(&state.middle);
                    own.iter_mut().zip(&normal).for_each(|(o, x)| *o = x - middle);
                }
                Channel::Slow => own.copy_from_slice(&state.slow),
            }
            own.iter_mut().for_each(|x| *x = x.clamp(-LARGEST, LARGEST));
        }
        remember(&mut state.contexts, context.to_vec());
        remember(&mut state.pasts, past);
        state.frames += 1;
        state.scratch = normal;
    }

    /// Mean of the log-mel bands, `[64]`.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Deviation of the log-mel bands, `[64]`.
    #[must_use]
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }

    /// Whether this could have come from a fit to contexts of `width` values.
    pub(crate) fn is_whole(&self, width: usize) -> bool {
        self.mean.len() == BANDS
            && self.deviation.len() == BANDS
            && self.whitening.len() == BANDS * BANDS
            && self.mean.iter().chain(&self.whitening).all(|x| x.is_finite())
            && self.deviation.iter().all(|d| d.is_finite() && *d > 0.0)
            && self.from_context.is_whole(width)
            && self.from_past.is_whole(BANDS * (1 + PAST_FRAMES.len()))
    }
}

/// The median of the bands.
fn middle_of(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const WIDTH: usize = 5;
    const ALL: [Channel; 6] = [
        Channel::Band,
        Channel::White,
        Channel::Unexpected,
        Channel::Unforeseen,
        Channel::Shape,
        Channel::Slow,
    ];

    /// Bands that follow context 0 three frames later, each with another strength, and noise.
    fn place(frames: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut contexts = Vec::new();
        let mut bands = Vec::new();
        for u in 0..frames {
            contexts.extend((0..WIDTH).map(|_| rng.random_range(-1.0..1.0f32)));
            let told = if u >= LAG { contexts[(u - LAG) * WIDTH] } else { 0.0 };
            bands.extend((0..BANDS).map(|b| -6.0 + told * (b % 3) as f32 + rng.random_range(-0.5..0.5f32)));
        }
        (bands, contexts)
    }

    fn features(site: &Site, bands: &[f32], contexts: &[f32]) -> Vec<Vec<f32>> {
        let mut state = SiteState::new();
        bands
            .chunks_exact(BANDS)
            .zip(contexts.chunks_exact(WIDTH))
            .map(|frame| {
                let mut out = Vec::new();
                site.features(&ALL, frame, &mut state, &mut out);
                out
            })
            .collect()
    }

    fn deviation(rows: &[Vec<f32>], column: usize) -> f32 {
        let values: Vec<f32> = rows.iter().skip(100).map(|r| r[column]).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    }

    #[test]
    fn features_are_in_the_units_of_the_place() {
        let (bands, contexts) = place(4000, 1);
        let site = Site::fit(&bands, &contexts, WIDTH).unwrap();
        let (bands, contexts) = place(3000, 2);
        let rows = features(&site, &bands, &contexts);
        for column in [0, 1, 2, 40, BANDS + 2, BANDS + 7] {
            let d = deviation(&rows, column);
            assert!((0.7..1.3).contains(&d), "{column}: {d}");
        }
        // band 2 moves by 2 for a step of the context, and the noise beside it is small
        let raw = deviation(&rows, 2) * site.deviation[2];
        let left = deviation(&rows, 2 * BANDS + 2) * site.from_context.deviation[2];
        assert!(left < 0.5 * raw, "the context foretells band 2: {raw} before, {left} after");
        let past = deviation(&rows, 3 * BANDS + 2) * site.from_past.deviation[2];
        assert!(past > 0.8 * raw, "its past does not");
    }

    #[test]
    fn a_gain_leaves_the_shape_alone() {
        let (mut bands, contexts) = place(3000, 3);
        let site = Site::fit(&bands, &contexts, WIDTH).unwrap();
        let before = features(&site, &bands, &contexts);
        bands.iter_mut().for_each(|x| *x += 1.4);
        let after = features(&site, &bands, &contexts);
        let moved = |channel: usize| {
            let at = channel * BANDS + 3;
            let sum: f32 = before.iter().zip(&after).skip(200).map(|(b, a)| a[at] - b[at]).sum();
            sum / 2800.0
        };
        assert!(moved(0) > 2.0 && moved(4).abs() < 0.5, "{} {}", moved(0), moved(4));
    }

    #[test]
    fn a_short_calibration_is_refused_and_a_fit_is_whole() {
        let (bands, contexts) = place(400, 4);
        assert!(Site::fit(&bands[..200 * BANDS], &contexts, WIDTH).is_err());
        let site = Site::fit(&bands, &contexts, WIDTH).unwrap();
        assert!(site.is_whole(WIDTH) && !site.is_whole(WIDTH + 1));
        let json = serde_json::to_string(&site).unwrap();
        assert_eq!(serde_json::from_str::<Site>(&json).unwrap(), site);
    }
}
