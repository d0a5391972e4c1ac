//! What the last seconds of a site predict of the next step: rhythm and order.

use serde::{Deserialize, Serialize};

use super::groups::{GROUPS, Groups};
use super::mahalanobis::Mahalanobis;
use crate::detect::exact::exact;
use crate::error::Result;

/// Steps of the past that predict the next one.
pub(super) const LAGS: usize = 100;
/// Numbers that an error window holds: means, then deviations.
pub(super) const ERRORS: usize = 2 * GROUPS;
/// Standardised values beyond this are cut.
pub(super) const LARGEST: f32 = 6.0;
/// An error beyond so many deviations enters the past as that many.
pub(super) const CLIP: f32 = 3.0;
/// After so many steps with a cut error, less one for each that has none, the past is what was received.
const MOST_CUT: u32 = 60;

/// A linear prediction of groups of bands from 100 steps of their past, and how far off it usually is.
///
/// The weights are those of ridge regression, which under Gaussian laws make e = z − Wᵀc the part of z that the context leaves
/// open. Then log p(z | context) − log p(z) = −½ (eᵀ Σₑ⁻¹ e − zᵀ Σ_z⁻¹ z) up to a constant: the density ratio that CPC's heads
/// estimate (van den Oord et al., arXiv 1807.03748, section 2.2), fitted to the site in closed form. Its negative is high for what
/// is usual by itself and unusual here and now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextModel {
    /// Frames of a step.
    pub(super) step: usize,
    /// Mean and reciprocal deviation of each group.
    pub(super) mean: [f32; GROUPS],
    pub(super) scale: [f32; GROUPS],
    /// `[100 · 8, 8]`, the latest step first.
    pub(super) weights: Vec<f32>,
    /// Standard deviation of each error.
    pub(super) deviation: [f32; GROUPS],
    /// Of a step, and of an error.
    pub(super) marginal: Mahalanobis,
    pub(super) conditional: Mahalanobis,
    /// Median squared distance of an error.
    pub(super) usual: f32,
    /// Of means and deviations of the errors over 0.3 s.
    pub(super) window: Mahalanobis,
    /// Sums of x_t x_{t−l}ᵀ over calibration, l = 0 to 100, `[101, 8, 8]`; none where they are not needed.
    pub(super) autocovariances: Vec<f32>,
    /// Targets of the fit, and its penalty for each.
    pub(super) targets: f64,
    pub(super) penalty: f64,
    /// Share of the variance that the whole past predicts beyond what its last 160 ms predict, at new sound.
    pub(super) gain: f32,
}

impl ContextModel {
    /// Standardises a step.
    pub(super) fn standardise(&self, row: &[f32; GROUPS]) -> [f32; GROUPS] {
        standardise(row, &self.mean, &self.scale)
    }

    /// Whether this could have come from a fit.
    pub(super) fn is_whole(&self) -> bool {
        let numbers = [&self.mean, &self.scale, &self.deviation];
        (self.step == 4 || self.step == 8)
            && self.weights.len() == LAGS * GROUPS * GROUPS
            && self.weights.iter().chain(numbers.into_iter().flatten()).all(|x| x.is_finite())
            && self.marginal.is_whole(GROUPS)
            && self.conditional.is_whole(GROUPS)
            && self.window.is_whole(ERRORS)
            && self.targets >= 1.0
            && self.targets.is_finite()
            && self.penalty > 0.0
            && self.penalty.is_finite()
            && self.gain.is_finite()
            && self.usual > 0.0
            && self.usual.is_finite()
    }
}

pub(super) fn standardise(row: &[f32; GROUPS], mean: &[f32; GROUPS], scale: &[f32; GROUPS]) -> [f32; GROUPS] {
    std::array::from_fn(|i| ((row[i] - mean[i]) * scale[i]).clamp(-LARGEST, LARGEST))
}

/// Steps of `step` frames that 0.3 s hold.
pub(super) fn window_steps(step: usize) -> usize {
    (30 + step / 2) / step
}

