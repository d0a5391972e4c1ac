//! The density of windows of sound at a site, which goes on learning.

use serde::{Deserialize, Serialize};

use super::mahalanobis::Mahalanobis;
use super::refit::Refit;
use super::row_moments::{DENSITIES, FORMS, Form, LONGEST, Moments};
use crate::detect::exact::exact;
use crate::detect::gram::{Products, Rows, means, variances};
use crate::error::{Error, Result};
use crate::kernels::{Triangle, add_outer};

/// A row or a step at this squared distance (1 is usual) or nearer counts whole, a farther step by the reciprocal of its distance, as
/// in a fit of Student's t, so that another rhythm is learnt ...
const NEAR: f64 = 2.0;
/// ... and a farther row by this power of it: a few seconds of another sound hardly move what is usual, and the same sound is
/// improbable again a minute later.
const POWER_OF_ROWS: i32 = 3;

/// A normal law of rows: its moments follow each new row, its distance follows them some seconds later ([`Refit`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Moments", into = "Moments")]
pub(in crate::detect) struct Density {
    pub(super) moments: Moments,
    pub(super) metric: Mahalanobis,
}

impl Density {
    /// Fits `rows` `[n, width]`.
    ///
    /// # Errors
    /// When there are fewer than 2 rows, or values that are not finite.
    #[cfg(test)]
    pub(super) fn fit(rows: &[f32], form: Form) -> Result<Self> {
        Self::fit_rows(&|take| rows.chunks_exact(form.width()).for_each(&mut *take), form)
    }

    /// Fits rows `[width]` that are called back with.
    ///
    /// # Errors
    /// When there are fewer than 2 rows, or values that are not finite.
    pub(super) fn fit_rows(rows: Rows<'_>, form: Form) -> Result<Self> {
        let width = form.width();
        let (n, means) = means(rows, width);
        if n < 2 {
            return Err(crate::detect::row_layout::too_short(0));
        }
        let variances = variances(rows, n, &means);
        let deviations: Vec<f64> =
            variances.iter().map(|v| v.sqrt() + f64::from(super::refit::LEAST)).collect();
        let (mut products, mut fourth) = (Products::new(width, width), 0.0);
        rows(&mut |row| {
            let both = row.iter().zip(&means).zip(&deviations);
            let z = || both.clone().map(|((&x, mean), d)| ((f64::from(x) - mean) / d) as f32);
            fourth += f64::from(z().map(|x| x * x).sum::<f32>()).powi(2);
            products.add(z(), z());
        });
        let correlation = products.sum() / n as f64;
        let covariance = Triangle::of(width, |i, j| {
            let product = deviations.get(i).zip(deviations.get(j)).map_or(0.0, |(a, b)| a * b);
            (correlation[(i, j)] * product) as f32
        });
        let mean = means.iter().map(|&x| x as f32).collect();
        Self::of(Moments { form, mean, covariance, weight: n as f64, fourth: fourth / n as f64 })
    }

    fn of(moments: Moments) -> Result<Self> {
        let damaged = || {
            Error::config(
                "the covariance of calibration has no Cholesky factor: scores at calibration are not finite",
                "check the input, and run `calibrate` again",
            )
        };
        if !moments.is_whole(moments.form) {
            return Err(damaged());
        }
        let width = moments.form.width();
        let mut density = Self { moments, metric: Mahalanobis::identity(width) };
        if Refit::new(width).complete(&density.moments, &mut density.metric) {
            Ok(density)
        } else {
            Err(damaged())
        }
    }

    /// Squared distance of a row over its width: about 1 for usual ones.
    pub(super) fn distance(&self, row: &[f32], scratch: &mut Vec<f32>) -> f64 {
        self.metric.distance(row, scratch)
    }

    /// Takes in a row at `distance` that stands for `count` rows; the distances of rows stay until the next renewal. Does not
    /// allocate.
    pub(super) fn learn(&mut self, row: &[f32], distance: f64, count: f64, scratch: &mut Vec<f32>) {
        let weight = count * weight_at(distance).powi(POWER_OF_ROWS);
        if !weight.is_finite() {
            return;
        }
        let Moments { mean, covariance, weight: total, .. } = &mut self.moments;
        let share = (weight / (*total + weight)) as f32;
        *total = (*total + weight).min(LONGEST);
        scratch.clear();
        scratch.extend(row.iter().zip(mean.iter()).map(|(x, m)| x - m));
        mean.iter_mut().zip(scratch.iter()).for_each(|(m, d)| *m += share * d);
        add_outer(covariance, scratch, 1.0 - share, share * (1.0 - share));
    }

