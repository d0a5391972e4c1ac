//! The terms of a stream, which go on learning.

use serde::{Deserialize, Serialize};

use super::adaptive_context::{AdaptiveContext, AdaptiveContextState};
use super::context::{ContextModel, ContextState};
use super::density::{Density, DensityState};
use super::fine_structure::FineDensity;
use super::model::TermModel;
use super::refit::{Refit, RefitState};
use super::row_moments::{DENSITIES, FORMS, MOMENTS};
use crate::detect::exact::exact;

/// The densities and predictions of a stream: those of calibration to begin with, from then on also of what was received since.
///
/// Minutes of a site do not show all that it does, and no site stays as it was. Rows move the moments, by no more than a row in
/// 10 min of them; of four rows, which share most of their sound, each density takes one for all. Some rows of a matrix
/// are factorised at each step, so that no step takes long: 12 of moments of a minute, which change fast, down to 2 of those of 10 min, so
/// that each distance is renewed every 2 to 11 s. A row moves them less the farther it is, and what is far altogether only after half a
/// minute
/// ([`TermState::follows`](super::TermState::follows)).
#[derive(Debug, Clone)]
pub(in crate::detect) struct Adaptive {
    densities: [Density; DENSITIES],
    lines: FineDensity,
    contexts: Option<[AdaptiveContext; 2]>,
    refit: Refit,
    scratch: Vec<f32>,
}

impl Adaptive {
    /// Those of a calibration.
    pub(in crate::detect) fn new(model: &TermModel) -> Self {
        Self {
            densities: model.densities.clone(),
            lines: model.lines.clone(),
            contexts: model.contexts.as_ref().map(|models| models.each_ref().map(AdaptiveContext::new)),
            refit: Refit::new(MOMENTS),
            scratch: Vec::with_capacity(MOMENTS),
        }
    }

    /// The densities as they are now.
    pub(super) fn densities(&self) -> &[Density; DENSITIES] {
        &self.densities
    }

    /// The density of lines as it is now.
    pub(super) fn lines(&self) -> &FineDensity {
        &self.lines
    }

    /// The predictions as they are now.
    pub(super) fn contexts(&self) -> Option<[&ContextModel; 2]> {
        self.contexts.as_ref().map(|contexts| contexts.each_ref().map(AdaptiveContext::model))
    }

    /// All of it, to be kept.
    pub(in crate::detect) fn snapshot(&self) -> AdaptiveState {
        AdaptiveState {
            densities: self.densities.each_ref().map(Density::snapshot),
            lines: self.lines.clone(),
            contexts: self
                .contexts
                .as_ref()
                .map(|contexts| contexts.each_ref().map(AdaptiveContext::snapshot)),
            refit: self.refit.snapshot(),
        }
    }

    /// Goes on where that of the same calibration was when `state` was taken of it; none if it is damaged.
    pub(in crate::detect) fn restore(model: &TermModel, state: AdaptiveState) -> Option<Self> {
        Self::new(model).with(state)
    }

    fn with(&self, state: AdaptiveState) -> Option<Self> {
        let mut adaptive = self.clone();
        let densities = adaptive.densities.iter_mut().zip(state.densities).zip(FORMS);
        for ((to, state), form) in densities {
            *to = Density::restore(state, form)?;
        }
        adaptive.lines = Some(state.lines).filter(FineDensity::is_whole)?;
        match (&mut adaptive.contexts, state.contexts) {
            (Some(contexts), Some(states)) => {
                for (to, state) in contexts.iter_mut().zip(states) {
                    to.restore(state)?;
                }
            }
            (None, None) => {}
            _ => return None,
        }
        adaptive.refit = Refit::restore(state.refit)?;
        Some(adaptive)
    }