/// The excess of squared errors follows their median by so much a frame: it takes half a minute to double 5 times.
const EXCESS_RATE: f32 = 1.25e-3;
const MOST_EXCESS: f32 = 5.0;

/// The scores of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ContextScores {
    /// Distance of the errors over 0.3 s from what is usual.
    pub(super) residual: f64,
    /// −PMI over 0.3 s, up to a constant.
    pub(super) ratio: f64,
}

exact!(ContextScores { residual, ratio });

/// A step of a stream.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Standardised, and cleaned of what no model could predict.
    pub(super) row: [f32; GROUPS],
    /// The squared distance of its error (1 is usual); none before there was a prediction.
    pub(super) distance: Option<f64>,
}

exact!(Step { row, distance });

/// What is remembered of a stream: its last 100 steps, and the errors of the last 0.3 s.
#[derive(Debug, Clone)]
pub(super) struct ContextState {
    groups: Groups,
    /// A ring of steps, cleaned of what no model could predict.
    past: Vec<[f32; GROUPS]>,
    next: usize,
    steps: usize,
    /// A ring of errors with their −PMI.
    errors: Vec<([f32; GROUPS], f32)>,
    /// Errors so far.
    predicted: usize,
    cut: u32,
    /// ln of how much larger squared errors are of late than calibration would have them, 0 or more.
    excess: f32,
    scores: Option<ContextScores>,
    /// The step that ended with the last frame.
    step: Option<Step>,
    scratch: Vec<f32>,
}

exact!(ContextState { groups, past, next, steps, errors, predicted, cut, excess, scores, step, scratch });

impl ContextState {
    /// Of a stream that begins.
    pub(super) fn new(step: usize) -> Self {
        Self {
            groups: Groups::new(step, &[0.0; GROUPS]),
            past: vec![[0.0; GROUPS]; LAGS],
            next: 0,
            steps: 0,
            errors: vec![([0.0; GROUPS], 0.0); window_steps(step)],
            predicted: 0,
            cut: 0,
            excess: 0.0,
            scores: None,
            step: None,
            scratch: Vec::with_capacity(ERRORS),
        }
    }

    /// Begins where the groups usually have these powers.
    pub(super) fn start(&mut self, usual: &[f32; GROUPS]) {
        self.groups = Groups::new(self.groups.step(), usual);
    }

    /// Takes the mean powers of the groups of the next frame. The scores stay until the next step.
    pub(super) fn push(&mut self, model: &ContextModel, powers: &[f32; GROUPS]) {
        self.step = None;
        if let Some(row) = self.groups.push(powers) {
            self.take(model, &row);
        }
    }

    /// The scores of the last step.
    pub(super) fn scores(&self) -> Option<ContextScores> {
        self.scores
    }

    /// The step that ended with the last frame.
    pub(super) fn step(&self) -> Option<&Step> {
        self.step.as_ref()
    }

    /// The last 100 steps, the latest first, cleaned of what no model could predict.
    fn past(&self) -> impl Iterator<Item = &[f32; GROUPS]> {
        let (newer, older) = self.past.split_at(self.next.min(self.past.len()));
        newer.iter().rev().chain(older.iter().rev())
    }

