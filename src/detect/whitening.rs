//! Statistics in units of what is normal: standardised, and made white.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::gram::{Products, Rows, means, variances};
use crate::error::{Error, Result};
use crate::kernels::{Triangle, multiply_symmetric};

/// Shrinkage of the correlation matrix towards the identity.
const SHRINKAGE: f64 = 0.1;

/// Mean and deviation of each coordinate, and the symmetric matrix that makes the standardised vector white (ZCA: of all
/// white vectors the nearest to it, so that coordinate b is still about band b). The norm of the white vector is the
/// Mahalanobis distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whitening {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// The matrix, kept by its rows from the diagonal on; without rows where the vector is standardised alone.
    #[serde(rename = "upper", with = "rows_from_diagonal")]
    matrix: Triangle<f32>,
}

impl Whitening {
    /// Of rows `[width]`; deviations get `least` of their coordinate added.
    pub(super) fn fit(rows: Rows<'_>, width: usize, least: impl Fn(usize) -> f32) -> Result<Self> {
        let (n, mut fitted) = Self::counted(rows, width, least);
        if n < 2 {
            return Err(Error::config(
                format!("calibration received {n} rows"),
                "let calibration listen longer, or run `calibrate` again",
            ));
        }
        let (mut products, mut normal) = (Products::new(width, width), Vec::with_capacity(width));
        rows(&mut |row| {
            fitted.normal(row, &mut normal);
            products.add(normal.iter().copied(), normal.iter().copied());
        });
        let mut covariance = products.sum() / n as f64;
        covariance *= 1.0 - SHRINKAGE;
        (0..width).for_each(|i| covariance[(i, i)] += SHRINKAGE);
        let eigen = SymmetricEigen::new(covariance);
        let roots = eigen.eigenvalues.map(|v| 1.0 / v.max(1e-6).sqrt());
        let matrix = &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose();
        // as its upper triangle has it: the other may be rounded otherwise
        fitted.matrix = Triangle::of(width, |i, j| matrix[(j, i)] as f32);
        Ok(fitted)
    }

    /// Mean and deviation alone.
    pub(super) fn scales(rows: Rows<'_>, width: usize, least: impl Fn(usize) -> f32) -> Self {
        Self::counted(rows, width, least).1
    }

    fn counted(rows: Rows<'_>, width: usize, least: impl Fn(usize) -> f32) -> (usize, Self) {
        let (n, means) = means(rows, width);
        let squares = variances(rows, n, &means);
        let fitted = Self {
            mean: means.iter().map(|&m| m as f32).collect(),
            deviation: squares.iter().enumerate().map(|(i, q)| q.sqrt() as f32 + least(i)).collect(),
            matrix: Triangle::zeros(0),
        };
        (n, fitted)
    }

    /// Writes the standardised vector to `out`, as far as `raw` goes.
    pub(super) fn normal(&self, raw: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend(raw.iter().zip(&self.mean).zip(&self.deviation).map(|((x, m), d)| (x - m) / d));
    }

    /// The shift of all coordinates that comes nearest to the change from `before` to `now` (least squares, weighted by the
    /// inverse variances), how much of the change it is, and how much is left, both in squared deviations a coordinate.
    pub(super) fn common_shift(&self, before: &[f32], now: &[f32]) -> (f32, f32, f32) {
        let changes = || now.iter().zip(before).map(|(x, y)| x - y).zip(&self.deviation);
        let weight: f32 = self.deviation.iter().map(|d| 1.0 / (d * d)).sum();
        let shift = changes().map(|(x, d)| x / (d * d)).sum::<f32>() / weight.max(1e-9);
        let left: f32 = changes().map(|(x, d)| ((x - shift) / d).powi(2)).sum();
        let count = self.deviation.len().max(1) as f32;
        (shift, shift * shift * weight / count, left / count)
    }

    /// Writes ln of each deviation + 1 to `out`: how much of a change is usual.
    pub(super) fn spread(&self, out: &mut Vec<f32>) {
        out.clear();
        out.extend(self.deviation.iter().map(|d| d.ln() + 1.0));
    }

