//! Ridge regression of a vector series on its own past, in closed form.
//!
//! The Gram matrix of the past, `[lags · width]²`, is block Toeplitz but for what happens at the ends of the sound: the block
//! of lags (i + 1, j + 1) is that of (i, j) with one product added and one taken away. So it costs n · lags · width² in place
//! of n · lags² · width² (the covariance method of linear prediction; Makhoul, Linear prediction: a tutorial review, 1975).

use std::ops::Range;

use nalgebra::DMatrix;

/// Columns of a panel of the Cholesky factorisation.
const PANEL: usize = 64;

/// Sums over some targets: of the products of the past with itself and with the target.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    lags: usize,
    width: usize,
    /// Targets.
    pub(super) count: usize,
    /// `[lags · width, lags · width]`, the lower triangle of blocks; coordinate (lag − 1) · width + i.
    gram: DMatrix<f64>,
    /// `[lags · width, width]`.
    cross: DMatrix<f64>,
}

impl Moments {
    pub(super) fn zero(lags: usize, width: usize) -> Self {
        let size = lags * width;
        Self { lags, width, count: 0, gram: DMatrix::zeros(size, size), cross: DMatrix::zeros(size, width) }
    }

    /// Adds the targets of `range` of `series` `[n, width]`. The rows `range.start - lags ..` must be of one piece.
    pub(super) fn add(&mut self, series: &[f32], range: Range<usize>) {
        let (lags, width) = (self.lags, self.width);
        if range.is_empty() || range.start < lags || range.end * width > series.len() {
            return;
        }
        self.count += range.len();
        let row = |t: usize| series.get(t * width..(t + 1) * width).unwrap_or_default();
        let rows = |from: usize| {
            let part = series.get(from * width..(from + range.len()) * width).unwrap_or_default();
            DMatrix::from_iterator(width, range.len(), part.iter().map(|&x| f64::from(x)))
        };
        let (target, latest) = (rows(range.start), rows(range.start - 1).transpose());
        let mut first = DMatrix::<f64>::zeros(lags * width, width);
        for lag in 1..=lags {
            let past = rows(range.start - lag);
            let mut block = self.cross.view_mut(((lag - 1) * width, 0), (width, width));
            block += &past * target.transpose();
            first.view_mut(((lag - 1) * width, 0), (width, width)).copy_from(&(past * &latest));
        }
        for diagonal in 0..lags {
            let mut block = first.view((diagonal * width, 0), (width, width)).clone_owned();
            for lag in 1..=lags - diagonal {
                let at = ((lag + diagonal - 1) * width, (lag - 1) * width);
                let mut to = self.gram.view_mut(at, (width, width));
                to += &block;
                if lag + diagonal == lags {
                    break;
                }
                let (older, newer) = (lag + diagonal + 1, lag + 1);
                let (came, went) = (
                    (row(range.start - older), row(range.start - newer)),
                    (row(range.end - older), row(range.end - newer)),
                );
                for a in 0..width {
                    for b in 0..width {
                        block[(a, b)] += f64::from(came.0[a]) * f64::from(came.1[b])
                            - f64::from(went.0[a]) * f64::from(went.1[b]);
                    }
                }
            }
        }
    }

    /// The same in an eighth of the memory.
    pub(super) fn packed(&self) -> Packed {
        let columns = self.gram.column_iter().enumerate();
        Packed {
            count: self.count,
            lower: columns
                .flat_map(|(j, column)| column.iter().skip(j).map(|&x| x as f32).collect::<Vec<_>>())
                .collect(),
            cross: self.cross.map(|x| x as f32),
        }
    }
}

/// Finished sums: of the symmetric matrix the lower triangle alone, column after column, in single precision.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    count: usize,
    lower: Vec<f32>,
    cross: DMatrix<f32>,
}

