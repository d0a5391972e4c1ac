//! The density of windows of sound at a site, which goes on learning.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::mahalanobis::Mahalanobis;
use super::model::MOMENTS;
use super::modulation;
use super::refit::{Refit, RefitState};
use crate::error::{Error, Result};
use crate::units::BANDS;

/// How many densities there are: of half a second, of a quarter, of errors of the short prediction, of modulation.
pub(super) const DENSITIES: usize = 4;
/// Rows that count at most: 10 min. What is older gives way.
const LONGEST: f64 = 12_000.0;
/// A row at this squared distance (1 is usual) or nearer counts whole, a farther one by the reciprocal of its distance, as in a fit
/// of Student's t.
const NEAR: f64 = 2.0;
/// Standard deviation of a change of gain that is no sign of anything, in ln of power, of bands and of errors.
const GAIN: f32 = 0.7;
const GAIN_OF_ERRORS: f32 = 0.2;

/// What a density is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub(super) width: usize,
    /// Standard deviation of the first 64 coordinates together that means nothing.
    pub(super) gain: Option<f32>,
    /// Rows that share sound with a row: so many count as one.
    pub(super) overlap: f64,
}

/// The forms, in the order of the terms.
pub(super) const FORMS: [Form; DENSITIES] = [
    Form { width: MOMENTS, gain: Some(GAIN), overlap: 10.0 },
    Form { width: MOMENTS, gain: Some(GAIN), overlap: 5.0 },
    Form { width: MOMENTS, gain: Some(GAIN_OF_ERRORS), overlap: 10.0 },
    Form { width: modulation::WIDTH, gain: None, overlap: 13.0 },
];

/// Mean and covariance of rows, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moments {
    pub(super) mean: Vec<f32>,
    /// The lower triangle, row by row.
    pub(super) covariance: Vec<f32>,
    /// Rows that it stands for.
    pub(super) weight: f64,
    /// Mean fourth power of the norm of standardised rows.
    pub(super) fourth: f64,
}

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
    pub(super) fn fit(rows: &[f32], form: Form) -> Result<Self> {
        let (width, n) = (form.width, rows.len() / form.width);
        if n < 2 {
            return Err(crate::detect::site::too_short(0));
        }
        let mut z = DMatrix::from_row_slice(n, width, rows.get(..n * width).unwrap_or_default());
        let (mut mean, mut deviations) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for mut column in z.column_iter_mut() {
            let middle = column.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            let variance = column.iter().map(|&x| (f64::from(x) - middle).powi(2)).sum::<f64>() / n as f64;
            let deviation = variance.sqrt() + f64::from(super::refit::LEAST);
            column.iter_mut().for_each(|x| *x = ((f64::from(*x) - middle) / deviation) as f32);
            mean.push(middle as f32);
            deviations.push(deviation);
        }
        let correlation = z.transpose() * &z;
        let lower = (0..width).flat_map(|i| (0..=i).map(move |j| (i, j)));
        let raw = |(i, j): (usize, usize)| {
            let product = deviations.get(i).zip(deviations.get(j)).map_or(0.0, |(a, b)| a * b);
            (f64::from(correlation[(i, j)]) / n as f64 * product) as f32
        };
        let covariance = lower.map(raw).collect();
        let fourth = z.row_iter().map(|row| f64::from(row.norm_squared()).powi(2)).sum::<f64>() / n as f64;
        Self::of(Moments { mean, covariance, weight: n as f64, fourth })
    }

    fn of(moments: Moments) -> Result<Self> {
        let form = FORMS.into_iter().find(|form| form.width == moments.mean.len());
        let damaged = || {
            Error::config(
                "the covariance of calibration has no Cholesky factor: scores at calibration are not finite",
                "check the input, and run `calibrate` again",
            )
        };
        let form = form.filter(|form| moments.is_whole(form.width)).ok_or_else(damaged)?;
        let width = form.width;
        let metric = Mahalanobis::identity(width);
        let mut density = Self { moments, metric };
        if Refit::new().complete(&mut density, form) { Ok(density) } else { Err(damaged()) }
    }

    /// Squared distance of a row over its width: about 1 for usual ones.
    pub(super) fn distance(&self, row: &[f32], scratch: &mut Vec<f32>) -> f64 {
        self.metric.distance(row, scratch)
    }

    /// Takes in a row at `distance`.
    fn learn(&mut self, row: &[f32], distance: f64, scratch: &mut Vec<f32>) {
        let weight = if distance > NEAR { NEAR / distance } else { 1.0 };
        if !weight.is_finite() {
            return;
        }
        let Moments { mean, covariance, weight: total, .. } = &mut self.moments;
        let share = (weight / (*total + weight)) as f32;
        *total = (*total + weight).min(LONGEST);
        scratch.clear();
        scratch.extend(row.iter().zip(mean.iter()).map(|(x, m)| x - m));
        mean.iter_mut().zip(scratch.iter()).for_each(|(m, d)| *m += share * d);
        let mut rest = covariance.as_mut_slice();
        for (i, d) in scratch.iter().enumerate() {
            let (line, after) = rest.split_at_mut((i + 1).min(rest.len()));
            let (kept, added) = (1.0 - share, share * (1.0 - share) * d);
            line.iter_mut().zip(scratch.iter()).for_each(|(c, e)| *c = kept * *c + added * e);
            rest = after;
        }
    }

    pub(super) fn is_whole(&self, form: Form) -> bool {
        self.moments.is_whole(form.width) && self.metric.is_whole(form.width)
    }
}

