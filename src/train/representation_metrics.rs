//! Metrics of the latents against collapse: deviation of their channels and effective rank.

use candle_core::Tensor;
use nalgebra::DMatrix;
use serde::Serialize;

use crate::error::Result;
use crate::model::{Cpc, Figures, WINDOW};
use crate::nn::StreamingModule;

/// Windows that are measured.
const WINDOWS: usize = 16;
/// Every n-th frame of them.
const STRIDE: usize = 4;

/// Metrics of the latents z on held-out sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepresentationMetrics {
    /// Median over channels of the deviation of z.
    pub deviation: f64,
    /// Share of constant channels (a deviation below 1 % of the median of the others).
    pub still: f64,
    /// exp of the entropy of the eigenvalues of the covariance of z (Roy and Vetterli 2007): from 1, a collapse, to d.
    pub effective_rank: f64,
}

impl RepresentationMetrics {
    /// Measures the latents of the first held-out windows.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of(cpc: &Cpc, windows: &[Vec<f32>]) -> Result<Self> {
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for window in windows.iter().take(WINDOWS) {
            let samples = Tensor::from_slice(window, (1, WINDOW), cpc.device())?;
            let frames = cpc.encoder().forward(&samples)?.squeeze(0)?.to_vec2::<f32>()?;
            rows.extend(frames.into_iter().skip(STRIDE).step_by(STRIDE));
        }
        Ok(Self::of_rows(&rows))
    }

    fn of_rows(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let n = rows.len().max(1) as f64;
        let data = DMatrix::from_fn(rows.len(), width, |i, j| {
            f64::from(rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0.0))
        });
        let mean = data.row_mean();
        let centred = DMatrix::from_fn(rows.len(), width, |i, j| data[(i, j)] - mean[j]);
        let covariance = centred.transpose() * &centred / n;
        let mut deviations: Vec<f64> = covariance.diagonal().iter().map(|v| v.max(0.0).sqrt()).collect();
        deviations.sort_by(f64::total_cmp);
        let moving: Vec<f64> = deviations.iter().copied().filter(|&d| d > 1e-9).collect();
        let typical = moving.get(moving.len() / 2).copied().unwrap_or(0.0);
        let still = deviations.iter().filter(|&&d| d <= 0.01 * typical).count() as f64 / width.max(1) as f64;
        let eigenvalues = covariance.symmetric_eigenvalues();
        let total: f64 = eigenvalues.iter().map(|l| l.max(0.0)).sum();
        let entropy = |l: f64| if l > 0.0 { -l * l.ln() } else { 0.0 };
        let entropy: f64 =
            if total > 0.0 { eigenvalues.iter().map(|l| entropy(l.max(0.0) / total)).sum() } else { 0.0 };
        Self {
            deviation: deviations.get(width / 2).copied().unwrap_or(0.0),
            still,
            effective_rank: entropy.exp(),
        }
    }

    /// Warnings, a line each. `warmed_up`: whether the learning rate has reached its peak.
    #[must_use]
    pub fn alarms(&self, figures: &Figures, warmed_up: bool) -> Vec<String> {
        let mut alarms = Vec::new();
        if self.effective_rank < 4.0 {
            alarms.push(format!("latents collapse: effective rank {:.1}", self.effective_rank));
        }
        if self.still > 0.5 {
            alarms.push(format!("{:.0} % of the channels of z stand still", 100.0 * self.still));
        }
        if warmed_up && figures.loss > figures.chance_loss - 0.05 {
            alarms.push(format!(
                "nothing is learnt: loss {:.3}, a guess has {:.3}",
                figures.loss, figures.chance_loss
            ));
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(make: impl Fn(usize, usize) -> f32) -> Vec<Vec<f32>> {
        (0..400).map(|i| (0..8).map(|j| make(i, j)).collect()).collect()
    }

    fn random(i: usize, j: usize) -> f32 {
        let x = ((i * 8 + j) as u32).wrapping_mul(2_654_435_761);
        let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
        ((x ^ (x >> 13)) >> 8) as f32 / 16_777_216.0 - 0.5
    }

    #[test]
    fn independent_channels_have_full_rank_and_copies_have_rank_1() {
        let full = RepresentationMetrics::of_rows(&rows(random));
        assert!(full.effective_rank > 7.5 && full.still == 0.0, "{full:?}");
        let one = RepresentationMetrics::of_rows(&rows(|i, j| random(i, 0) * (j + 1) as f32));
        assert!((one.effective_rank - 1.0).abs() < 1e-3, "{one:?}");
        let still = RepresentationMetrics::of_rows(&rows(|i, j| if j < 6 { 1.0 } else { random(i, j) }));
        assert!((still.still - 0.75).abs() < 1e-9, "{still:?}");
    }

    #[test]
    fn alarms_name_what_is_wrong() {
        let figures = Figures { loss: 5.5, chance_loss: 5.52, ..Figures::default() };
        let well = RepresentationMetrics { deviation: 1.0, still: 0.1, effective_rank: 40.0 };
        assert!(well.alarms(&figures, false).is_empty());
        assert!(well.alarms(&figures, true)[0].contains("nothing is learnt"));
        let ill = RepresentationMetrics { deviation: 0.0, still: 0.9, effective_rank: 1.2 };
        assert_eq!(ill.alarms(&figures, true).len(), 3);
    }
}
