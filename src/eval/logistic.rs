//! The linear probe: L2-regularised multinomial logistic regression on standardised features.

use std::collections::BTreeSet;

use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::error::{Error, Result};

/// C, the weight of the data against the penalty ½ |W|², in rising order.
pub const C_GRID: [f64; 9] = [1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0];

/// Iterations of L-BFGS at most.
const ITERATIONS: u64 = 300;

/// The solver stops where the gradient is shorter than this for each clip.
const TOLERANCE: f64 = 1e-4;

/// Standard deviations from the mean that count as that many.
const OUTLIER: f64 = 6.0;

const POWER_ITERATIONS: usize = 12;

/// Steps down in a row after which larger C are not tried.
const PATIENCE: usize = 2;

/// A fitted probe.
#[derive(Debug, Clone)]
pub struct Probe {
    mean: Array1<f64>,
    scale: Array1<f64>,
    /// Divides every input of the model.
    unit: f64,
    /// Norm of the gradient at the end, for each clip.
    gradient: f64,
    model: MultiFittedLogisticRegression<f64, usize>,
}

impl Probe {
    /// Fits `x` `[clips, features]` to the classes `y`; mean and standard deviation of `x` standardise it, and a
    /// constant 1 beside the features takes the place of intercepts. `from` is a probe on the same clips to start
    /// at.
    ///
    /// # Errors
    /// When a feature is not finite, or the solver fails.
    pub fn fit(x: ArrayView2<'_, f64>, y: &[usize], c: f64, from: Option<&Self>) -> Result<Self> {
        let failed =
            |e: &dyn std::fmt::Display| Error::internal(format!("a linear probe cannot be fitted: {e}"));
        let mean = x.mean_axis(Axis(0)).ok_or_else(|| failed(&"no clips"))?;
        let scale = x.std_axis(Axis(0), 0.0).mapv(|sd| if sd > 1e-9 { 1.0 / sd } else { 0.0 });
        let mut inputs = standardised(x, &mean, &scale);
        // the solver's first step is the gradient itself: this unit makes it as long as the curvature allows
        let unit = (0.5 * largest_eigenvalue(&inputs)).sqrt().max(1.0);
        inputs /= unit;
        let mut parameters = MultiLogisticRegression::default()
            .alpha(1.0 / (c * unit * unit))
            .with_intercept(false)
            .max_iterations(ITERATIONS)
            .gradient_tolerance(TOLERANCE * y.len().max(1) as f64 / unit);
        if let Some(Self { model, .. }) = from {
            parameters = parameters.initial_params(model.params().clone());
        }
        let data = Dataset::new(inputs, Array1::from(y.to_vec()));
        let model = parameters.fit(&data).map_err(|e| failed(&e))?;
        let slope = gradient(data.records(), y, &model, 1.0 / (c * unit * unit));
        let gradient = unit * slope.mapv(|g| g * g).sum().sqrt() / y.len().max(1) as f64;
        Ok(Self { mean, scale, unit, gradient, model })
    }

    /// Whether the solver has come to the minimum. With a weak penalty it may not: the library's sum of
    /// exponentials loses clips whose logits lie 34 below the largest of all.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.gradient < 5.0 * TOLERANCE
    }

    /// The class of each row of `x`.
    #[must_use]
    pub fn predict(&self, x: ArrayView2<'_, f64>) -> Vec<usize> {
        self.model.predict(&(standardised(x, &self.mean, &self.scale) / self.unit)).to_vec()
    }

    /// The share of rows of `x` whose class is the one in `y`.
    #[must_use]
    pub fn accuracy(&self, x: ArrayView2<'_, f64>, y: &[usize]) -> f64 {
        let right = self.predict(x).iter().zip(y).filter(|(found, wanted)| found == wanted).count();
        right as f64 / y.len().max(1) as f64
    }
}

