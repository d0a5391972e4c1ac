//! One score of all terms.

use serde::{Deserialize, Serialize};

use super::tail::TermTail;
use super::{TERMS, Term, Values};
use crate::error::Result;

/// Predictability from which on context counts in full.
const FULL: f64 = 0.1;
/// What context counts then, beside 1 of density: where the past predicts, it says most.
const CONTEXT: f64 = 3.0;
/// What the critic's vote counts.
const VOTE: f64 = 0.5;

/// The tails of the terms of a site, and what context counts there.
///
/// The score is the weighted mean of −log10 p of the terms: those of density count 1 together, those of context up to 3, as the
/// site is predictable, the critic's vote ½. A mean of surprisals is no probability, however the terms depend on each other; it
/// becomes one by its own tail, learnt from cross-fitted scores of calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Combination {
    tails: Vec<Option<TermTail>>,
    /// 0 to 1.
    context: f64,
    /// The level of the score in calibration ([`Baseline`](super::Baseline)).
    usual_level: f64,
}

impl Combination {
    /// Of cross-fitted values of calibration, and [the predictability](super::TermModel::predictability) of the site.
    ///
    /// # Errors
    /// When there are too few values.
    pub(in crate::detect) fn fit<'a>(
        rows: &(impl Iterator<Item = &'a Values> + Clone),
        predictability: f64,
    ) -> Result<Self> {
        let tails = Term::ALL.iter().enumerate().map(|(i, term)| {
            let values: Vec<f64> = rows.clone().filter_map(|row| row[i]).collect();
            // context may have come too late
            if term.needs_context() && values.len() < 200 {
                Ok(None)
            } else {
                TermTail::fit(values).map(Some)
            }
        });
        let context = (predictability / FULL).clamp(0.0, 1.0);
        Ok(Self { tails: tails.collect::<Result<_>>()?, context, usual_level: 0.0 })
    }

    /// Notes the usual level of the score.
    pub(in crate::detect) fn set_usual_level(&mut self, level: f64) {
        self.usual_level = level;
    }

    /// The level of the score in calibration.
    pub(in crate::detect) fn usual_level(&self) -> f64 {
        self.usual_level
    }

    /// −log10 of the probability of each term, 0 to 30.
    pub(in crate::detect) fn surprisals(&self, values: &Values) -> Values {
        let mut surprisals = [None; TERMS];
        for ((to, value), tail) in surprisals.iter_mut().zip(values).zip(&self.tails) {
            *to = value.zip(tail.as_ref()).map(|(value, tail)| tail.surprisal(value));
        }
        surprisals
    }

    /// The score of surprisals and of that of the critic; none where the windows of density are not full.
    pub(in crate::detect) fn score(&self, surprisals: &Values, critic: Option<f64>) -> Option<f64> {
        let mean = |wanted: bool| {
            let of = Term::ALL.iter().zip(surprisals).filter(|(term, _)| term.needs_context() == wanted);
            let (sum, count) =
                of.filter_map(|(_, s)| *s).fold((0.0, 0u32), |(sum, count), s| (sum + s, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        let (mut sum, mut weight) = (mean(false)?, 1.0);
        if let Some(context) = mean(true) {
            sum += CONTEXT * self.context * context;
            weight += CONTEXT * self.context;
        }
        if let Some(vote) = critic {
            sum += VOTE * vote;
            weight += VOTE;
        }
        Some(sum / weight)
    }

    /// Whether this could have come from a fit.
    pub(in crate::detect) fn is_whole(&self) -> bool {
        self.tails.len() == TERMS
            && (0.0..=1.0).contains(&self.context)
            && self.usual_level.is_finite()
            && self
                .tails
                .iter()
                .zip(Term::ALL)
                .all(|(tail, term)| tail.as_ref().map_or(term.needs_context(), TermTail::is_whole))
    }
}
