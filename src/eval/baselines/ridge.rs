//! Residuals of a ridge regression from the last two seconds.

use std::ops::Range;

use nalgebra::{Cholesky, DMatrix};

use super::gaussian::gaussian_scores;
use super::groups::{GROUPS, Groups, STEP, STEPS_PER_S};
use super::rows::moments_of;
use super::{Baseline, ROW, StreamFeatures};
use crate::error::{Error, Result};

/// Steps that the present is predicted from: 2 s.
const PAST: usize = 2 * STEPS_PER_S;
const INPUTS: usize = PAST * GROUPS;
/// Steps that residuals are averaged over: 0.3 s.
const WINDOW: usize = 3 * STEPS_PER_S / 10;
/// Penalty of the weights a known step, in units of the standardised groups.
const PENALTY: f64 = 0.3;
/// Contiguous pieces of time, each of which is predicted by a fit to the others.
const FOLDS: usize = 5;

/// Ridge regression from the last 2 s of 16 groups of bands at 50 Hz (1,600 numbers) to the groups of the present:
/// mean and deviation of the signed residual over 0.3 s, Mahalanobis. The quiet part is predicted by fits to the rest of
/// it.
#[derive(Debug, Clone, Copy)]
pub struct Ridge;

impl Baseline for Ridge {
    fn name(&self) -> &'static str {
        "ridge 2 s"
    }

    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>> {
        let groups = Groups::of(sound, quiet);
        let residuals = residuals(&groups)?;
        let rows = sound.frames() / ROW;
        let ends = (0..rows).map(|row| Groups::end_of_row(row).min(groups.steps()));
        let windows = ends.map(|end| end.saturating_sub(WINDOW)..end);
        let first = ((PAST + WINDOW) * STEP).div_ceil(ROW);
        gaussian_scores(&moments_of(&residuals, GROUPS, windows), 2 * GROUPS, first..quiet)
    }
}

/// The residual of each step, `[steps, GROUPS]`; 0 where there is no past of 2 s.
fn residuals(groups: &Groups) -> Result<Vec<f32>> {
    let known = groups.known;
    if known < PAST + FOLDS * WINDOW {
        return Err(Error::config(
            format!("{:.1} s to fit a ridge regression to", known as f64 / STEPS_PER_S as f64),
            "give a longer quiet part",
        ));
    }
    let edge = |fold: usize| PAST + fold * (known - PAST) / FOLDS;
    let pieces: Vec<Range<usize>> = (0..FOLDS).map(|fold| edge(fold)..edge(fold + 1)).collect();
    let grams: Vec<DMatrix<f64>> = pieces.iter().map(|p| groups.gram(PAST + 1, p.clone())).collect();
    let mut all = DMatrix::zeros(INPUTS + GROUPS, INPUTS + GROUPS);
    grams.iter().for_each(|gram| all += gram);
    let mut out = vec![0f32; groups.values.len()];
    for (piece, gram) in pieces.iter().zip(&grams) {
        let weights = solve(&(&all - gram), known - PAST - piece.len())?;
        predict(groups, &weights, piece.clone(), &mut out);
    }
    predict(groups, &solve(&all, known - PAST)?, known..groups.steps(), &mut out);
    Ok(out)
}

/// Weights `[INPUTS, GROUPS]` from the moments of past and present over `count` steps.
fn solve(gram: &DMatrix<f64>, count: usize) -> Result<DMatrix<f64>> {
    let mut inputs = gram.view((0, 0), (INPUTS, INPUTS)).into_owned();
    for i in 0..INPUTS {
        inputs[(i, i)] += PENALTY * count as f64;
    }
    let factor = Cholesky::new(inputs)
        .ok_or_else(|| Error::internal("the moments of the quiet part are not positive definite"))?;
    Ok(factor.solve(&gram.view((0, INPUTS), (INPUTS, GROUPS)).into_owned()))
}

fn predict(groups: &Groups, weights: &DMatrix<f64>, steps: Range<usize>, out: &mut [f32]) {
    for step in steps {
        let past = groups.window(step - PAST, step);
        let present = groups.window(step, step + 1);
        for (group, &value) in present.iter().enumerate() {
            let foreseen: f64 = weights.column(group).iter().zip(past).map(|(w, x)| w * x).sum();
            out[step * GROUPS + group] = (value - foreseen) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::beats;
    use super::*;

    #[test]
    fn a_missing_beat_stands_out() {
        let period = 70;
        let missing = 50;
        let sound = beats(5000, period, &[missing]);
        let scores = Ridge.scores(&sound, 3000 / ROW).unwrap();
        assert_eq!(scores.len(), 1000);
        let due = missing * period / ROW;
        let at_beat = scores[due..due + 6].iter().copied().fold(0.0, f64::max);
        let elsewhere = scores[3000 / ROW..due].iter().copied().fold(0.0, f64::max);
        assert!(at_beat > 1.2 * elsewhere, "{at_beat} at the missing beat, {elsewhere} before");
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        let (known, new) = (mean(&scores[100..600]), mean(&scores[600..due]));
        assert!((known / new - 1.0).abs() < 0.2, "cross-fitted: {known} of the known, {new} of the new");
        assert!(Ridge.scores(&beats(300, period, &[]), 40).is_err());
    }
}