/// Features in standard deviations from the mean, at most [`OUTLIER`] of them, and a column of 1.
fn standardised(x: ArrayView2<'_, f64>, mean: &Array1<f64>, scale: &Array1<f64>) -> Array2<f64> {
    let mut all = Array2::ones((x.nrows(), x.ncols() + 1));
    let (mut features, _) = all.view_mut().split_at(Axis(1), x.ncols());
    features.assign(&((&x - mean) * scale).mapv(|z| z.clamp(-OUTLIER, OUTLIER)));
    all
}

/// Of the cost by the weights: xᵀ (p − y) + α W.
fn gradient(
    x: &Array2<f64>,
    y: &[usize],
    model: &MultiFittedLogisticRegression<f64, usize>,
    alpha: f64,
) -> Array2<f64> {
    let mut residual = model.predict_probabilities(x);
    for (mut row, class) in residual.rows_mut().into_iter().zip(y) {
        if let Some(p) = model.classes().binary_search(class).ok().and_then(|i| row.get_mut(i)) {
            *p -= 1.0;
        }
    }
    x.t().dot(&residual) + model.params() * alpha
}

/// Of xᵀx, by power iteration.
fn largest_eigenvalue(x: &Array2<f64>) -> f64 {
    let mut direction = Array1::from_elem(x.ncols(), 1.0);
    let mut value = 0.0;
    for _ in 0..POWER_ITERATIONS {
        let image = x.t().dot(&x.dot(&direction));
        value = image.dot(&image).sqrt() / direction.dot(&direction).sqrt().max(f64::MIN_POSITIVE);
        direction = &image / image.dot(&image).sqrt().max(f64::MIN_POSITIVE);
    }
    value
}

/// The C of [`C_GRID`] with the best accuracy in leave-one-group-out cross-validation, the smallest of equals, and
/// that accuracy. A C with which the solver does not settle ends the search.
///
/// # Errors
/// As [`Probe::fit`].
pub fn choose_c(x: ArrayView2<'_, f64>, y: &[usize], groups: &[usize]) -> Result<(f64, f64)> {
    let names: BTreeSet<usize> = groups.iter().copied().collect();
    let mut folds = Vec::new();
    for name in names {
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..y.len()).partition(|&i| groups.get(i) == Some(&name));
        let classes =
            |rows: &[usize]| -> Vec<usize> { rows.iter().filter_map(|&i| y.get(i).copied()).collect() };
        let learnt = classes(&kept);
        if learnt.iter().collect::<BTreeSet<_>>().len() >= 2 && !held.is_empty() {
            let part = |rows: &[usize]| x.select(Axis(0), rows);
            folds.push((part(&kept), learnt, part(&held), classes(&held)));
        }
    }
    let Some(mut best) = C_GRID.first().map(|&c| (c, f64::NEG_INFINITY)) else { return Ok((1.0, 0.0)) };
    let mut started: Vec<Option<Probe>> = vec![None; folds.len()];
    let mut worse = 0;
    for c in C_GRID {
        let (mut right, mut asked, mut settled) = (0.0, 0.0, true);
        for ((kept, learnt, held, wanted), start) in folds.iter().zip(&mut started) {
            let probe = Probe::fit(kept.view(), learnt, c, start.as_ref())?;
            right += probe.accuracy(held.view(), wanted) * wanted.len() as f64;
            asked += wanted.len() as f64;
            settled &= probe.settled();
            *start = Some(probe);
        }
        if !settled {
            tracing::debug!(c, "the probe does not settle: larger C are not tried");
            break;
        }
        let accuracy = right / f64::max(asked, 1.0);
        worse = if accuracy > best.1 { 0 } else { worse + 1 };
        if accuracy > best.1 {
            best = (c, accuracy);
        }
        if worse == PATIENCE {
            break;
        }
    }
    Ok(best)
}

