//! What contexts predict of the bands.

use nalgebra::{Cholesky, DMatrix};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::{COLUMNS, subtract_products};
use crate::units::BANDS;

/// Weight of the penalty, for each frame of the fit. Contexts are wide and calibration is short: with less, frames that were
/// fitted look better predicted than new ones.
const PENALTY: f64 = 0.22;

const _: () = assert!(BANDS == COLUMNS);

/// A linear prediction of the log-mel bands, fitted by ridge regression: ŷ = Wᵀ x + b.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinearPredictor {
    /// `[inputs, 64]`.
    weights: Vec<f32>,
    /// `[64]`.
    offset: Vec<f32>,
}

impl LinearPredictor {
    /// Of the rows of `targets` `[n, 64]` from those of `inputs` `[n, width]`.
    pub(super) fn fit(inputs: &DMatrix<f32>, targets: &DMatrix<f32>) -> Result<Self> {
        let n = inputs.nrows() as f64;
        let (input_mean, target_mean) = (inputs.row_mean(), targets.row_mean());
        let mut x = inputs.clone();
        x.row_iter_mut().for_each(|mut row| row -= &input_mean);
        let mut y = targets.clone();
        y.row_iter_mut().for_each(|mut row| row -= &target_mean);
        let scale: Vec<f32> = x.column_iter().map(|c| (c.norm_squared() / n as f32).sqrt() + 1e-3).collect();
        x.column_iter_mut().zip(&scale).for_each(|(mut column, scale)| column /= *scale);
        let transposed = x.transpose();
        let mut gram = (&transposed * &x).cast::<f64>();
        for i in 0..gram.nrows() {
            gram[(i, i)] += PENALTY * n;
        }
        let Some(cholesky) = Cholesky::new(gram) else {
            return Err(Error::internal("the regression of calibration has no solution"));
        };
        let mut weights = cholesky.solve(&(transposed * y).cast::<f64>()).cast::<f32>();
        weights.row_iter_mut().zip(&scale).for_each(|(mut row, scale)| row /= *scale);
        let offset = target_mean - input_mean * &weights;
        Ok(Self {
            // row after row
            weights: weights.transpose().as_slice().to_vec(),
            offset: offset.iter().copied().collect(),
        })
    }

    /// Writes bands − prediction to `out`, `[64]`.
    pub(super) fn residual(&self, input: &[f32], bands: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(bands).zip(&self.offset).for_each(|((o, x), b)| *o = x - b);
        for out in out.as_chunks_mut::<COLUMNS>().0 {
            subtract_products(input, &self.weights, out);
        }
    }

    /// Whether this could have come from a fit to `inputs` values.
    pub(super) fn is_whole(&self, inputs: usize) -> bool {
        self.weights.len() == inputs * BANDS
            && self.offset.len() == BANDS
            && self.weights.iter().chain(&self.offset).all(|x| x.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn what_follows_is_predicted_and_what_does_not_is_left() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let inputs = DMatrix::from_fn(4000, 6, |_, _| rng.random_range(-1.0..1.0f32));
        let targets = DMatrix::from_fn(4000, BANDS, |i, b| {
            3.0 + if b % 2 == 0 { 2.0 * inputs[(i, b % 6)] } else { rng.random_range(-1.0..1.0) }
        });
        let prediction = LinearPredictor::fit(&inputs, &targets).unwrap();
        let mut left = vec![0f64; BANDS];
        let mut out = vec![0f32; BANDS];
        for i in 0..4000 {
            let input: Vec<f32> = inputs.row(i).iter().copied().collect();
            let bands: Vec<f32> = targets.row(i).iter().copied().collect();
            prediction.residual(&input, &bands, &mut out);
            left.iter_mut().zip(&out).for_each(|(l, x)| *l += f64::from(x * x) / 4000.0);
        }
        assert!(left[0] < 0.1 * 4.0 / 3.0, "{}", left[0]);
        assert!((0.2..0.4).contains(&left[1]), "{}", left[1]);
        assert!(prediction.is_whole(6) && !prediction.is_whole(7));
    }
}
