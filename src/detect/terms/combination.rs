//! One score of all terms.

use serde::{Deserialize, Serialize};

use super::tail::TermTail;
use super::{TERMS, Term, TermGroup, Values};
use crate::error::Result;

/// Predictability from which on context counts in full.
const FULL: f64 = 0.1;
/// What context counts then, beside 1 of density: where the past predicts, it says most.
const CONTEXT: f64 = 2.0;
/// What −PMI counts beside 1 of the residual of the same past, most of which density sees too.
const RATIO: f64 = 4.0;
/// Fewest values of a term that may be missing.
const FEWEST: usize = 200;
/// What the critic's vote counts.
const VOTE: f64 = 0.5;

/// The tails of the terms of a site, and what context counts there.
///
/// The score is made of −log10 p of the terms. Density is their mean, the critic's vote counting ½; context is the weighted mean of
/// its terms. The score is the root of the weighted mean of squares of both, so that the one that says more decides: density counts
/// 1 (and the vote ½), context up to 2, as the site is predictable. Such a mean is no probability, however the terms depend on each
/// other; it becomes one by its own tail, learnt from cross-fitted scores of calibration.
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
            if term.may_be_missing() && values.len() < FEWEST {
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
        let of = |context: bool| {
            let known = Term::ALL.iter().zip(surprisals).filter_map(|(term, s)| Some((*term, (*s)?)));
            known.filter(move |(term, _)| term.needs_context() == context)
        };
        let vote = critic.map(|vote| (VOTE, vote));
        let density = weighted_mean(of(false).map(|(_, s)| (1.0, s)))?;
        let density = weighted_mean(std::iter::once((1.0, density)).chain(vote))?;
        let weigh = |(term, s): (Term, f64)| (if term.group() == TermGroup::Pmi { RATIO } else { 1.0 }, s);
        let Some(context) = weighted_mean(of(true).map(weigh)) else { return Some(density) };
        let weight = 1.0 + vote.map_or(0.0, |vote| vote.0);
        let both = [(weight, density.powi(2)), (CONTEXT * self.context, context.powi(2))];
        weighted_mean(both.into_iter()).map(f64::sqrt)
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
                .all(|(tail, term)| tail.as_ref().map_or(term.may_be_missing(), TermTail::is_whole))
    }
}

/// The mean of values with their weights; none of nothing.
fn weighted_mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) =
        values.fold((0.0, 0.0), |(sum, all), (weight, value)| (sum + weight * value, all + weight));
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_site(context: f64) -> Combination {
        Combination { tails: Vec::new(), context, usual_level: 0.0 }
    }

    fn values(density: f64, context: Option<f64>) -> Values {
        Term::ALL.map(|term| if term.needs_context() { context } else { Some(density) })
    }

    #[test]
    fn the_one_that_says_more_decides() {
        let score = |site: f64, density, context, critic| {
            of_site(site).score(&values(density, context), critic).unwrap()
        };
        assert_eq!(score(0.0, 1.0, Some(4.0), None), 1.0, "a site that is not predictable");
        assert_eq!(score(1.0, 1.0, None, None), 1.0);
        assert!((score(1.0, 1.0, Some(4.0), None) - 11f64.sqrt()).abs() < 1e-12);
        assert!((score(1.0, 4.0, Some(1.0), None) - 6f64.sqrt()).abs() < 1e-12);
        assert!((score(0.0, 1.0, Some(4.0), Some(2.5)) - 1.5).abs() < 1e-12, "the vote counts half");
        assert_eq!(of_site(1.0).score(&[None; TERMS], Some(3.0)), None);
    }

    proptest! {
        #[test]
        fn more_surprise_is_no_lower_score(
            terms in prop::collection::vec(0.0..30.0f64, TERMS),
            at in 0..TERMS,
            more in 0.0..10.0f64,
            site in 0.0..1.0f64,
            critic in prop::option::of(0.0..12.0f64),
        ) {
            let mut values = [None; TERMS];
            values.iter_mut().zip(&terms).for_each(|(value, &term)| *value = Some(term));
            let before = of_site(site).score(&values, critic).unwrap();
            values[at] = Some(terms[at] + more);
            let after = of_site(site).score(&values, critic).unwrap();
            prop_assert!(after >= before - 1e-12);
            let largest = terms.iter().copied().chain(critic).fold(0.0, f64::max);
            prop_assert!(before <= largest + 1e-12);
        }
    }
}
