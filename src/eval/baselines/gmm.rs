//! A Gaussian mixture on cepstra.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rows::smooth;
use super::sound::BANDS;
use super::{Baseline, ROW, StreamFeatures};
use crate::error::{Error, Result};
use crate::eval::mfcc::mfcc;

const COMPONENTS: usize = 16;
const ROUNDS: usize = 25;
/// Least variance of a standardised feature in a component.
const LEAST: f64 = 0.05;

/// Minus the mean log-likelihood over 0.5 s of MFCC with Δ and ΔΔ under a mixture of 16 Gaussians with diagonal
/// covariance, fitted to the quiet part by expectation maximisation.
#[derive(Debug, Clone, Copy)]
pub struct Mixture;

impl Baseline for Mixture {
    fn name(&self) -> &'static str {
        "GMM on MFCC"
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let cepstra = mfcc(&sound.log_mel, BANDS);
        let width = cepstra.len() / sound.frames().max(1);
        let mut frames: Vec<Vec<f64>> =
            cepstra.chunks_exact(width.max(1)).map(|f| f.iter().map(|&x| f64::from(x)).collect()).collect();
        let known = (quiet * ROW).min(frames.len());
        if known < 10 * COMPONENTS {
            return Err(Error::config(
                format!("{known} frames to fit a mixture to"),
                "give a longer quiet part",
            ));
        }
        standardise(&mut frames, known, width);
        let mixture = Gaussians::fit(frames.get(..known).unwrap_or_default(), width);
        Ok(smooth(&frames.iter().map(|f| -mixture.log_likelihood(f)).collect::<Vec<_>>()))
    }
}

fn standardise(frames: &mut [Vec<f64>], known: usize, width: usize) {
    for i in 0..width {
        let values: Vec<f64> = frames.iter().take(known).filter_map(|f| f.get(i).copied()).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-6);
        frames.iter_mut().filter_map(|f| f.get_mut(i)).for_each(|x| *x = (*x - mean) / sd);
    }
}

struct Gaussian {
    weight: f64,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Gaussian {
    fn log_density(&self, x: &[f64]) -> f64 {
        let terms = x.iter().zip(&self.mean).zip(&self.variance);
        let sum: f64 =
            terms.map(|((x, m), v)| (x - m).powi(2) / v + v.ln() + std::f64::consts::TAU.ln()).sum();
        self.weight.ln() - 0.5 * sum
    }
}

struct Gaussians(Vec<Gaussian>);

impl Gaussians {
    /// Starts from random frames.
    fn fit(frames: &[Vec<f64>], width: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(16);
        let start = |_| Gaussian {
            weight: 1.0 / COMPONENTS as f64,
            mean: frames.get(rng.random_range(0..frames.len())).cloned().unwrap_or_else(|| vec![0.0; width]),
            variance: vec![1.0; width],
        };
        let mut mixture = Self((0..COMPONENTS).map(start).collect());
        for _ in 0..ROUNDS {
            let mut mass = [1e-9; COMPONENTS];
            let mut sums = vec![vec![0.0; width]; COMPONENTS];
            let mut squares = vec![vec![0.0; width]; COMPONENTS];
            for frame in frames {
                let logs: Vec<f64> = mixture.0.iter().map(|g| g.log_density(frame)).collect();
                let total = log_sum_exp(&logs);
                for (((log, m), s), q) in logs.iter().zip(&mut mass).zip(&mut sums).zip(&mut squares) {
                    let share = (log - total).exp();
                    *m += share;
                    if share > 1e-6 {
                        for ((s, q), x) in s.iter_mut().zip(q).zip(frame) {
                            *s += share * x;
                            *q += share * x * x;
                        }
                    }
                }
            }
            let all: f64 = mass.iter().sum();
            for (((g, m), s), q) in mixture.0.iter_mut().zip(mass).zip(&sums).zip(&squares) {
                g.weight = m / all;
                g.mean = s.iter().map(|s| s / m).collect();
                g.variance =
                    q.iter().zip(&g.mean).map(|(q, mean)| (q / m - mean * mean).max(LEAST)).collect();
            }
        }
        mixture
    }

    fn log_likelihood(&self, x: &[f64]) -> f64 {
        log_sum_exp(&self.0.iter().map(|g| g.log_density(x)).collect::<Vec<_>>())
    }
}

fn log_sum_exp(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + logs.iter().map(|l| (l - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_finds_two_heaps() {
        let frames: Vec<Vec<f64>> = (0..600)
            .map(|i| vec![if i % 2 == 0 { -2.0 } else { 2.0 } + 0.3 * (f64::from(i) * 1.7).sin()])
            .collect();
        let mixture = Gaussians::fit(&frames, 1);
        let at = |x: f64| mixture.log_likelihood(&[x]);
        assert!(at(2.0) > at(0.0) + 2.0 && at(-2.0) > at(0.0) + 2.0 && at(2.0) > at(6.0) + 10.0);
    }
}
