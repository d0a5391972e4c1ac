//! Mahalanobis distance under a shrunk covariance.

use nalgebra::{Cholesky, DMatrix};
use serde::{Deserialize, Serialize};

use crate::detect::exact::exact;
use crate::detect::gram::{Products, Rows, means, variances};
use crate::error::{Error, Result};
use crate::kernels::{Triangle, squared_norm};

/// Added to the diagonal of the shrunk correlation matrix, so that it has a Cholesky factor.
pub(super) const JITTER: f64 = 1e-4;

/// A direction in which vectors may vary more than calibration shows: a change of gain moves all bands alike.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// The direction, in the units of the vectors, `[width]`.
    pub direction: Vec<f32>,
    /// Standard deviation along it, in multiples of `direction`.
    pub deviation: f32,
}

/// Mean and covariance of vectors, and the distance of others from them.
///
/// Each coordinate is standardised; the correlation matrix is shrunk towards a multiple of the identity by the optimal
/// amount (Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mahalanobis {
    mean: Vec<f32>,
    /// Reciprocal of each standard deviation.
    scale: Vec<f32>,
    /// The inverse Cholesky factor.
    factor: Triangle<f32>,
}

exact!(Mahalanobis { mean, scale, factor });

impl Mahalanobis {
    /// Fits `rows` `[n, width]`. Each standard deviation gets `least` added.
    ///
    /// # Errors
    /// When there are fewer than 2 rows, or values that are not finite.
    pub fn fit(rows: &[f32], width: usize, least: f32, allowances: &[Allowance]) -> Result<Self> {
        Self::of(&|take| rows.chunks_exact(width.max(1)).for_each(&mut *take), width, least, allowances)
    }

    /// The same of rows `[width]` that are called back with.
    pub(super) fn of(rows: Rows<'_>, width: usize, least: f32, allowances: &[Allowance]) -> Result<Self> {
        let (n, means) = means(rows, width);
        if n < 2 {
            return Err(Error::config(
                format!("calibration has {n} usable rows, expected at least 2"),
                "let calibration listen longer, or run `calibrate` again",
            ));
        }
        let variances = variances(rows, n, &means);
        let reciprocals: Vec<f64> = variances.iter().map(|v| 1.0 / (v.sqrt() + f64::from(least))).collect();
        let single = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (mean, scale) = (single(&means), single(&reciprocals));
        let (mut products, mut fourth) = (Products::new(width, width), 0.0);
        rows(&mut |row| {
            let both = row.iter().zip(&means).zip(&reciprocals);
            let z = || both.clone().map(|((&x, mean), r)| ((f64::from(x) - mean) * r) as f32);
            fourth += f64::from(z().map(|x| x * x).sum::<f32>()).powi(2);
            products.add(z(), z());
        });
        let mut covariance = products.sum() / n as f64;
        shrink(&mut covariance, fourth / n as f64, n);
        for allowance in allowances {
            let along: Vec<f64> =
                allowance.direction.iter().zip(&scale).map(|(d, s)| f64::from(d * s)).collect();
            let variance = f64::from(allowance.deviation).powi(2);
            for (i, a) in along.iter().enumerate() {
                for (j, b) in along.iter().enumerate() {
                    covariance[(i, j)] += variance * a * b;
                }
            }
        }
        let lower = Cholesky::new(covariance)
            .and_then(|cholesky| cholesky.l().solve_lower_triangular(&DMatrix::identity(width, width)));
        let Some(inverse) = lower else {
            return Err(Error::config(
                "the covariance of calibration has no Cholesky factor: scores at calibration are not finite",
                "check the input, and run `calibrate` again",
            ));
        };
        Ok(Self { mean, scale, factor: Triangle::of(width, |i, j| inverse[(i, j)] as f32) })
    }

    /// The distance under which all coordinates are alike.
    pub(super) fn identity(width: usize) -> Self {
        let factor = Triangle::of(width, |i, j| if i == j { 1.0 } else { 0.0 });
        Self { mean: vec![0.0; width], scale: vec![1.0; width], factor }
    }

    /// Takes a mean, reciprocal deviations and an inverse factor that are as wide or wider. Does not allocate.
    pub(super) fn renew(&mut self, mean: &[f32], scale: &[f32], factor: &Triangle<f64>) {
        self.mean.iter_mut().zip(mean).for_each(|(to, x)| *to = *x);
        self.scale.iter_mut().zip(scale).for_each(|(to, x)| *to = *x);
        self.factor.convert(factor, |x| x as f32);
    }