    fn take(&mut self, model: &ContextModel, row: &[f32; GROUPS]) {
        let now = model.standardise(row);
        let (mut kept, mut distance) = (now, None);
        if self.steps >= LAGS {
            let predicted = self.predict(model);
            let mut error = [0.0; GROUPS];
            let mut is_cut = false;
            for i in 0..GROUPS {
                error[i] = now[i] - predicted[i];
                let most = CLIP * model.deviation[i];
                is_cut |= error[i].abs() > most;
                kept[i] = (predicted[i] + error[i].clamp(-most, most)).clamp(-LARGEST, LARGEST);
            }
            self.cut = if is_cut { (self.cut + 1).min(2 * MOST_CUT) } else { self.cut.saturating_sub(1) };
            if self.cut > MOST_CUT {
                kept = now;
            }
            let conditional =
                model.conditional.distance(&error, &mut self.scratch) / f64::from(self.excess.exp());
            let pull = EXCESS_RATE * self.groups.step() as f32;
            let above = conditional > f64::from(model.usual);
            self.excess = (self.excess + if above { pull } else { -pull }).clamp(0.0, MOST_EXCESS);
            let ratio = conditional - model.marginal.distance(&now, &mut self.scratch);
            let window = self.errors.len();
            if let Some(place) = self.errors.get_mut(self.predicted % window) {
                *place = (error, ratio as f32);
            }
            self.predicted += 1;
            self.scores = (self.predicted >= window).then(|| self.score(model));
            distance = Some(conditional);
        }
        if let Some(place) = self.past.get_mut(self.next) {
            *place = kept;
        }
        self.step = Some(Step { row: kept, distance });
        self.next = (self.next + 1) % self.past.len();
        self.steps += 1;
    }

    fn predict(&self, model: &ContextModel) -> [f32; GROUPS] {
        let mut sums = [0.0f32; GROUPS];
        for (row, weights) in self.past().zip(model.weights.chunks_exact(GROUPS * GROUPS)) {
            for (x, weights) in row.iter().zip(weights.chunks_exact(GROUPS)) {
                sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
            }
        }
        sums
    }

    fn score(&mut self, model: &ContextModel) -> ContextScores {
        let errors = error_moments(self.errors.iter().map(|e| &e.0));
        let residual = model.window.distance(&errors, &mut self.scratch) / f64::from(self.excess.exp());
        let ratio = self.errors.iter().map(|e| f64::from(e.1)).sum::<f64>() / self.errors.len() as f64;
        ContextScores { residual, ratio }
    }

    /// The gain has changed by `shift` (ln of power).
    pub(super) fn follow_gain(&mut self, shift: f32) {
        self.groups.follow_gain(shift);
    }
}

/// Means, then deviations, of errors.
pub(super) fn error_moments<'a>(errors: impl Iterator<Item = &'a [f32; GROUPS]> + Clone) -> [f32; ERRORS] {
    let mut moments = [0.0; ERRORS];
    let count = errors.clone().count().max(1) as f32;
    let (means, deviations) = moments.split_at_mut(GROUPS);
    for error in errors.clone() {
        means.iter_mut().zip(error).for_each(|(mean, x)| *mean += x / count);
    }
    for error in errors {
        for ((deviation, mean), x) in deviations.iter_mut().zip(means.iter()).zip(error) {
            *deviation += (x - mean) * (x - mean) / count;
        }
    }
    deviations.iter_mut().for_each(|d| *d = d.sqrt());
    moments
}

/// The rows of the powers of the groups of each frame at a row in `step` frames; a stream begins anew, from `usual` powers, at each of `breaks`. Gives rows and, for each,
/// the number of its last frame and how many rows came before it since the last break.
pub(super) fn rows(
    all: &[[f32; GROUPS]],
    usual: &[f32; GROUPS],
    breaks: &[usize],
    step: usize,
) -> Vec<SeriesRow> {
    let (mut groups, mut since, mut out) = (Groups::new(step, usual), 0, Vec::new());
    for (frame, powers) in all.iter().enumerate() {
        if breaks.binary_search(&frame).is_ok() {
            (groups, since) = (Groups::new(step, usual), 0);
        }
        if let Some(values) = groups.push(powers) {
            out.push(SeriesRow { values, frame, since });
            since += 1;
        }
    }
    out
}

/// A step of calibration.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesRow {
    pub(super) values: [f32; GROUPS],
    /// The number of its last frame.
    pub(super) frame: usize,
    /// Steps before it since the last break.
    pub(super) since: usize,
}

/// A Mahalanobis distance of rows of `N` values.
pub(super) fn distance_of<const N: usize>(rows: impl Iterator<Item = [f32; N]>) -> Result<Mahalanobis> {
    let flat: Vec<f32> = rows.flatten().collect();
    Mahalanobis::fit(&flat, N, 0.01, &[])
}
