//! Distances that follow their moments, a few rows of a matrix at a time.

use serde::{Deserialize, Serialize};

use super::mahalanobis::{JITTER, Mahalanobis, shrinkage};
use super::row_moments::{DENSITIES, FORMS, Form, LONGEST, MOMENTS, Moments, is_level};
use crate::detect::exact::exact;
use crate::kernels::{Triangle, factorise_row};

/// Added to standard deviations.
pub(super) const LEAST: f32 = 0.02;
/// Rows of a matrix that a step factorises, at most.
const MOST_ROWS: usize = 12;
/// Smallest pivot.
const SMALLEST: f64 = 1e-9;

/// The Cholesky factor L of the shrunk correlation of one density after another, and L⁻¹, row by row:
/// Lᵢⱼ = (Aᵢⱼ − Σₖ LᵢₖLⱼₖ)/Lⱼⱼ and (L⁻¹)ᵢ = (eᵢ − Σₖ Lᵢₖ (L⁻¹)ₖ)/Lᵢᵢ.
#[derive(Debug, Clone)]
pub(super) struct Refit {
    density: usize,
    /// The next row; none before the moments are taken.
    row: Option<usize>,
    width: usize,
    /// The moments that it began with.
    of: Moments,
    scale: Vec<f32>,
    factor: Triangle<f64>,
    inverse: Triangle<f64>,
}

impl Refit {
    /// Of densities of rows of up to `most` numbers.
    pub(super) fn new(most: usize) -> Self {
        Self {
            density: 0,
            row: None,
            width: 0,
            of: Moments {
                form: Form::Half,
                mean: Vec::with_capacity(most),
                covariance: Triangle::zeros(most),
                weight: 1.0,
                fourth: 0.0,
            },
            scale: vec![0.0; most],
            factor: Triangle::zeros(most),
            inverse: Triangle::zeros(most),
        }
    }

    /// The number of the density whose turn it is.
    pub(super) fn turn(&self) -> usize {
        self.density
    }

    /// Goes on by a step, with the density whose [turn](Self::turn) it is.
    pub(super) fn step(&mut self, moments: &Moments, metric: &mut Mahalanobis) {
        let Some(first) = self.row else {
            self.begin(moments);
            return;
        };
        let last = (first + rows_at(self.of.weight)).min(self.width);
        let is_positive = (first..last).all(|row| self.factorise(row));
        self.row = Some(last);
        if !is_positive || last == self.width {
            if is_positive {
                self.finish(metric);
            }
            (self.density, self.row) = ((self.density + 1) % DENSITIES, None);
        }
    }

    /// Renews the distance of a density at once; false where its covariance has no factor.
    pub(super) fn complete(&mut self, moments: &Moments, metric: &mut Mahalanobis) -> bool {
        self.begin(moments);
        let is_positive = (0..self.width).all(|row| self.factorise(row));
        if is_positive {
            self.finish(metric);
        }
        self.row = None;
        is_positive
    }

    /// What is kept of it: the rows that are done follow from the moments that it began with.
    pub(super) fn snapshot(&self) -> RefitState {
        RefitState { density: self.density, begun: self.row.map(|row| (row, self.of.clone())) }
    }

    /// Goes on where another was; none if `state` is damaged.
    pub(super) fn restore(state: RefitState) -> Option<Self> {
        let form = *FORMS.get(state.density)?;
        let mut refit = Self { density: state.density, ..Self::new(MOMENTS) };
        if let Some((row, moments)) = state.begun {
            if row > form.width() || !moments.is_whole(form) {
                return None;
            }
            refit.begin(&moments);
            if !(0..row).all(|row| refit.factorise(row)) {
                return None;
            }
            refit.row = Some(row);
        }
        Some(refit)
    }

    /// Takes the shrunk correlation of the moments. Does not allocate.
    fn begin(&mut self, moments: &Moments) {
        let form = moments.form;
        let width = form.width();
        self.of.take(moments);
        (self.width, self.row) = (width, Some(0));
        for (i, scale) in self.scale.iter_mut().enumerate().take(width) {
            let variance = moments.covariance.row(i).last().copied().unwrap_or(0.0);
            *scale = 1.0 / (variance.max(0.0).sqrt() + LEAST);
        }
        let (mut trace, mut squared) = (0.0, 0.0);
        for i in 0..width {
            let both = self.factor.row_mut(i).iter_mut().zip(moments.covariance.row(i));
            let own = self.scale.get(i).copied().unwrap_or(0.0);
            for (j, ((to, c), scale)) in both.zip(&self.scale).enumerate() {
                *to = f64::from(*c) * f64::from(own) * f64::from(*scale);
                squared += if i == j { *to * *to } else { 2.0 * *to * *to };
                trace += if i == j { *to } else { 0.0 };
            }
        }
        let shrunk = shrinkage(width, (trace, squared), moments.fourth, moments.weight / form.overlap());
        let gain = f64::from(form.gain()).powi(2);
        for i in 0..width {
            let own =
                if is_level(i) { gain * f64::from(self.scale.get(i).copied().unwrap_or(0.0)) } else { 0.0 };
            for (j, (to, scale)) in self.factor.row_mut(i).iter_mut().zip(&self.scale).enumerate() {
                *to *= 1.0 - shrunk;
                if is_level(j) {
                    *to += own * f64::from(*scale);
                }
                if i == j {
                    *to += shrunk * trace / width as f64 + JITTER;
                }
            }
        }
    }

    /// Factorises a row, and inverts it; false where the matrix is not positive definite.
    fn factorise(&mut self, i: usize) -> bool {
        factorise_row(&mut self.factor, &mut self.inverse, i, SMALLEST)
    }

    fn finish(&self, metric: &mut Mahalanobis) {
        metric.renew(&self.of.mean, &self.scale, &self.inverse);
    }
}

/// Rows that a step factorises of moments that stand for `weight` rows: the fewer they are, the faster they change.
fn rows_at(weight: f64) -> usize {
    ((2.0 * LONGEST / weight).ceil() as usize).clamp(1, MOST_ROWS)
}

/// What is kept of a [`Refit`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefitState {
    density: usize,
    /// The next row, and the moments.
    begun: Option<(usize, Moments)>,
}

exact!(RefitState { density, begun });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_moments_are_renewed_soon_and_old_ones_at_leisure() {
        assert_eq!([200.0, 1200.0, 2400.0, 6000.0, LONGEST].map(rows_at), [12, 12, 10, 4, 2]);
    }
}