    /// Squared distance of a vector over its width: about 1 for vectors like those of the fit. Does not allocate;
    /// `scratch` holds the standardised vector.
    #[must_use]
    pub fn distance(&self, vector: &[f32], scratch: &mut Vec<f32>) -> f64 {
        scratch.clear();
        let standardised = vector.iter().zip(&self.mean).zip(&self.scale);
        scratch.extend(standardised.map(|((x, mean), scale)| (x - mean) * scale));
        f64::from(squared_norm(&self.factor, scratch)) / scratch.len().max(1) as f64
    }

    /// Whether this could have come from a fit to vectors of `width` values.
    pub(in crate::detect) fn is_whole(&self, width: usize) -> bool {
        self.mean.len() == width
            && self.scale.len() == width
            && self.factor.width() == width
            && self.mean.iter().chain(&self.scale).all(|x| x.is_finite())
            && self.factor.numbers().all(f32::is_finite)
    }
}

/// How far a covariance of `n` standardised rows is to be shrunk, 0 to 1: from its trace and its squared norm, and the mean
/// fourth power of the norm of the rows.
pub(super) fn shrinkage(width: usize, (trace, squared): (f64, f64), fourth: f64, n: f64) -> f64 {
    let away = squared - trace * trace / width as f64;
    let noise = ((fourth - squared) / n).clamp(0.0, away.max(0.0));
    if away > 0.0 { noise / away } else { 1.0 }
}

/// Shrinks `covariance` of `n` standardised rows; `fourth` is the mean fourth power of their norm.
fn shrink(covariance: &mut DMatrix<f64>, fourth: f64, n: usize) {
    let width = covariance.nrows();
    let identity = covariance.trace() / width as f64;
    let weight = shrinkage(width, (covariance.trace(), covariance.norm_squared()), fourth, n as f64);
    *covariance *= 1.0 - weight;
    (0..width).for_each(|i| covariance[(i, i)] += weight * identity + JITTER);
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rows(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| rng.random_range(-0.5..0.5f32)).sum::<f32>();
        (0..n)
            .flat_map(|_| {
                let (a, b, c) = (normal(), normal(), normal());
                [5.0 + a, 2.0 * a + 0.5 * b, c]
            })
            .collect()
    }

    #[test]
    fn rows_like_those_of_the_fit_have_a_mean_distance_of_one() {
        let fitted = Mahalanobis::fit(&rows(4000, 1), 3, 0.0, &[]).unwrap();
        assert!(fitted.is_whole(3) && !fitted.is_whole(4));
        let mut scratch = Vec::new();
        let others = rows(4000, 2);
        let mean = others.chunks(3).map(|row| fitted.distance(row, &mut scratch)).sum::<f64>() / 4000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let json = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Mahalanobis>(&json).unwrap(), fitted);
    }

    #[test]
    fn a_broken_correlation_is_far_and_an_allowance_brings_it_near() {
        let fitted = Mahalanobis::fit(&rows(4000, 1), 3, 0.0, &[]).unwrap();
        let mut scratch = Vec::new();
        let broken = [6.0, -2.0, 0.0];
        let far = fitted.distance(&broken, &mut scratch);
        assert!(far > 20.0, "{far}");
        let allowance = Allowance { direction: vec![1.0, -2.0, 0.0], deviation: 3.0 };
        let near = Mahalanobis::fit(&rows(4000, 1), 3, 0.0, &[allowance]).unwrap();
        let distance = near.distance(&broken, &mut scratch);
        assert!(distance < 0.5, "{distance}");
    }

    #[test]
    fn few_rows_in_many_coordinates_are_shrunk_and_still_have_a_distance() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let wide: Vec<f32> = (0..20 * 64).map(|_| rng.random_range(-1.0..1.0)).collect();
        let fitted = Mahalanobis::fit(&wide, 64, 0.0, &[]).unwrap();
        let mut scratch = Vec::new();
        let other: Vec<f32> = (0..64).map(|_| rng.random_range(-1.0..1.0)).collect();
        let distance = fitted.distance(&other, &mut scratch);
        assert!((0.2..5.0).contains(&distance), "{distance}");
        assert!(Mahalanobis::fit(&wide[..64], 64, 0.0, &[]).is_err());
    }
}
