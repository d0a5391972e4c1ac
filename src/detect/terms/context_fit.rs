//! Fits the prediction from seconds of context to a calibration.

use std::ops::Range;

use super::context::{
    CLIP, ContextModel, ERRORS, LAGS, SeriesRow, distance_of, error_moments, rows, standardise, window_steps,
};
use super::groups::GROUPS;
use super::levinson::{AUTOCOVARIANCES, BLOCK};
use super::ridge::{Moments, Packed};
use crate::detect::surprise::median;
use crate::error::Result;

/// Penalties for each target that are tried, ascending, and the one that is tried first.
const PENALTIES: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 30.0];
const FIRST_PENALTY: usize = 3;
/// Folds that a penalty is judged by.
const JUDGES: [usize; 2] = [1, 3];
/// Fewest targets of a fit, and folds that hold some: the first seconds of a short calibration are past only.
const FEWEST: usize = 150;
const FEWEST_FOLDS: usize = 3;
/// Frames of the past that the short prediction sees: 160 ms.
const SHORT_FRAMES: usize = 16;
/// Added to the deviation of a group.
const LEAST: f32 = 0.02;

/// What was received, as one fit sees it.
struct Series {
    rows: Vec<SeriesRow>,
    /// `[n, 8]`, standardised.
    values: Vec<f32>,
    mean: [f32; GROUPS],
    scale: [f32; GROUPS],
    /// Rows with a whole past, and the fold that each range lies in.
    targets: Vec<(Range<usize>, usize)>,
    folds: usize,
    step: usize,
}

/// The models for each fold, fitted to the others, and the model of all; none where there is too little sound. `powers` are those
/// of the groups of each frame, `usual` what they are on the average, `fold_of` tells the fold of a frame.
pub(super) fn fit(
    step: usize,
    powers: &[[f32; GROUPS]],
    usual: &[f32; GROUPS],
    breaks: &[usize],
    folds: usize,
    fold_of: &dyn Fn(usize) -> usize,
) -> Result<Option<(Vec<ContextModel>, ContextModel)>> {
    let series = Series::of(rows(powers, usual, breaks, step), step, folds, fold_of);
    let received: usize = series.targets.iter().map(|t| t.0.len()).sum();
    let has_targets = |fold: &usize| series.targets.iter().any(|t| t.1 == *fold);
    if received < FEWEST || (0..folds).filter(has_targets).count() < FEWEST_FOLDS {
        return Ok(None);
    }
    let Some(long) = series.predict(LAGS, &PENALTIES, FIRST_PENALTY) else { return Ok(None) };
    let Some(short) = series.predict(SHORT_FRAMES / step, &PENALTIES, 0) else { return Ok(None) };
    let gain = series.explained(&long.errors) - series.explained(&short.errors);
    let models = (0..folds).map(|fold| series.model(&long, gain, Some(fold)));
    let models = models.collect::<Result<Vec<_>>>()?;
    Ok(Some((models, series.model(&long, gain, None)?)))
}

/// What predicts the series.
struct Predicted {
    /// Weights for each fold, and those of all.
    of_folds: Vec<Vec<f32>>,
    of_all: Vec<f32>,
    /// The error of each row under the weights that have not seen it.
    errors: Vec<[f32; GROUPS]>,
    penalty: f64,
}

impl Series {
    fn of(rows: Vec<SeriesRow>, step: usize, folds: usize, fold_of: &dyn Fn(usize) -> usize) -> Self {
        let n = rows.len().max(1) as f64;
        let moment = |power: i32, about: &[f32; GROUPS]| -> [f64; GROUPS] {
            std::array::from_fn(|i| {
                rows.iter().map(|r| f64::from(r.values[i] - about[i]).powi(power)).sum::<f64>() / n
            })
        };
        let mean = moment(1, &[0.0; GROUPS]).map(|x| x as f32);
        let scale = moment(2, &mean).map(|x| 1.0 / (x.sqrt() as f32 + LEAST));
        let values = rows.iter().flat_map(|r| standardise(&r.values, &mean, &scale)).collect();
        let mut targets: Vec<(Range<usize>, usize)> = Vec::new();
        for (t, row) in rows.iter().enumerate().filter(|(_, row)| row.since >= LAGS) {
            let fold = fold_of(row.frame).min(folds - 1);
            match targets.last_mut() {
                Some((range, of)) if range.end == t && *of == fold => range.end = t + 1,
                _ => targets.push((t..t + 1, fold)),
            }
        }
        Self { rows, values, mean, scale, targets, folds, step }
    }

    fn row(&self, t: usize) -> [f32; GROUPS] {
        std::array::from_fn(|i| self.values.get(t * GROUPS + i).copied().unwrap_or(0.0))
    }