impl Moments {
    /// Becomes like `other`. Does not allocate where it has room.
    pub(super) fn take(&mut self, other: &Self) {
        self.mean.clone_from(&other.mean);
        self.covariance.clone_from(&other.covariance);
        (self.weight, self.fourth) = (other.weight, other.fourth);
    }

    pub(super) fn is_whole(&self, width: usize) -> bool {
        self.mean.len() == width
            && self.covariance.len() == width * (width + 1) / 2
            && self.mean.iter().chain(&self.covariance).all(|x| x.is_finite())
            && self.weight >= 1.0
            && self.weight.is_finite()
            && self.fourth.is_finite()
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

/// The densities of a stream: those of calibration to begin with, from then on also of what was heard since.
///
/// Minutes of a site do not show all that it does, and no site stays as it was. Each row moves the moments, by no more than a row in
/// 10 min of them; five rows of a matrix are factorised at each step, so that no step takes long and each distance is renewed
/// every 4.6 s. A row moves them less the farther it is, and what is far altogether only after half a minute
/// ([`TermState::follows`](super::TermState::follows)).
#[derive(Debug, Clone)]
pub(in crate::detect) struct Densities {
    parts: [Density; DENSITIES],
    refit: Refit,
    scratch: Vec<f32>,
}

impl Densities {
    /// Those of a calibration or of a kept state.
    pub(in crate::detect) fn new(parts: &[Density; DENSITIES]) -> Self {
        Self { parts: parts.clone(), refit: Refit::new(), scratch: Vec::with_capacity(MOMENTS) }
    }

    /// As they are now.
    pub(in crate::detect) fn parts(&self) -> &[Density; DENSITIES] {
        &self.parts
    }

    /// All of it, to be kept.
    pub(in crate::detect) fn snapshot(&self) -> DensitiesState {
        DensitiesState {
            moments: self.parts.each_ref().map(|density| density.moments.clone()),
            metrics: self.parts.each_ref().map(|density| density.metric.clone()),
            refit: self.refit.snapshot(),
        }
    }

    /// Goes on where others were when `state` was taken of them; none if it is damaged.
    pub(in crate::detect) fn restore(state: DensitiesState) -> Option<Self> {
        let DensitiesState { moments, metrics, refit } = state;
        let mut metrics = metrics.into_iter();
        let parts = moments.map(|moments| metrics.next().map(|metric| Density { moments, metric }));
        let [Some(a), Some(b), Some(c), Some(d)] = parts else { return None };
        let parts = [a, b, c, d];
        if !are_whole(&parts) {
            return None;
        }
        let refit = Refit::restore(refit)?;
        Some(Self { parts, refit, scratch: Vec::with_capacity(MOMENTS) })
    }

    /// Takes in the rows of now, which are at `distances`, and goes on with the factorisation. Does not allocate.
    pub(super) fn learn(&mut self, rows: [&[f32]; DENSITIES], distances: [f64; DENSITIES]) {
        for ((density, row), distance) in self.parts.iter_mut().zip(rows).zip(distances) {
            density.learn(row, distance, &mut self.scratch);
        }
        self.refit.step(&mut self.parts);
    }
}

/// What is kept of [`Densities`]: moments, the distances in force, and the renewal that goes on, so that a stream goes on exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct DensitiesState {
    moments: [Moments; DENSITIES],
    metrics: [Mahalanobis; DENSITIES],
    refit: RefitState,
}

/// Whether these could have come from a fit.
pub(in crate::detect) fn are_whole(parts: &[Density; DENSITIES]) -> bool {
    parts.iter().zip(FORMS).all(|(density, form)| density.is_whole(form))
}

/// The first 64 coordinates, by which a change of gain moves all alike.
pub(super) fn is_level(coordinate: usize) -> bool {
    coordinate < BANDS
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn row(rng: &mut ChaCha8Rng, shift: f32) -> Vec<f32> {
        let common = rng.random_range(-1.0..1.0f32);
        (0..modulation::WIDTH)
            .map(|i| shift + common * (i % 5) as f32 + rng.random_range(-1.0..1.0f32))
            .collect()
    }

    fn of_rows(rows: usize, rng: &mut ChaCha8Rng) -> Density {
        let flat: Vec<f32> = (0..rows).flat_map(|_| row(rng, 0.0)).collect();
        Density::fit(&flat, FORMS[3]).unwrap()
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
        rows[600..].iter().for_each(|row| learnt.learn(row, 1.0, &mut scratch));
        let all = Density::fit(&rows.concat(), FORMS[3]).unwrap();
        assert_eq!(learnt.moments.weight, 900.0);
        for (a, b) in learnt.moments.covariance.iter().zip(&all.moments.covariance) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
    }

    #[test]
    fn what_was_kept_goes_on_exactly_at_any_step_of_a_renewal() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let narrow = of_rows(300, &mut rng);
        let flat: Vec<f32> = (0..300 * MOMENTS).map(|_| rng.random_range(-1.0..1.0f32)).collect();
        let wide = Density::fit(&flat, FORMS[0]).unwrap();
        let mut live = Densities::new(&[wide.clone(), wide.clone(), wide, narrow]);
        let mut restored = live.clone();
        for step in 0..230 {
            let now: Vec<f32> = (0..MOMENTS).map(|_| rng.random_range(-2.0..2.0f32)).collect();
            let rows = [&now[..], &now, &now, &now[..modulation::WIDTH]];
            live.learn(rows, [1.0; DENSITIES]);
            restored.learn(rows, [1.0; DENSITIES]);
            assert!(live.parts == restored.parts, "step {step}");
            if step % 17 == 0 {
                let json = serde_json::to_string(&live.snapshot()).unwrap();
                restored = Densities::restore(serde_json::from_str(&json).unwrap()).unwrap();
            }
        }
        let mut damaged = serde_json::to_value(live.snapshot()).unwrap();
        damaged["refit"]["density"] = 4.into();
        assert!(Densities::restore(serde_json::from_value(damaged).unwrap()).is_none());
    }

