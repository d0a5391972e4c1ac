//! A prediction from seconds of context that goes on learning.

use serde::{Deserialize, Serialize};

use super::context::{ContextModel, ContextState, LAGS};
use super::density::weight_at;
use super::groups::GROUPS;
use super::levinson::{AUTOCOVARIANCES, Levinson, LevinsonState};
use super::row_moments::LONGEST;
use crate::detect::exact::exact;
use crate::kernels::add_lag_products;

/// Steps from one order of the recursion to the next.
const EVERY: u64 = 4;

/// The prediction of a stream: that of calibration to begin with, from then on also of what was received since.
///
/// Each step adds its products with the 100 before it to the autocovariances; every fourth step the recursion goes on by an order,
/// so that the weights are renewed every 16 s (32 s at steps of 80 ms) and no step takes long. A step counts less the farther its
/// error is from what is usual: it enters as √w times what it was, at every lag, so that the sums stay those of a series. How large
/// errors usually are stays as calibration had it.
#[derive(Debug, Clone)]
pub(super) struct AdaptiveContext {
    model: ContextModel,
    /// Autocovariances `[101, 8, 8]`, and the steps that they stand for.
    sums: Vec<f32>,
    weight: f64,
    ridge: f64,
    /// The last 101 steps as they entered, a ring.
    entered: Vec<[f32; GROUPS]>,
    steps: u64,
    levinson: Levinson,
}

impl AdaptiveContext {
    /// That of a calibration.
    pub(super) fn new(model: &ContextModel) -> Self {
        let mut model = model.clone();
        let sums = std::mem::take(&mut model.autocovariances);
        let (weight, ridge) = (model.targets, model.penalty * model.targets);
        Self {
            levinson: Levinson::new(&sums, ridge),
            weight,
            ridge,
            entered: vec![[0.0; GROUPS]; LAGS + 1],
            steps: 0,
            sums,
            model,
        }
    }

    /// As it is now.
    pub(super) fn model(&self) -> &ContextModel {
        &self.model
    }

    /// Takes in the step that ended with the last frame, where it `counts`. Does not allocate.
    pub(super) fn learn(&mut self, state: &ContextState, counts: bool) {
        let Some(step) = state.step() else { return };
        let weight = step.distance.filter(|_| counts).map_or(0.0, weight_at);
        self.add(&step.row, if weight.is_finite() { weight } else { 0.0 });
        self.steps += 1;
        if self.steps.is_multiple_of(EVERY) {
            self.renew();
        }
    }

    /// Adds the products of a step with those before it.
    fn add(&mut self, row: &[f32; GROUPS], weight: f64) {
        let size = self.entered.len();
        let at = (self.steps % size as u64) as usize;
        let root = weight.sqrt() as f32;
        let now = row.map(|x| root * x);
        if let Some(place) = self.entered.get_mut(at) {
            *place = now;
        }
        if weight <= 0.0 {
            return;
        }
        let kept = if self.weight + weight > LONGEST { (LONGEST - weight) / self.weight } else { 1.0 };
        self.weight = self.weight * kept + weight;
        let kept = kept as f32;
        let (newer, older) = self.entered.split_at(at + 1);
        let sums = self.sums.as_chunks_mut().0.as_chunks_mut().0;
        add_lag_products(sums, kept, &now, [newer, older]);
    }

    fn renew(&mut self) {
        let goes_on = self.levinson.extend();
        let is_complete = self.levinson.is_complete();
        if is_complete {
            self.levinson.weights(&mut self.model.weights);
        }
        if !goes_on || is_complete {
            self.levinson.begin(&self.sums, self.ridge);
        }
    }

    /// All of it, to be kept.
    pub(super) fn snapshot(&self) -> AdaptiveContextState {
        AdaptiveContextState {
            sums: self.sums.clone(),
            weight: self.weight,
            entered: self.entered.clone(),
            steps: self.steps,
            weights: self.model.weights.clone(),
            levinson: self.levinson.snapshot(),
        }
    }

