//! Linear prediction from autocovariances, an order at a time.

use nalgebra::SMatrix;
use serde::{Deserialize, Serialize};

use super::context::LAGS;
use super::groups::GROUPS;
use crate::detect::exact::exact;
use crate::kernels::{self, reflect, subtract_predictions};

type Block = SMatrix<f64, GROUPS, GROUPS>;

/// Numbers of a block, and of the autocovariances of lags 0 to 100, `[101, 8, 8]`.
pub(super) const BLOCK: usize = GROUPS * GROUPS;
pub(super) const AUTOCOVARIANCES: usize = (LAGS + 1) * BLOCK;

/// The recursion of Whittle (On the fitting of multivariate autoregressions, Biometrika 1963), which extends Levinson's to vectors:
/// weights Φ forward and Ψ backward of order m give those of order m + 1, in 1.5 · 8³ · m products.
///
/// R(l) = Σ x_t x_{t−l}ᵀ; the prediction is x_t ≈ Σ Φ_l x_{t−l}.
#[derive(Debug, Clone)]
pub(super) struct Levinson {
    /// The autocovariances that it began with.
    of: Vec<f32>,
    ridge: f64,
    order: usize,
    forward: Vec<kernels::Block>,
    backward: Vec<kernels::Block>,
    /// Covariances of the errors.
    forward_error: Block,
    backward_error: Block,
}

impl Levinson {
    /// Begins with autocovariances `[101, 8, 8]`; `ridge` is added to the variances.
    pub(super) fn new(autocovariances: &[f32], ridge: f64) -> Self {
        let mut recursion = Self {
            of: vec![0.0; AUTOCOVARIANCES],
            ridge,
            order: 0,
            forward: vec![[[0.0; GROUPS]; GROUPS]; LAGS],
            backward: vec![[[0.0; GROUPS]; GROUPS]; LAGS],
            forward_error: Block::zeros(),
            backward_error: Block::zeros(),
        };
        recursion.begin(autocovariances, ridge);
        recursion
    }

    /// Begins anew. Does not allocate.
    pub(super) fn begin(&mut self, autocovariances: &[f32], ridge: f64) {
        self.of.iter_mut().zip(autocovariances).for_each(|(to, x)| *to = *x);
        (self.ridge, self.order) = (ridge, 0);
        let own = self.autocovariance(0);
        let error = (own + own.transpose()) * 0.5 + Block::identity() * ridge;
        (self.forward_error, self.backward_error) = (error, error);
    }

    /// Goes on by an order; false where the autocovariances are those of no series: the errors of one have at least the variance of
    /// the ridge. Does not allocate.
    pub(super) fn extend(&mut self) -> bool {
        let m = self.order;
        let least = Block::identity() * (0.5 * self.ridge);
        let is_positive = |error: &Block| (error - least).cholesky().is_some();
        if !is_positive(&self.forward_error) || !is_positive(&self.backward_error) {
            return false;
        }
        let mut rest = self.autocovariance(m + 1);
        let (_, lagged) = self.of.split_at(BLOCK);
        let lagged = lagged.as_chunks().0.as_chunks().0;
        let known = (self.forward.get(..m)).zip(lagged.get(..m));
        known
            .into_iter()
            .for_each(|(weights, lagged)| subtract_predictions(&mut rest.data.0, weights, lagged));
        let (Some(ahead), Some(behind)) = (self.forward_error.cholesky(), self.backward_error.cholesky())
        else {
            return false;
        };
        // X = Δ U⁻¹ by U Xᵀ = Δᵀ
        let forward = behind.solve(&rest.transpose()).transpose();
        let backward = ahead.solve(&rest).transpose();
        let (Some((a, before)), Some((b, behind))) = (
            self.forward.get_mut(..=m).and_then(<[_]>::split_last_mut),
            self.backward.get_mut(..=m).and_then(<[_]>::split_last_mut),
        ) else {
            return false;
        };
        reflect(before, behind, [&forward.data.0, &backward.data.0]);
        (*a, *b) = (forward.data.0, backward.data.0);
        self.forward_error -= forward * rest.transpose();
        self.backward_error -= backward * rest;
        self.order += 1;
        true
    }

    /// Whether all 100 lags predict.
    pub(super) fn is_complete(&self) -> bool {
        self.order == LAGS && self.forward.as_flattened().as_flattened().iter().all(|x| x.is_finite())
    }

