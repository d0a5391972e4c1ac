//! Novelty: how far the sound of the last moment lies from what was normal at calibration.

use nalgebra::{Cholesky, DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::surprise::median;
use crate::error::{Error, Result};

/// λ of the shrinkage.
const SHRINKAGE: f64 = 0.1;
/// How often the farthest are chosen anew under the fit without them.
const CONCENTRATIONS: usize = 2;
/// Contiguous pieces of time for cross-fitting.
const FOLDS: usize = 5;

/// Mahalanobis distance of e_u, the mean of z over the novelty window, from its mean at calibration:
/// N(u) = √( (e−μ)ᵀ Σ̂⁻¹ (e−μ) / D ) with Σ̂ = (1−λ)·S + λ·(tr S/D)·I, λ = 0.1, D the width of z, about 1 for normal
/// sound. Shrinkage towards a multiple of the identity as in Ledoit and Wolf, J. Multivariate Analysis 88 (2004),
/// with a fixed λ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    /// μ, `[D]`.
    mean: Vec<f32>,
    /// L with L·Lᵀ = Σ̂, column after column from the diagonal down, D(D+1)/2 values.
    factor: Vec<f32>,
}

impl Novelty {
    /// N of `e`, `[D]`. `rest` is scratch space.
    #[must_use]
    pub fn score(&self, e: &[f32], rest: &mut Vec<f64>) -> f64 {
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
pub(crate) struct Fitted {
    /// Fitted to all of calibration.
    pub(crate) novelty: Novelty,
    /// Score of every vector under a fit that has not seen its fifth of the time.
    pub(crate) scores: Vec<f64>,
}

/// Fits novelty to `vectors`, `[n, width]` row-major in the order of time, and scores each of them out of sample.
///
/// Scores of the very vectors that a covariance was fitted to are smaller than those of new ones, the more so the
/// wider the vectors, so their tail would promise too much. Hence time is cut into 5 contiguous pieces and each
/// piece is scored by a fit to the other 4.
///
/// Contamination: a tenth of the vectors, the farthest, is left out of all fits (but scored). Which are farthest is
/// first told by each coordinate's median and MAD, then twice by the fit to the rest: the concentration steps of
/// FAST-MCD (Rousseeuw and Van Driessen, Technometrics 41, 1999). Events of one kind widen the covariance in the
/// direction of that kind, so a fit to everything would not see them as far: it would be blind to just them.
/// Moments are taken over every `stride`-th vector: neighbours share most of their window.
pub(crate) fn fit(vectors: &[f32], width: usize, stride: usize, trim: f64) -> Result<Fitted> {
    let n = vectors.len() / width;
    let chosen: Vec<usize> = (0..n).step_by(stride.max(1)).collect();
    if chosen.len() < 2 * FOLDS {
        return Err(Error::config(
            format!("calibration heard {n} novelty windows, expected at least {}", 2 * FOLDS * stride),
            "let calibration listen longer, or run `calibrate` again",
        ));
    }
    let row = |i: usize| &vectors[i * width..][..width];
    let fold = |i: usize| i * FOLDS / n;
    let shift = row(0);

    let mut rest = Vec::with_capacity(width);
    let scales = robust_scales(&chosen, width, row);
    let mut kept = nearest(&chosen, trim, |i| {
        row(i).iter().zip(&scales).map(|(&x, (m, a))| ((f64::from(x) - m) / a).powi(2)).sum()
    });
    for _ in 0..CONCENTRATIONS {
        let fit = Novelty::from_moments(&Moments::of(kept.iter().map(|&i| row(i)), shift), shift)?;
        kept = nearest(&chosen, trim, |i| fit.score(row(i), &mut rest));
    }

    let folds: Vec<Moments> = (0..FOLDS)
        .map(|f| Moments::of(kept.iter().filter(|&&i| fold(i) == f).map(|&i| row(i)), shift))
        .collect();
    let all = Moments::total(&folds, width);
    let mut scores = Vec::with_capacity(n);
    for (f, moments) in folds.iter().enumerate() {
        let mut others = all.clone();
        others.subtract(moments);
        let unaware = Novelty::from_moments(&others, shift)?;
        scores.extend((0..n).filter(|&i| fold(i) == f).map(|i| unaware.score(row(i), &mut rest)));
    }
    Ok(Fitted { novelty: Novelty::from_moments(&all, shift)?, scores })
}

/// All of `chosen` but the share `trim` for which `distance` is largest, in the order of time.
fn nearest(chosen: &[usize], trim: f64, mut distance: impl FnMut(usize) -> f64) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> = chosen.iter().map(|&i| (distance(i), i)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(chosen.len() - (trim * chosen.len() as f64) as usize);
    let mut kept: Vec<usize> = ranked.into_iter().map(|x| x.1).collect();
    kept.sort_unstable();
    kept
}

/// Median and median absolute deviation of each coordinate.
fn robust_scales<'a>(chosen: &[usize], width: usize, row: impl Fn(usize) -> &'a [f32]) -> Vec<(f64, f64)> {
    let mut values = Vec::with_capacity(chosen.len());
    (0..width)
        .map(|j| {
            values.clear();
            values.extend(chosen.iter().map(|&i| f64::from(row(i)[j])));
            let middle = median(&mut values);
            values.iter_mut().for_each(|x| *x = (*x - middle).abs());
            (middle, median(&mut values).max(1e-9))
        })
        .collect()
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
        let novelty = Novelty::from_moments(&moments, &vectors[..width]).unwrap();

        let x = DMatrix::from_fn(n, width, |i, j| f64::from(vectors[i * width + j]));
        let mean = x.row_mean();
        let centred = DMatrix::from_fn(n, width, |i, j| x[(i, j)] - mean[j]);
        let s = centred.transpose() * &centred / n as f64;
        let sigma = &s * 0.9 + DMatrix::identity(width, width) * (0.1 * s.trace() / width as f64);
        let e = [90.0f32, 103.0, 100.0, 99.0];
        let off = DVector::from_fn(width, |j, _| f64::from(e[j]) - mean[j]);
        let expected = (off.dot(&(sigma.try_inverse().unwrap() * &off)) / width as f64).sqrt();
        let score = novelty.score(&e, &mut Vec::new());
        assert!((score / expected - 1.0).abs() < 1e-5, "{score} for {expected}");
    }