    /// Goes on where another was; none if `state` is damaged.
    pub(super) fn restore(&mut self, state: AdaptiveContextState) -> Option<()> {
        let is_whole = state.sums.len() == AUTOCOVARIANCES
            && state.sums.iter().all(|x| x.is_finite())
            && (0.0..=LONGEST).contains(&state.weight)
            && state.entered.len() == LAGS + 1
            && state.entered.iter().flatten().all(|x| x.is_finite());
        is_whole.then_some(())?;
        (self.sums, self.weight) = (state.sums, state.weight);
        (self.entered, self.steps) = (state.entered, state.steps);
        self.model.weights = state.weights;
        self.levinson = Levinson::restore(&state.levinson)?;
        self.model.is_whole().then_some(())
    }
}

/// What is kept of an [`AdaptiveContext`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdaptiveContextState {
    sums: Vec<f32>,
    weight: f64,
    entered: Vec<[f32; GROUPS]>,
    steps: u64,
    weights: Vec<f32>,
    levinson: LevinsonState,
}

exact!(AdaptiveContextState { sums, weight, entered, steps, weights, levinson });

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::context_fit::fit;
    use super::super::levinson::BLOCK;
    use super::*;

    /// Powers of a stroke each `period` frames in half of the groups, and noise.
    fn machine(period: usize, frames: usize, rng: &mut ChaCha8Rng) -> Vec<[f32; GROUPS]> {
        (0..frames)
            .map(|frame| {
                let stroke = if frame % period < 8 { 20.0 } else { 1.0 };
                std::array::from_fn(|i| rng.random_range(0.5..1.5f32) * if i < 4 { stroke } else { 1.0 })
            })
            .collect()
    }

    fn squared_error(weights: &[f32], rows: &[[f32; GROUPS]]) -> f32 {
        let mut error = *rows.last().unwrap();
        for (row, weights) in rows.iter().rev().skip(1).zip(weights.chunks_exact(BLOCK)) {
            for (x, weights) in row.iter().zip(weights.chunks_exact(GROUPS)) {
                error.iter_mut().zip(weights).for_each(|(e, w)| *e -= x * w);
            }
        }
        error.iter().map(|e| e * e).sum()
    }

    #[test]
    fn a_new_rhythm_is_learnt_and_what_was_kept_goes_on_exactly() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let known = machine(50, 6000, &mut rng);
        let folds = |frame: usize| frame * 5 / 6000;
        let usual = [4.0; GROUPS];
        let (_, model) = fit(4, &known, &usual, &[], 5, &folds).unwrap().unwrap();
        let mut learning = AdaptiveContext::new(&model);
        let mut restored = learning.clone();
        let mut state = ContextState::new(4);
        state.start(&usual);
        let (mut by_calibration, mut by_learning, mut rows) = (0.0, 0.0, Vec::new());
        for (frame, powers) in machine(73, 24_000, &mut rng).iter().enumerate() {
            state.push(learning.model(), powers);
            learning.learn(&state, true);
            restored.learn(&state, true);
            if frame % 1501 == 0 {
                let json = serde_json::to_string(&learning.snapshot()).unwrap();
                restored = AdaptiveContext::new(&model);
                restored.restore(serde_json::from_str(&json).unwrap()).unwrap();
            }
            let Some(step) = state.step() else { continue };
            rows.push(step.row);
            if frame > 20_000 {
                by_calibration += squared_error(&model.weights, &rows);
                by_learning += squared_error(&learning.model().weights, &rows);
            }
        }
        assert!(by_learning < 0.5 * by_calibration, "{by_learning} for {by_calibration}");
        assert!(learning.snapshot() == restored.snapshot(), "the restored one went another way");
        let mut damaged = learning.snapshot();
        damaged.sums.pop();
        assert!(restored.restore(damaged).is_none());
    }
}