    /// The weights `[100 · 8, 8]`: of each number of the past, the latest step first, for each target.
    pub(super) fn weights(&self, out: &mut [f32]) {
        for (block, out) in self.forward.iter().zip(out.chunks_exact_mut(BLOCK)) {
            // a matrix lies column by column: the weights of one number of the past for all targets
            out.iter_mut().zip(block.as_flattened()).for_each(|(to, x)| *to = *x as f32);
        }
    }

    /// What is kept: the order follows from what it began with.
    pub(super) fn snapshot(&self) -> LevinsonState {
        LevinsonState { of: self.of.clone(), ridge: self.ridge, order: self.order }
    }

    /// Goes on where another was; none if `state` is damaged.
    pub(super) fn restore(state: &LevinsonState) -> Option<Self> {
        let is_whole = state.of.len() == AUTOCOVARIANCES
            && state.of.iter().all(|x| x.is_finite())
            && state.ridge.is_finite()
            && state.order <= LAGS;
        let mut recursion = is_whole.then(|| Self::new(&state.of, state.ridge))?;
        (0..state.order).all(|_| recursion.extend()).then_some(recursion)
    }

    fn autocovariance(&self, lag: usize) -> Block {
        let block = self.of.get(lag * BLOCK..(lag + 1) * BLOCK).unwrap_or_default();
        Block::from_row_iterator(block.iter().map(|&x| f64::from(x)))
    }
}

/// What is kept of a [`Levinson`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LevinsonState {
    of: Vec<f32>,
    ridge: f64,
    order: usize,
}

exact!(LevinsonState { of, ridge, order });

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::ridge::{Moments, Packed};
    use super::*;

    /// Rows in which each group follows another one of 7 steps ago, and noise.
    fn series(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut out: Vec<f32> = Vec::with_capacity(n * GROUPS);
        for t in 0..n {
            for i in 0..GROUPS {
                let past = t.checked_sub(7).map_or(0.0, |at| out[at * GROUPS + (i + 1) % GROUPS]);
                out.push(0.8 * past + rng.random_range(-1.0..1.0f32));
            }
        }
        out
    }

    #[test]
    fn the_recursion_gives_the_ridge_regression_on_the_past() {
        let n = 6000;
        let series = series(n, 1);
        let mut sums = vec![0.0f64; AUTOCOVARIANCES];
        for t in LAGS..n {
            for lag in 0..=LAGS {
                for i in 0..GROUPS {
                    for j in 0..GROUPS {
                        let product = series[t * GROUPS + i] * series[(t - lag) * GROUPS + j];
                        sums[lag * BLOCK + i * GROUPS + j] += f64::from(product);
                    }
                }
            }
        }
        let sums: Vec<f32> = sums.iter().map(|&x| x as f32).collect();
        let penalty = 0.1;
        let mut recursion = Levinson::new(&sums, penalty * (n - LAGS) as f64);
        while !recursion.is_complete() {
            assert!(recursion.extend());
            if recursion.order == 37 {
                let json = serde_json::to_string(&recursion.snapshot()).unwrap();
                let again = Levinson::restore(&serde_json::from_str(&json).unwrap()).unwrap();
                assert_eq!((again.order, &again.forward), (37, &recursion.forward));
            }
        }
        let mut weights = vec![0.0; LAGS * BLOCK];
        recursion.weights(&mut weights);
        let mut moments = Moments::zero(LAGS, GROUPS);
        moments.add(&series, LAGS..n);
        let exact = Packed::solve([moments.packed()].iter(), penalty).unwrap();
        let worst = weights.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "{worst}");
        // group 0 by group 1 of 7 steps ago
        let of_first = weights[6 * BLOCK + GROUPS];
        assert!((of_first - 0.8 * 0.53 / (0.53 + penalty as f32)).abs() < 0.15, "{of_first}");
    }

    #[test]
    fn what_has_no_prediction_is_reported() {
        let mut sums = vec![0.0f32; AUTOCOVARIANCES];
        (0..GROUPS).for_each(|i| (sums[i * GROUPS + i], sums[BLOCK + i * GROUPS + i]) = (1.0, 2.0));
        let mut recursion = Levinson::new(&sums, 0.0);
        assert!((0..LAGS).any(|_| !recursion.extend()));
    }
}