    #[test]
    fn cross_fitted_scores_are_those_of_new_vectors() {
        let (n, width) = (400, 64);
        let fitted = fit(&noise(n, width, 2), width, 1, 0.1).unwrap();
        let mut rest = Vec::new();
        let mean_of = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let score_all = |vectors: &[f32], rest: &mut Vec<f64>| -> Vec<f64> {
            vectors.chunks(width).map(|e| fitted.novelty.score(e, rest)).collect()
        };
        let seen = mean_of(&score_all(&noise(n, width, 2), &mut rest));
        let new = mean_of(&score_all(&noise(n, width, 3), &mut rest));
        let crossed = mean_of(&fitted.scores);
        assert!(seen < 0.97 * new, "seen {seen}, new {new}: nothing to correct");
        assert!((crossed / new - 1.0).abs() < 0.03, "crossed {crossed}, new {new}");
    }

    #[test]
    fn five_percent_of_events_do_not_hide_further_ones() {
        let (n, width) = (1000, 8);
        let clean = noise(n, width, 4);
        let mut dirty = clean.clone();
        for row in dirty.chunks_mut(width).step_by(20) {
            row[0] += 10.0;
        }
        let mut event = vec![100.0f32; width];
        event[0] += 10.0;
        let mut rest = Vec::new();
        let before = fit(&clean, width, 1, 0.1).unwrap().novelty.score(&event, &mut rest);
        let after = fit(&dirty, width, 1, 0.1).unwrap().novelty.score(&event, &mut rest);
        assert!(after > 0.8 * before, "{after} of {before}");
    }

    #[test]
    fn constant_vectors_still_have_a_distance() {
        let fitted = fit(&[1.0; 200], 4, 1, 0.1).unwrap();
        assert!(fitted.scores.iter().all(|s| s.abs() < 1e-6));
        assert!(fitted.novelty.score(&[1.0, 1.0, 2.0, 1.0], &mut Vec::new()) > 1.0);
        assert!(fit(&[1.0; 20], 4, 1, 0.1).is_err());
    }
}