    /// Writes the white vector to `out`. Allocates only where `out` has no room for two vectors.
    pub(super) fn apply(&self, raw: &[f32], out: &mut Vec<f32>) {
        self.normal(raw, out);
        let count = out.len();
        out.resize(count + self.mean.len(), 0.0);
        let (normal, white) = out.split_at_mut(count);
        multiply_symmetric(&self.matrix, normal, white);
        out.drain(..count);
    }

    /// Whether this could have come from a fit to vectors of `width` values, `white` or only standardised.
    pub(super) fn is_whole(&self, width: usize, white: bool) -> bool {
        self.mean.len() == width
            && self.deviation.len() == width
            && self.matrix.width() == if white { width } else { 0 }
            && self.mean.iter().copied().chain(self.matrix.numbers()).all(f32::is_finite)
            && self.deviation.iter().all(|d| d.is_finite() && *d > 0.0)
    }
}

/// How the matrix is kept: its rows, each from the diagonal on.
mod rows_from_diagonal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::kernels::Triangle;

    /// Its rows from the diagonal on are the columns of the lower triangle.
    fn transposed(width: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..width).flat_map(move |j| (j..width).map(move |i| (i, j)))
    }

    pub(super) fn serialize<S: Serializer>(matrix: &Triangle<f32>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(transposed(matrix.width()).filter_map(|(i, j)| matrix.row(i).get(j)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Triangle<f32>, D::Error> {
        let kept = Vec::<f32>::deserialize(from)?;
        let no_triangle = || D::Error::custom(format!("{} numbers make no triangle", kept.len()));
        let mut matrix = Triangle::from_packed(&kept).ok_or_else(no_triangle)?;
        for ((i, j), x) in transposed(matrix.width()).zip(kept) {
            matrix.row_mut(i).get_mut(j).into_iter().for_each(|to| *to = x);
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_change_is_a_common_shift_and_a_rest() {
        let rows: Vec<f32> = (0..400).map(|i| if i / 4 % 2 == 0 { -0.5 } else { 0.5 }).collect();
        let scales = Whitening::scales(&|take| rows.chunks_exact(4).for_each(&mut *take), 4, |_| 0.0);
        let (_, common, left) = scales.common_shift(&[1.0; 4], &[2.0; 4]);
        assert!((common - 4.0).abs() < 1e-5 && left < 1e-9, "{common} {left}");
        let (_, common, left) = scales.common_shift(&[1.0; 4], &[2.0, 0.0, 2.0, 0.0]);
        assert!(common < 1e-9 && (left - 4.0).abs() < 1e-5, "{common} {left}");
    }

    #[test]
    fn correlated_rows_become_white_and_keep_their_places() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut rows = Vec::new();
        for _ in 0..5000 {
            let common = rng.random_range(-1.0..1.0f32);
            rows.extend([
                5.0 + common,
                3.0 * common + rng.random_range(-1.0..1.0),
                rng.random_range(-2.0..2.0),
            ]);
        }
        let whitening =
            Whitening::fit(&|take| rows.chunks_exact(3).for_each(&mut *take), 3, |_| 0.01).unwrap();
        let mut white = Vec::new();
        let mut products = [[0f32; 3]; 3];
        for row in rows.chunks_exact(3) {
            whitening.apply(row, &mut white);
            for i in 0..3 {
                for j in 0..3 {
                    products[i][j] += white[i] * white[j] / 5000.0;
                }
            }
        }
        // shrinkage leaves what is correlated a little short of white
        assert!((0.5..1.3).contains(&products[0][0]) && (0.8..1.2).contains(&products[2][2]), "{products:?}");
        assert!(products[0][1].abs() < 0.5, "{products:?}");
        whitening.apply(&[5.0, 0.0, 10.0], &mut white);
        assert!(white[2] > 5.0 && white[0].abs() < 1.0, "{white:?}");
        assert!(whitening.is_whole(3, true) && !whitening.is_whole(3, false) && !whitening.is_whole(2, true));
    }
}