    #[test]
    fn what_stays_becomes_usual_and_what_is_short_does_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let narrow = of_rows(2000, &mut rng);
        let wide = |rng: &mut ChaCha8Rng| {
            let flat: Vec<f32> = (0..2000 * MOMENTS).map(|_| rng.random_range(-1.0..1.0f32)).collect();
            Density::fit(&flat, FORMS[0]).unwrap()
        };
        let usual = wide(&mut rng);
        let mut densities = Densities::new(&[usual.clone(), usual.clone(), usual, narrow]);
        let zero = vec![0.0; MOMENTS];
        let mut hear = |shift: f32, rows: usize, rng: &mut ChaCha8Rng| {
            let mut last = 0.0;
            for _ in 0..rows {
                let now = row(rng, shift);
                last = densities.parts()[3].distance(&now, &mut Vec::new());
                densities.learn([&zero, &zero, &zero, &now], [1.0, 1.0, 1.0, last]);
            }
            last
        };
        let first = hear(6.0, 1, &mut rng);
        assert!(first > 8.0, "{first}");
        let brief = hear(6.0, 60, &mut rng);
        assert!(brief > 0.7 * first, "{brief} after {first}");
        let lasting = hear(6.0, 6000, &mut rng);
        assert!(lasting < 2.0, "{lasting}");
    }
}
