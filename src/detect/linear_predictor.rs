//! What contexts predict of the bands.

use nalgebra::{Cholesky, RowDVector};
use serde::{Deserialize, Serialize};

use super::gram::{Pairs, Products, means, variances};
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
    /// Of pairs of an input `[width]` and a target `[64]`.
    pub(super) fn fit(pairs: Pairs<'_>, width: usize) -> Result<Self> {
        let (n, input_mean) = means(&|take| pairs(&mut |input, _| take(input)), width);
        let (_, target_mean) = means(&|take| pairs(&mut |_, target| take(target)), BANDS);
        let squares = variances(&|take| pairs(&mut |input, _| take(input)), n, &input_mean);
        let scale: Vec<f32> = squares.iter().map(|square| square.sqrt() as f32 + 1e-3).collect();
        let single = |mean: &[f64]| mean.iter().map(|&m| m as f32).collect::<Vec<f32>>();
        let (input_mean, target_mean) = (single(&input_mean), single(&target_mean));
        let mut products = Products::new(width, width + BANDS);
        pairs(&mut |input, target| {
            let x = || input.iter().zip(&input_mean).zip(&scale).map(|((x, mean), scale)| (x - mean) / scale);
            let y = target.iter().zip(&target_mean).map(|(y, mean)| y - mean);
            products.add(x(), x().chain(y));
        });
        let products = products.sum();
        let mut gram = products.columns(0, width).clone_owned();
        (0..width).for_each(|i| gram[(i, i)] += PENALTY * n as f64);
        let Some(cholesky) = Cholesky::new(gram) else {
            return Err(Error::internal("the regression of calibration has no solution"));
        };
        let mut weights = cholesky.solve(&products.columns(width, BANDS).clone_owned()).cast::<f32>();
        weights.row_iter_mut().zip(&scale).for_each(|(mut row, scale)| row /= *scale);
        let offset = RowDVector::from_vec(target_mean) - RowDVector::from_vec(input_mean) * &weights;
        Ok(Self {
            // row after row
            weights: weights.transpose().as_slice().to_vec(),
            offset: offset.iter().copied().collect(),
        })
    }

    /// Subtracts the prediction from `inputs`, one a frame, of the bands of each frame. Of several frames together the weights are
    /// read once; the results are the same to the bit.
    pub(super) fn subtract(&self, inputs: &[&[f32]], bands: &mut [[f32; BANDS]]) {
        for bands in &mut *bands {
            bands.iter_mut().zip(&self.offset).for_each(|(x, b)| *x -= b);
        }
        subtract_products(inputs, &self.weights, bands);
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
        let mut pairs = Vec::new();
        for _ in 0..4000 {
            let input: [f32; 6] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
            let target: [f32; BANDS] = std::array::from_fn(|b| {
                3.0 + if b % 2 == 0 { 2.0 * input[b % 6] } else { rng.random_range(-1.0..1.0) }
            });
            pairs.push((input, target));
        }
        let prediction = LinearPredictor::fit(&|take| pairs.iter().for_each(|(x, y)| take(x, y)), 6).unwrap();
        let mut left = vec![0f64; BANDS];
        for (input, bands) in &pairs {
            let mut out = *bands;
            prediction.subtract(&[input], std::slice::from_mut(&mut out));
            left.iter_mut().zip(&out).for_each(|(l, x)| *l += f64::from(x * x) / 4000.0);
        }
        assert!(left[0] < 0.1 * 4.0 / 3.0, "{}", left[0]);
        assert!((0.2..0.4).contains(&left[1]), "{}", left[1]);
        assert!(prediction.is_whole(6) && !prediction.is_whole(7));
    }
}
