//! Mahalanobis distances with the shrinkage of Ledoit and Wolf.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::{Baseline, ROW, StreamFeatures};
use crate::error::{Error, Result};
use crate::eval::baselines::rows::moments_over;
use crate::eval::baselines::sound::BANDS;
use crate::units::FRAME_RATE;

/// Contiguous pieces of time, each of which is scored by a fit to the others.
const FOLDS: usize = 5;
/// Least standard deviation of a feature.
const LEAST: f64 = 1e-3;

/// Mahalanobis distance of mean and deviation of log-mel bands over some time, with standardised features and the
/// shrinkage of Ledoit and Wolf (J. Multivariate Analysis 88, 2004).
#[derive(Debug, Clone, Copy)]
pub struct Mahalanobis {
    name: &'static str,
    frames: usize,
}

impl Mahalanobis {
    /// Over 0.5 s.
    #[must_use]
    pub fn half_second() -> Self {
        Self { name: "log-mel Mahalanobis 0.5 s", frames: FRAME_RATE as usize / 2 }
    }

    /// Over 2 s.
    #[must_use]
    pub fn two_seconds() -> Self {
        Self { name: "log-mel Mahalanobis 2 s", frames: 2 * FRAME_RATE as usize }
    }
}

impl Baseline for Mahalanobis {
    fn name(&self) -> &'static str {
        self.name
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let whole = self.frames / ROW;
        gaussian_scores(&moments_over(&sound.log_mel, BANDS, self.frames), 2 * BANDS, whole..quiet)
    }
}

/// Mahalanobis distance of every row of `width` values from the rows of `known`, divided by √width. The known ones are
/// scored by a fit to the rest of them, in five pieces of time; rows before them score 0.
///
/// # Errors
/// When there are fewer than 20 known rows, or their covariance has no factor.
pub(super) fn gaussian_scores(
    vectors: &[f32],
    width: usize,
    known: std::ops::Range<usize>,
) -> Result<Vec<f64>> {
    let rows: Vec<&[f32]> = vectors.chunks_exact(width.max(1)).collect();
    let known = known.start..known.end.min(rows.len());
    if known.len() < 4 * FOLDS {
        let cause = format!("{} rows to fit a covariance to, at least {} needed", known.len(), 4 * FOLDS);
        return Err(Error::config(cause, "give a longer quiet part"));
    }
    let fold = |i: usize| (i - known.start) * FOLDS / known.len();
    let mut scores = vec![0.0; rows.len()];
    for piece in 0..FOLDS {
        let others = known.clone().filter(|&i| fold(i) != piece).map(|i| rows[i]);
        let fit = Gaussian::fit(&others.collect::<Vec<_>>())?;
        known.clone().filter(|&i| fold(i) == piece).for_each(|i| scores[i] = fit.distance(rows[i]));
    }
    let fit = Gaussian::fit(&rows[known.clone()])?;
    (known.end..rows.len()).for_each(|i| scores[i] = fit.distance(rows[i]));
    Ok(scores)
}

struct Gaussian {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    factor: Cholesky<f64, Dyn>,
}

impl Gaussian {
    fn fit(rows: &[&[f32]]) -> Result<Self> {
        let (n, width) = (rows.len() as f64, rows.first().map_or(0, |r| r.len()));
        let column = |j: usize| rows.iter().map(move |r| f64::from(r[j]));
        let mean: Vec<f64> = (0..width).map(|j| column(j).sum::<f64>() / n).collect();
        let deviation: Vec<f64> = (0..width)
            .map(|j| (column(j).map(|x| (x - mean[j]).powi(2)).sum::<f64>() / n).sqrt().max(LEAST))
            .collect();
        let flat: Vec<f64> = rows
            .iter()
            .flat_map(|r| r.iter().enumerate().map(|(j, &x)| (f64::from(x) - mean[j]) / deviation[j]))
            .collect();
        let columns = DMatrix::from_vec(width, rows.len(), flat);
        let (covariance, _) = shrunken(&columns);
        let Some(factor) = Cholesky::new(covariance) else {
            return Err(Error::internal("the covariance of the quiet part is not positive definite"));
        };
        Ok(Self { mean, deviation, factor })
    }

    fn distance(&self, row: &[f32]) -> f64 {
        let standardised =
            row.iter().enumerate().map(|(j, &x)| (f64::from(x) - self.mean[j]) / self.deviation[j]);
        let away = DVector::from_iterator(row.len(), standardised);
        let white = self.factor.l_dirty().solve_lower_triangular(&away);
        white.map_or(f64::NAN, |w| (w.norm_squared() / row.len() as f64).sqrt())
    }
}

/// Covariance of `columns`, whose mean is 0, shrunken towards a multiple of the identity, and the share of the latter.
fn shrunken(columns: &DMatrix<f64>) -> (DMatrix<f64>, f64) {
    let (width, n) = (columns.nrows(), columns.ncols() as f64);
    let mut covariance = columns * columns.transpose() / n;
    let variance = (covariance.trace() / width as f64).max(1e-12);
    let target = DMatrix::from_diagonal_element(width, width, variance);
    let spread = (&covariance - &target).norm_squared();
    let fourth: f64 = columns.column_iter().map(|x| x.norm_squared().powi(2)).sum();
    let noise = (fourth / n - covariance.norm_squared()) / n;
    let share = if spread > 0.0 { (noise / spread).clamp(1e-6, 1.0) } else { 1.0 };
    covariance *= 1.0 - share;
    (covariance + target * share, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Reference: scikit-learn's `ledoit_wolf(x, assume_centered=True)` of the same numbers.
    #[test]
    fn the_shrinkage_is_that_of_scikit_learn() {
        let value = |i: usize| ((i * 37 % 101) as f64 / 50.0 - 1.0) * (1.0 + (i % 4) as f64);
        let columns = DMatrix::from_vec(4, 30, (0..120).map(value).collect());
        let (covariance, share) = shrunken(&columns);
        assert!((share - SHARE).abs() < 1e-9, "{share}");
        assert!((covariance[(0, 0)] - FIRST).abs() < 1e-9, "{}", covariance[(0, 0)]);
    }
    const SHARE: f64 = 0.090_273_278_020_538;
    const FIRST: f64 = 0.543_838_953_322_318;

    #[test]
    fn known_rows_are_scored_as_new_ones_would_be() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let width = 40;
        let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        let rows: Vec<f32> = (0..600 * width).map(|i| 50.0 + (1 + i % width) as f32 * normal()).collect();
        let scores = gaussian_scores(&rows, width, 100..400).unwrap();
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        let (seen, new) = (mean(&scores[100..400]), mean(&scores[400..]));
        assert!((seen / new - 1.0).abs() < 0.03 && (new - 1.0).abs() < 0.15, "{seen} {new}");
        assert_eq!(scores[99], 0.0);
        assert!(gaussian_scores(&rows, width, 0..10).is_err());
    }
}
