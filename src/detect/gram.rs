//! Sums of products of rows, without a copy of all rows.

use nalgebra::DMatrix;

/// Rows of a block: each is one product of matrices.
const BLOCK: usize = 256;

/// Calls back with each of some rows, in one order each time.
pub(super) type Rows<'a> = &'a dyn Fn(&mut dyn FnMut(&[f32]));
/// The same with what each row is to predict.
pub(super) type Pairs<'a> = &'a dyn Fn(&mut dyn FnMut(&[f32], &[f32]));

/// Σ x yᵀ of columns x of `width` and y of `other` values, a block at a time.
pub(super) struct Products {
    x: DMatrix<f32>,
    y: DMatrix<f32>,
    filled: usize,
    product: DMatrix<f32>,
    sum: DMatrix<f64>,
}

impl Products {
    pub(super) fn new(width: usize, other: usize) -> Self {
        Self {
            x: DMatrix::zeros(width, BLOCK),
            y: DMatrix::zeros(BLOCK, other),
            filled: 0,
            product: DMatrix::zeros(width, other),
            sum: DMatrix::zeros(width, other),
        }
    }

    /// Adds x yᵀ.
    pub(super) fn add(&mut self, x: impl Iterator<Item = f32>, y: impl Iterator<Item = f32>) {
        self.x.column_mut(self.filled).iter_mut().zip(x).for_each(|(to, x)| *to = x);
        self.y.row_mut(self.filled).iter_mut().zip(y).for_each(|(to, y)| *to = y);
        self.filled += 1;
        if self.filled == BLOCK {
            self.empty();
        }
    }

    fn empty(&mut self) {
        let (x, y) = (self.x.columns(0, self.filled), self.y.rows(0, self.filled));
        self.product.gemm(1.0, &x, &y, 0.0);
        self.sum.iter_mut().zip(&self.product).for_each(|(sum, x)| *sum += f64::from(*x));
        self.filled = 0;
    }

    /// The sum, `[width, other]`.
    pub(super) fn sum(mut self) -> DMatrix<f64> {
        if self.filled > 0 {
            self.empty();
        }
        self.sum
    }
}

/// How many rows there are, and the mean of each coordinate.
pub(super) fn means(rows: Rows<'_>, width: usize) -> (usize, Vec<f64>) {
    let (mut n, mut sums) = (0usize, vec![0f64; width]);
    rows(&mut |row| {
        row.iter().zip(&mut sums).for_each(|(&x, sum)| *sum += f64::from(x));
        n += 1;
    });
    sums.iter_mut().for_each(|sum| *sum /= n.max(1) as f64);
    (n, sums)
}

/// The variance of each coordinate about `means`.
pub(super) fn variances(rows: Rows<'_>, n: usize, means: &[f64]) -> Vec<f64> {
    let mut squares = vec![0f64; means.len()];
    rows(&mut |row| {
        for ((&x, mean), square) in row.iter().zip(means).zip(&mut squares) {
            *square += (f64::from(x) - mean).powi(2);
        }
    });
    squares.iter_mut().for_each(|square| *square /= n.max(1) as f64);
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_add_up_to_the_sum_of_products() {
        let rows = 2 * BLOCK + 3;
        let x = |i: usize, j: usize| ((i * 7 + j * 3) % 11) as f32;
        let mut products = Products::new(2, 3);
        for i in 0..rows {
            products.add((0..2).map(|j| x(i, j)), (0..3).map(|j| x(i + 1, j)));
        }
        let sum = products.sum();
        for a in 0..2 {
            for b in 0..3 {
                let expected: f64 = (0..rows).map(|i| f64::from(x(i, a) * x(i + 1, b))).sum();
                assert_eq!(sum[(a, b)], expected);
            }
        }
    }

    #[test]
    fn means_and_variances_are_those_of_the_rows() {
        let rows: Rows<'_> = &|take| [[1.0, 5.0], [3.0, 5.0]].iter().for_each(|row| take(row));
        let (n, means) = means(rows, 2);
        assert_eq!((n, means.as_slice()), (2, [2.0, 5.0].as_slice()));
        assert_eq!(variances(rows, n, &means), [1.0, 0.0]);
    }
}
