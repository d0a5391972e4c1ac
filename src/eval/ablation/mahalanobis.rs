//! Mahalanobis distances of vectors from those of a calibration.

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::error::{Error, Result};

/// Most vectors that a covariance is fitted to.
const MOST_FITTED: usize = 4096;

/// λ of the shrinkage.
const SHRINKAGE: f64 = 0.1;
/// Contiguous pieces of time for cross-fitting.
const FOLDS: usize = 5;

/// Mahalanobis distance (shrinkage 0.1) of every vector of `width` values from the first `known` of them. The known
/// ones are scored by a fit to the rest of them, in five pieces of time.
///
/// # Errors
/// When there are fewer than 10 known vectors.
pub(super) fn density_scores(vectors: &[f32], width: usize, known: usize) -> Result<Vec<f64>> {
    let (quiet, rest) = vectors.split_at((known * width).min(vectors.len()));
    let fitted = fit(quiet, width, known.div_ceil(MOST_FITTED))?;
    let mut scratch = Vec::new();
    let mut scores = fitted.scores;
    scores.extend(rest.chunks_exact(width).map(|e| fitted.distance.score(e, &mut scratch)));
    Ok(scores)
}

/// Mahalanobis distance of a vector e from its mean at calibration:
/// N(e) = √( (e−μ)ᵀ Σ̂⁻¹ (e−μ) / D ) with Σ̂ = (1−λ)·S + λ·(tr S/D)·I, λ = 0.1, D the width of e, about 1 for normal
/// sound. Shrinkage towards a multiple of the identity as in Ledoit and Wolf, J. Multivariate Analysis 88 (2004),
/// with a fixed λ.
#[derive(Debug)]
struct Distance {
    /// μ, `[D]`.
    mean: Vec<f32>,
    /// L with L·Lᵀ = Σ̂, column after column from the diagonal down, D(D+1)/2 values.
    factor: Vec<f32>,
}

impl Distance {
    /// N of `e`, `[D]`. `rest` is scratch space.
    fn score(&self, e: &[f32], rest: &mut Vec<f64>) -> f64 {
        rest.clear();
        rest.extend(e.iter().zip(&self.mean).map(|(&e, &m)| f64::from(e) - f64::from(m)));
        let (mut sum, mut column) = (0.0, self.factor.as_slice());
        for j in 0..rest.len() {
            let (head, tail) = column.split_at(rest.len() - j);
            let y = rest[j] / f64::from(head[0]);
            sum += y * y;
            rest[j + 1..].iter_mut().zip(&head[1..]).for_each(|(r, &l)| *r -= f64::from(l) * y);
            column = tail;
        }
        (sum / self.mean.len() as f64).sqrt()
    }

    fn from_moments(moments: &Moments, shift: &[f32]) -> Result<Self> {
        let n = moments.count as f64;
        let offset = &moments.sum / n;
        let mut covariance = &moments.products / n - &offset * offset.transpose();
        let width = offset.len();
        let mean_variance = (covariance.trace() / width as f64).max(1e-12);
        covariance *= 1.0 - SHRINKAGE;
        for i in 0..width {
            covariance[(i, i)] += SHRINKAGE * mean_variance;
        }
        let Some(cholesky) = Cholesky::new(covariance) else {
            return Err(Error::internal("the covariance of calibration is not positive definite"));
        };
        let lower = cholesky.unpack();
        let factor = (0..width).flat_map(|j| (j..width).map(move |i| (i, j))).map(|at| lower[at] as f32);
        Ok(Self {
            mean: shift.iter().zip(offset.iter()).map(|(&s, &o)| (f64::from(s) + o) as f32).collect(),
            factor: factor.collect(),
        })
    }
}

/// What [`fit`] gives.
struct Fitted {
    /// Fitted to all of calibration.
    distance: Distance,
    /// Score of every vector under a fit that has not seen its fifth of the time.
    scores: Vec<f64>,
}