    /// Takes in one of the rows of now, which are at `distances`, another each time by their `number`, and goes on with the
    /// factorisation. Does not allocate.
    pub(super) fn learn(&mut self, number: u64, rows: [&[f32]; DENSITIES], distances: [f64; DENSITIES]) {
        let turn = (number % DENSITIES as u64) as usize;
        let rows = self.densities.iter_mut().zip(rows).zip(distances);
        for ((density, row), distance) in rows.skip(turn).take(1) {
            density.learn(row, distance, DENSITIES as f64, &mut self.scratch);
        }
        if let Some(Density { moments, metric }) = self.densities.get_mut(self.refit.turn()) {
            self.refit.step(moments, metric);
        }
    }

    /// Takes in a row of lines of this value. Does not allocate.
    pub(super) fn learn_lines(&mut self, row: &[i8], value: f64) {
        self.lines.learn(row, value);
    }

    /// Takes in the last step of each context, where it ended with the last frame and `counts`. Does not allocate.
    pub(super) fn learn_steps(&mut self, states: &[ContextState; 2], counts: bool) {
        let contexts = self.contexts.iter_mut().flatten().zip(states);
        contexts.for_each(|(context, state)| context.learn(state, counts));
    }
}

/// What is kept of [`Adaptive`]: moments, the distances in force, and the renewals that go on, so that a stream goes on exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct AdaptiveState {
    densities: [DensityState; DENSITIES],
    lines: FineDensity,
    contexts: Option<[AdaptiveContextState; 2]>,
    refit: RefitState,
}

exact!(AdaptiveState { densities, lines, contexts, refit });

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::density::tests::{of_rows, row};
    use super::super::fine_structure::FineSums;
    use super::super::modulation;
    use super::super::row_moments::Form;
    use super::*;

    /// Adaptive densities without contexts.
    fn adaptive(wide: &Density, narrow: &Density) -> Adaptive {
        Adaptive {
            densities: [Form::Half, Form::Quarter, Form::Short]
                .map(|form| wide.as_form(form))
                .into_iter()
                .chain([narrow.clone()])
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
            lines: FineDensity::of(&FineSums::new()),
            contexts: None,
            refit: Refit::new(MOMENTS),
            scratch: Vec::new(),
        }
    }

    fn wide(rows: usize, rng: &mut ChaCha8Rng) -> Density {
        let flat: Vec<f32> = (0..rows * MOMENTS).map(|_| rng.random_range(-1.0..1.0f32)).collect();
        Density::fit(&flat, Form::Half).unwrap()
    }

    #[test]
    fn what_was_kept_goes_on_exactly_at_any_step_of_a_renewal() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let narrow = of_rows(300, &mut rng);
        let mut live = adaptive(&wide(300, &mut rng), &narrow);
        let mut restored = live.clone();
        for step in 0..230 {
            let now: Vec<f32> = (0..MOMENTS).map(|_| rng.random_range(-2.0..2.0f32)).collect();
            let rows = [&now[..], &now, &now, &now[..modulation::WIDTH]];
            live.learn(step, rows, [1.0; DENSITIES]);
            restored.learn(step, rows, [1.0; DENSITIES]);
            assert!(live.densities == restored.densities, "step {step}");
            if step % 17 == 0 {
                let json = serde_json::to_string(&live.snapshot()).unwrap();
                restored = restored.with(serde_json::from_str(&json).unwrap()).unwrap();
            }
        }
        let mut damaged = serde_json::to_value(live.snapshot()).unwrap();
        damaged["refit"]["density"] = 4.into();
        assert!(live.with(serde_json::from_value(damaged).unwrap()).is_none());
    }

    #[test]
    fn what_stays_becomes_usual_and_what_is_short_does_not() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let narrow = of_rows(2000, &mut rng);
        let mut densities = adaptive(&wide(2000, &mut rng), &narrow);
        let zero = vec![0.0; MOMENTS];
        let mut hear = |shift: f32, rows: usize, rng: &mut ChaCha8Rng| {
            let mut last = 0.0;
            for number in 0..rows as u64 {
                let now = row(rng, shift);
                last = densities.densities()[3].distance(&now, &mut Vec::new());
                densities.learn(number, [&zero, &zero, &zero, &now], [1.0, 1.0, 1.0, last]);
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
