//! A prediction from seconds of context that goes on learning.

use serde::{Deserialize, Serialize};

use super::context::{ContextModel, ContextState};
use super::density::{LONGEST, weight_at};
use super::groups::GROUPS;
use super::levinson::{AUTOCOVARIANCES, BLOCK, Levinson, LevinsonState};

/// Steps from one order of the recursion to the next.
const EVERY: u32 = 4;

/// The prediction of a stream: that of calibration to begin with, from then on also of what was heard since.
///
/// Each step adds its products with the 100 before it to the autocovariances; every fourth step the recursion goes on by an order,
/// so that the weights are renewed every 16 s (32 s at steps of 80 ms) and no step takes long. A step counts less the farther its
/// error is from what is usual. How large errors usually are stays as calibration had it.
#[derive(Debug, Clone)]
pub(super) struct AdaptiveContext {
    model: ContextModel,
    /// Autocovariances `[101, 8, 8]`, and the steps that they stand for.
    sums: Vec<f32>,
    weight: f64,
    ridge: f64,
    steps: u32,
    levinson: Levinson,
}

impl AdaptiveContext {
    /// That of a calibration.
    pub(super) fn new(model: &ContextModel) -> Self {
        let mut model = model.clone();
        let sums = std::mem::take(&mut model.autocovariances);
        let (weight, ridge) = (model.targets, model.penalty * model.targets);
        Self { levinson: Levinson::new(&sums, ridge), weight, ridge, steps: 0, sums, model }
    }

    /// As it is now.
    pub(super) fn model(&self) -> &ContextModel {
        &self.model
    }

    /// Takes in the step that ended with the last frame. Does not allocate.
    pub(super) fn learn(&mut self, state: &ContextState) {
        let Some(distance) = state.step() else { return };
        self.add(state, weight_at(distance));
        self.steps += 1;
        if self.steps.is_multiple_of(EVERY) {
            self.renew();
        }
    }

    /// Adds the products of the last step with those before it.
    fn add(&mut self, state: &ContextState, weight: f64) {
        if !weight.is_finite() || self.sums.len() != AUTOCOVARIANCES {
            return;
        }
        let kept = if self.weight + weight > LONGEST { (LONGEST - weight) / self.weight } else { 1.0 };
        self.weight = self.weight * kept + weight;
        let (kept, weight) = (kept as f32, weight as f32);
        let mut past = state.past();
        let Some(&now) = past.next() else { return };
        let rows = std::iter::once(&now).chain(past);
        for (row, sums) in rows.zip(self.sums.chunks_exact_mut(BLOCK)) {
            for (x, sums) in now.iter().zip(sums.chunks_exact_mut(GROUPS)) {
                let x = weight * x;
                sums.iter_mut().zip(row).for_each(|(sum, y)| *sum = kept * *sum + x * y);
            }
        }
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
            steps: self.steps,
            weights: self.model.weights.clone(),
            levinson: self.levinson.snapshot(),
        }
    }

    /// Goes on where another was; none if `state` is damaged.
    pub(super) fn restore(&mut self, state: AdaptiveContextState) -> Option<()> {
        let is_whole = state.sums.len() == AUTOCOVARIANCES
            && state.sums.iter().all(|x| x.is_finite())
            && (0.0..=LONGEST).contains(&state.weight);
        is_whole.then_some(())?;
        (self.sums, self.weight, self.steps) = (state.sums, state.weight, state.steps);
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
    steps: u32,
    weights: Vec<f32>,
    levinson: LevinsonState,
}