/// Fits a distance to `vectors`, `[n, width]` row-major in the order of time, and scores each of them out of sample.
///
/// Scores of the very vectors that a covariance was fitted to are smaller than those of new ones, the more so the
/// wider the vectors, so their tail would promise too much. Hence time is cut into 5 contiguous pieces and each
/// piece is scored by a fit to the other 4.
///
/// Moments are taken over every `stride`-th vector: neighbours share most of their window.
fn fit(vectors: &[f32], width: usize, stride: usize) -> Result<Fitted> {
    let n = vectors.len() / width;
    let chosen: Vec<usize> = (0..n).step_by(stride.max(1)).collect();
    if chosen.len() < 2 * FOLDS {
        return Err(Error::config(
            format!("calibration received {n} vectors, expected at least {}", 2 * FOLDS * stride),
            "let calibration listen longer, or run `calibrate` again",
        ));
    }
    let row = |i: usize| &vectors[i * width..][..width];
    let fold = |i: usize| i * FOLDS / n;
    let shift = row(0);

    let folds: Vec<Moments> = (0..FOLDS)
        .map(|f| Moments::of(chosen.iter().filter(|&&i| fold(i) == f).map(|&i| row(i)), shift))
        .collect();
    let all = Moments::total(&folds, width);
    let (mut scores, mut rest) = (Vec::with_capacity(n), Vec::with_capacity(width));
    for (f, moments) in folds.iter().enumerate() {
        let mut others = all.clone();
        others.subtract(moments);
        let unaware = Distance::from_moments(&others, shift)?;
        scores.extend((0..n).filter(|&i| fold(i) == f).map(|i| unaware.score(row(i), &mut rest)));
    }
    Ok(Fitted { distance: Distance::from_moments(&all, shift)?, scores })
}

/// Count, sum and sum of outer products of vectors, from which a fixed vector was subtracted for accuracy.
#[derive(Clone)]
struct Moments {
    count: usize,
    sum: DVector<f64>,
    products: DMatrix<f64>,
}

impl Moments {
    fn of<'a>(rows: impl Iterator<Item = &'a [f32]>, shift: &[f32]) -> Self {
        let width = shift.len();
        let flat: Vec<f64> =
            rows.flat_map(|row| row.iter().zip(shift).map(|(&x, &s)| f64::from(x) - f64::from(s))).collect();
        let columns = DMatrix::from_vec(width, flat.len() / width, flat);
        Self { count: columns.ncols(), sum: columns.column_sum(), products: &columns * columns.transpose() }
    }

    fn total(parts: &[Self], width: usize) -> Self {
        let zero = Self { count: 0, sum: DVector::zeros(width), products: DMatrix::zeros(width, width) };
        parts.iter().fold(zero, |mut total, part| {
            total.count += part.count;
            total.sum += &part.sum;
            total.products += &part.products;
            total
        })
    }

    fn subtract(&mut self, other: &Self) {
        self.count -= other.count;
        self.sum -= &other.sum;
        self.products -= &other.products;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn noise(n: usize, width: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        (0..n * width).map(|i| 100.0 + (1 + i % width) as f32 * normal()).collect()
    }

    #[test]
    fn score_agrees_with_the_inverse_of_the_shrunken_covariance() {
        let (n, width) = (200, 4);
        let vectors = noise(n, width, 1);
        let moments = Moments::of(vectors.chunks(width), &vectors[..width]);
        let distance = Distance::from_moments(&moments, &vectors[..width]).unwrap();

        let x = DMatrix::from_fn(n, width, |i, j| f64::from(vectors[i * width + j]));
        let mean = x.row_mean();
        let centred = DMatrix::from_fn(n, width, |i, j| x[(i, j)] - mean[j]);
        let s = centred.transpose() * &centred / n as f64;
        let sigma = &s * 0.9 + DMatrix::identity(width, width) * (0.1 * s.trace() / width as f64);
        let e = [90.0f32, 103.0, 100.0, 99.0];
        let off = DVector::from_fn(width, |j, _| f64::from(e[j]) - mean[j]);
        let expected = (off.dot(&(sigma.try_inverse().unwrap() * &off)) / width as f64).sqrt();
        let score = distance.score(&e, &mut Vec::new());
        assert!((score / expected - 1.0).abs() < 1e-5, "{score} for {expected}");
    }

    #[test]
    fn cross_fitted_scores_are_those_of_new_vectors() {
        let (n, width) = (400, 64);
        let fitted = fit(&noise(n, width, 2), width, 1).unwrap();
        let mut rest = Vec::new();
        let mean_of = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let score_all = |vectors: &[f32], rest: &mut Vec<f64>| -> Vec<f64> {
            vectors.chunks(width).map(|e| fitted.distance.score(e, rest)).collect()
        };
        let seen = mean_of(&score_all(&noise(n, width, 2), &mut rest));
        let new = mean_of(&score_all(&noise(n, width, 3), &mut rest));
        let crossed = mean_of(&fitted.scores);
        assert!(seen < 0.97 * new, "seen {seen}, new {new}: nothing to correct");
        assert!((crossed / new - 1.0).abs() < 0.03, "crossed {crossed}, new {new}");
    }

    #[test]
    fn constant_vectors_still_have_a_distance() {
        let fitted = fit(&[1.0; 200], 4, 1).unwrap();
        assert!(fitted.scores.iter().all(|s| s.abs() < 1e-6));
        assert!(fitted.distance.score(&[1.0, 1.0, 2.0, 1.0], &mut Vec::new()) > 1.0);
        assert!(fit(&[1.0; 20], 4, 1).is_err());
    }
}