    /// Predictions from `lags` steps, with the penalty that is best at folds which were not fitted.
    fn predict(&self, lags: usize, penalties: &[f64], first: usize) -> Option<Predicted> {
        let part = |of: usize| {
            let mut moments = Moments::zero(lags, GROUPS);
            let own = self.targets.iter().filter(|(_, fold)| *fold == of);
            own.for_each(|(range, _)| moments.add(&self.values, range.clone()));
            moments.packed()
        };
        let parts: Vec<Packed> = (0..self.folds).map(part).collect();
        let solve = |left_out: Option<usize>, penalty| {
            let kept = parts.iter().enumerate().filter(|(fold, _)| Some(*fold) != left_out);
            Packed::solve(kept.map(|(_, part)| part), penalty)
        };
        let judge = |penalty: f64| -> Option<f64> {
            let mut error = 0.0;
            for fold in JUDGES.into_iter().filter(|&fold| fold < self.folds) {
                let weights = solve(Some(fold), penalty)?;
                error += self.errors(&weights, lags, fold).map(|(_, e)| squares(&e)).sum::<f64>();
            }
            Some(error)
        };
        // from the usual penalty to where it gets no better
        let (mut best, mut least) = (first, judge(*penalties.get(first)?)?);
        for downward in [true, false] {
            let mut at = best;
            while let Some(next) = if downward { at.checked_sub(1) } else { Some(at + 1) }
                && let Some(&penalty) = penalties.get(next)
            {
                let error = judge(penalty).unwrap_or(f64::INFINITY);
                if error >= least {
                    break;
                }
                (best, least, at) = (next, error, next);
            }
        }
        let penalty = *penalties.get(best)?;
        let mut errors = vec![[0.0; GROUPS]; self.rows.len()];
        let mut weights = Vec::with_capacity(self.folds);
        for fold in 0..self.folds {
            let own = solve(Some(fold), penalty)?;
            for (t, error) in self.errors(&own, lags, fold) {
                *errors.get_mut(t)? = error;
            }
            weights.push(own);
        }
        Some(Predicted { of_folds: weights, of_all: solve(None, penalty)?, errors, penalty })
    }

    /// The errors of weights at the targets of a fold.
    fn errors<'a>(
        &'a self,
        weights: &'a [f32],
        lags: usize,
        fold: usize,
    ) -> impl Iterator<Item = (usize, [f32; GROUPS])> + 'a {
        let ranges = self.targets.iter().filter(move |t| t.1 == fold).map(|t| t.0.clone());
        ranges.flatten().map(move |t| {
            let mut error = self.row(t);
            for (lag, weights) in (1..=lags).zip(weights.chunks_exact(GROUPS * GROUPS)) {
                for (x, weights) in self.row(t - lag).iter().zip(weights.chunks_exact(GROUPS)) {
                    error.iter_mut().zip(weights).for_each(|(e, w)| *e -= x * w);
                }
            }
            (t, error)
        })
    }

    /// Share of the variance of the targets that is predicted.
    fn explained(&self, errors: &[[f32; GROUPS]]) -> f32 {
        let targets = || self.targets.iter().flat_map(|t| t.0.clone());
        let left: f64 = targets().filter_map(|t| errors.get(t)).map(squares).sum();
        let all: f64 = targets().map(|t| squares(&self.row(t))).sum();
        (1.0 - left / all.max(1e-9)) as f32
    }

    /// Sums of x_t x_{t−l}ᵀ, l = 0 to 100, over all steps with a step l before them in the same piece of sound: those of a series
    /// with zeros at both ends, which have a prediction whatever the series is.
    fn autocovariances(&self) -> Vec<f32> {
        let mut sums = vec![0.0f64; AUTOCOVARIANCES];
        for (t, row) in self.rows.iter().enumerate() {
            let now = self.row(t);
            for (lag, sums) in (0..=row.since.min(LAGS)).zip(sums.chunks_exact_mut(BLOCK)) {
                let past = self.row(t - lag);
                for (x, sums) in now.iter().zip(sums.chunks_exact_mut(GROUPS)) {
                    sums.iter_mut().zip(&past).for_each(|(sum, y)| *sum += f64::from(x * y));
                }
            }
        }
        sums.iter().map(|&sum| sum as f32).collect()
    }

    /// A model with these weights and what the errors of all folds but one say of them.
    fn model(&self, predicted: &Predicted, gain: f32, left_out: Option<usize>) -> Result<ContextModel> {
        let Predicted { of_folds, of_all, errors, penalty } = predicted;
        let weights = left_out.and_then(|fold| of_folds.get(fold)).unwrap_or(of_all).clone();
        let kept = || self.targets.iter().filter(move |t| Some(t.1) != left_out).map(|t| t.0.clone());
        let of = |range: Range<usize>| errors.get(range).unwrap_or_default();
        let window = window_steps(self.step);
        let count = kept().map(|range| range.len()).sum::<usize>().max(1) as f64;
        let deviation = std::array::from_fn(|i| {
            let sum: f64 = kept().flat_map(of).map(|e| f64::from(e[i]).powi(2)).sum();
            ((sum / count).sqrt() as f32).max(1e-3)
        });
        let conditional = distance_of(kept().flat_map(of).copied())?;
        let autocovariances = if left_out.is_none() { self.autocovariances() } else { Vec::new() };
        let mut scratch = Vec::new();
        let mut distances: Vec<f64> =
            kept().flat_map(of).map(|error| conditional.distance(error, &mut scratch)).collect();
        Ok(ContextModel {
            step: self.step,
            mean: self.mean,
            scale: self.scale,
            weights,
            deviation,
            marginal: distance_of(kept().flatten().map(|t| self.row(t)))?,
            usual: median(&mut distances).max(1e-3) as f32,
            conditional,
            window: distance_of::<ERRORS>(
                kept().flat_map(|range| of(range).windows(window)).map(|errors| error_moments(errors.iter())),
            )?,
            autocovariances,
            targets: count,
            penalty: *penalty,
            gain,
        })
    }
}

fn squares(values: &[f32; GROUPS]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum()
}

const _: () = assert!(CLIP > 1.0);