impl Packed {
    /// Weights `[lags · width, width]`, row after row, of least squared error over the targets of all `parts` with a penalty of
    /// `penalty` for each target. None where the equations have no solution.
    pub(super) fn solve<'a>(parts: impl Iterator<Item = &'a Self> + Clone, penalty: f64) -> Option<Vec<f32>> {
        let mut right = parts.clone().map(|part| &part.cross).fold(None, |sum, cross| match sum {
            None => Some(cross.clone()),
            Some(sum) => Some(sum + cross),
        })?;
        let size = right.nrows();
        let mut gram = DMatrix::<f32>::zeros(size, size);
        for part in parts.clone() {
            let mut rest = part.lower.as_slice();
            for (j, mut column) in gram.column_iter_mut().enumerate() {
                let (own, after) = rest.split_at_checked(size - j)?;
                column.iter_mut().skip(j).zip(own).for_each(|(sum, x)| *sum += x);
                rest = after;
            }
        }
        let own = (penalty * parts.map(|part| part.count).sum::<usize>() as f64) as f32;
        (0..size).for_each(|i| gram[(i, i)] += own);
        factorise(&mut gram)?;
        gram.solve_lower_triangular_mut(&mut right).then_some(())?;
        gram.tr_solve_lower_triangular_mut(&mut right).then_some(())?;
        Some(right.transpose().as_slice().to_vec())
    }
}

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor, panel by panel, so that most of the work is in
/// products of matrices. None where the matrix is not positive definite.
fn factorise(matrix: &mut DMatrix<f32>) -> Option<()> {
    let size = matrix.nrows();
    let mut from = 0;
    while from < size {
        let columns = PANEL.min(size - from);
        for j in from..from + columns {
            let mut pivot = f64::from(matrix[(j, j)]);
            for k in from..j {
                pivot -= f64::from(matrix[(j, k)]).powi(2);
            }
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            let root = pivot.sqrt() as f32;
            for k in from..j {
                let factor = matrix[(j, k)];
                let (before, mut after) = matrix.columns_range_pair_mut(k, j);
                let rows = j + 1..size;
                after.rows_range_mut(rows.clone()).axpy(-factor, &before.rows_range(rows), 1.0);
            }
            matrix[(j, j)] = root;
            matrix.view_mut((j + 1, j), (size - j - 1, 1)).scale_mut(1.0 / root);
        }
        let next = from + columns;
        if next < size {
            let panel = matrix.view((next, from), (size - next, columns)).clone_owned();
            let across = panel.transpose();
            for at in (0..size - next).step_by(PANEL) {
                let wide = PANEL.min(size - next - at);
                let mut block = matrix.view_mut((next + at, next + at), (size - next - at, wide));
                block.gemm(-1.0, &panel.rows_range(at..), &across.columns_range(at..at + wide), 1.0);
            }
        }
        from = next;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const WIDTH: usize = 3;
    const LAGS: usize = 7;

    fn series(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n * WIDTH).map(|_| rng.random_range(-1.0..1.0f32)).collect()
    }

    /// The past of target `t`.
    fn past(series: &[f32], t: usize) -> Vec<f32> {
        (1..=LAGS).flat_map(|lag| series[(t - lag) * WIDTH..][..WIDTH].to_vec()).collect()
    }

    #[test]
    fn moments_are_the_sums_of_products() {
        let series = series(60, 1);
        let range = 20..51;
        let mut moments = Moments::zero(LAGS, WIDTH);
        moments.add(&series, range.clone());
        let size = LAGS * WIDTH;
        let (mut gram, mut cross) = (vec![0f64; size * size], vec![0f64; size * WIDTH]);
        for t in range {
            let x = past(&series, t);
            for i in 0..size {
                for j in 0..size {
                    gram[i * size + j] += f64::from(x[i]) * f64::from(x[j]);
                }
                for j in 0..WIDTH {
                    cross[i * WIDTH + j] += f64::from(x[i]) * f64::from(series[t * WIDTH + j]);
                }
            }
        }
        for i in 0..size {
            for j in (0..size).filter(|j| j / WIDTH <= i / WIDTH) {
                assert!((moments.gram[(i, j)] - gram[i * size + j]).abs() < 1e-9, "{i} {j}");
            }
            (0..WIDTH).for_each(|j| assert!((moments.cross[(i, j)] - cross[i * WIDTH + j]).abs() < 1e-9));
        }
    }

    #[test]
    fn a_series_that_repeats_is_predicted() {
        let mut all = series(5, 2);
        let noise = series(400, 3);
        for t in 5..400 {
            for i in 0..WIDTH {
                all.push(all[(t - 5) * WIDTH + i] + 0.01 * noise[t * WIDTH + i]);
            }
        }
        let mut moments = Moments::zero(LAGS, WIDTH);
        moments.add(&all, LAGS..400);
        let parts = [moments.packed()];
        let weights = Packed::solve(parts.iter(), 1e-4).unwrap();
        for t in 300..400 {
            let x = past(&all, t);
            for i in 0..WIDTH {
                let predicted: f32 = x.iter().zip(weights.chunks(WIDTH)).map(|(x, w)| x * w[i]).sum();
                assert!((predicted - all[t * WIDTH + i]).abs() < 0.1);
            }
        }
    }

    #[test]
    fn the_factor_times_itself_is_the_matrix_beyond_one_panel() {
        let size = 2 * PANEL + 9;
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let random = DMatrix::from_fn(size, size, |_, _| rng.random_range(-1.0..1.0f32));
        let matrix = &random * random.transpose() + DMatrix::identity(size, size);
        let mut factor = matrix.clone();
        factorise(&mut factor).unwrap();
        let lower = factor.lower_triangle();
        let difference = (&lower * lower.transpose() - &matrix).abs().max();
        assert!(difference < 1e-3, "{difference}");
        assert!(factorise(&mut DMatrix::from_element(3, 3, -1.0)).is_none());
    }

    #[test]
    fn ranges_without_a_past_are_not_added() {
        let series = series(20, 5);
        let mut moments = Moments::zero(LAGS, WIDTH);
        moments.add(&series, 3..10);
        moments.add(&series, 15..30);
        assert_eq!(moments.count, 0);
    }
}