/// 95 % interval of a share of `asked` answers (Wilson 1927).
#[must_use]
pub fn wilson(share: f64, asked: usize) -> (f64, f64) {
    let (z, n) = (1.959_964, asked.max(1) as f64);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes on a line, 40 points each, the second feature constant.
    fn line() -> (Array2<f64>, Vec<usize>) {
        let y: Vec<usize> = (0..120).map(|i| i % 3).collect();
        let x = y.iter().enumerate().flat_map(|(i, &class)| [5.0 * class as f64 + (i as f64).sin(), 7.0]);
        (Array2::from_shape_vec((120, 2), x.collect()).unwrap(), y)
    }

    #[test]
    fn separable_classes_are_separated() {
        let (x, y) = line();
        let probe = Probe::fit(x.view(), &y, 1.0, None).unwrap();
        assert_eq!(probe.accuracy(x.view(), &y), 1.0);
        let groups: Vec<usize> = (0..120).map(|i| i / 40).collect();
        let (_, accuracy) = choose_c(x.view(), &y, &groups).unwrap();
        assert!(accuracy > 0.95, "{accuracy}");
    }

    #[test]
    fn a_start_elsewhere_ends_at_the_same_place() {
        let (x, y) = line();
        let cold = Probe::fit(x.view(), &y, 1e-2, None).unwrap();
        let other = Probe::fit(x.view(), &y, 1.0, None).unwrap();
        let warm = Probe::fit(x.view(), &y, 1e-2, Some(&other)).unwrap();
        let difference = cold.model.params() - warm.model.params();
        assert!(difference.iter().all(|d| d.abs() < 1e-2), "{difference}");
    }

    /// `n` clips of `classes` with correlated features, and an outlier.
    fn clips(n: usize, features: usize, classes: usize) -> (Array2<f64>, Vec<usize>) {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        let mut draw =
            |count: usize| -> Vec<f64> { (0..count).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let y: Vec<usize> = (0..n).map(|i| i % classes).collect();
        let centres = Array2::from_shape_vec((classes, features), draw(classes * features)).unwrap();
        let shared = draw(features);
        let mut x = Array2::zeros((n, features));
        for (mut row, &class) in x.rows_mut().into_iter().zip(&y) {
            let (own, common) = (draw(features), 4.0 * draw(1)[0]);
            for (i, value) in row.iter_mut().enumerate() {
                *value = 0.3 * centres[[class, i]] + own[i] + common * shared[i];
            }
        }
        x.row_mut(0).fill(300.0);
        (x, y)
    }

    #[test]
    fn the_fit_is_where_the_gradient_vanishes() {
        let (x, y) = clips(300, 60, 10);
        for c in C_GRID {
            let probe = Probe::fit(x.view(), &y, c, None).unwrap();
            assert!(probe.settled() || c > 0.1, "C = {c}: the gradient is {}", probe.gradient);
            let inputs = standardised(x.view(), &probe.mean, &probe.scale);
            let nudged = |step: f64| {
                let mut w = probe.model.params() / probe.unit;
                w[[3, 4]] += step;
                cost(&inputs, &y, &w, c)
            };
            // at a minimum every other place costs more
            assert!(!probe.settled() || nudged(0.02).min(nudged(-0.02)) > nudged(0.0), "C = {c}");
        }
    }

    /// -Σ ln p(y) + |W|² / 2C.
    fn cost(inputs: &Array2<f64>, y: &[usize], w: &Array2<f64>, c: f64) -> f64 {
        let logits = inputs.dot(w);
        let of_clip = |(row, &class): (ndarray::ArrayView1<'_, f64>, &usize)| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            top + row.mapv(|h| (h - top).exp()).sum().ln() - row[class]
        };
        let data: f64 = logits.rows().into_iter().zip(y).map(of_clip).sum();
        data + 0.5 / c * w.mapv(|w| w * w).sum()
    }

    #[test]
    fn a_strong_penalty_keeps_weights_small() {
        let (x, y) = line();
        let norm = |c| Probe::fit(x.view(), &y, c, None).unwrap().model.params().mapv(|w| w * w).sum();
        assert!(norm(1e-4) < 1e-2 * norm(1.0));
    }

    #[test]
    fn the_interval_of_a_share() {
        let (low, high) = wilson(0.5, 100);
        assert!((low - 0.4038).abs() < 1e-3 && (high - 0.5962).abs() < 1e-3, "{low} {high}");
        assert!(wilson(1.0, 10).0 < 0.8 && wilson(1.0, 10).1 > 0.999);
    }
}