    /// All of it, to be kept.
    pub(super) fn snapshot(&self) -> DensityState {
        DensityState { moments: self.moments.clone(), metric: self.metric.clone() }
    }

    /// Goes on where another was; none if `state` is damaged.
    pub(super) fn restore(state: DensityState, form: Form) -> Option<Self> {
        let density = Self { moments: state.moments, metric: state.metric };
        density.is_whole(form).then_some(density)
    }

    pub(super) fn is_whole(&self, form: Form) -> bool {
        self.moments.is_whole(form) && self.metric.is_whole(form.width())
    }
}

impl TryFrom<Moments> for Density {
    type Error = Error;

    fn try_from(moments: Moments) -> Result<Self> {
        Self::of(moments)
    }
}

impl From<Density> for Moments {
    fn from(density: Density) -> Self {
        density.moments
    }
}

/// What a step at `distance` counts, 0 to 1.
pub(super) fn weight_at(distance: f64) -> f64 {
    if distance > NEAR { NEAR / distance } else { 1.0 }
}

/// What is kept of a [`Density`] that goes on learning: the distance in force is that of earlier moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DensityState {
    moments: Moments,
    metric: Mahalanobis,
}

exact!(DensityState { moments, metric });

/// Whether these could have come from a fit.
pub(in crate::detect) fn are_whole(parts: &[Density; DENSITIES]) -> bool {
    parts.iter().zip(FORMS).all(|(density, form)| density.is_whole(form))
}

#[cfg(test)]
pub(super) mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::modulation;
    use super::*;

    pub(in super::super) fn row(rng: &mut ChaCha8Rng, shift: f32) -> Vec<f32> {
        let common = rng.random_range(-1.0..1.0f32);
        (0..modulation::WIDTH)
            .map(|i| shift + common * (i % 5) as f32 + rng.random_range(-1.0..1.0f32))
            .collect()
    }

    pub(in super::super) fn of_rows(rows: usize, rng: &mut ChaCha8Rng) -> Density {
        let flat: Vec<f32> = (0..rows).flat_map(|_| row(rng, 0.0)).collect();
        Density::fit(&flat, FORMS[3]).unwrap()
    }

    impl Density {
        /// The same, as a density of something else of the same width.
        pub(in super::super) fn as_form(&self, form: Form) -> Self {
            Self::of(Moments { form, ..self.moments.clone() }).unwrap()
        }
    }

    #[test]
    fn rows_like_those_of_the_fit_have_a_distance_of_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let density = of_rows(4000, &mut rng);
        let mut scratch = Vec::new();
        let mean =
            (0..1000).map(|_| density.distance(&row(&mut rng, 0.0), &mut scratch)).sum::<f64>() / 1000.0;
        assert!((mean - 1.0).abs() < 0.1, "{mean}");
        let json = serde_json::to_string(&density).unwrap();
        assert_eq!(serde_json::from_str::<Density>(&json).unwrap(), density);
        let broken = json.replace("\"weight\":4000.0", "\"weight\":-1.0");
        assert!(serde_json::from_str::<Density>(&broken).is_err());
    }

    /// Learning row by row gives the moments of a fit to all rows.
    #[test]
    fn learning_is_a_fit_to_all() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let rows: Vec<Vec<f32>> = (0..900).map(|_| row(&mut rng, 0.0)).collect();
        let mut learnt = Density::fit(&rows[..600].concat(), FORMS[3]).unwrap();
        let mut scratch = Vec::new();
        rows[600..].iter().for_each(|row| learnt.learn(row, 1.0, 1.0, &mut scratch));
        let all = Density::fit(&rows.concat(), FORMS[3]).unwrap();
        assert_eq!(learnt.moments.weight, 900.0);
        for (a, b) in learnt.moments.covariance.numbers().zip(all.moments.covariance.numbers()) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
    }
}
