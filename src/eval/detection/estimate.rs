//! Areas with their intervals, by resampling.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::outcome::{Anomaly, Outcome, Segment};
use crate::roc::Roc;

/// Normal segments within so many seconds go together: neighbours are alike.
const BLOCK_S: f64 = 10.0;

/// Areas under the ROC curve over segments of 0.5 s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Areas {
    /// Whole area.
    pub auc: f64,
    /// Up to a false-positive rate of 0.1, standardised (McClish).
    pub pauc: f64,
}

impl Areas {
    /// Mean of some; not a number where there are none.
    pub(super) fn mean(all: impl IntoIterator<Item = Self>) -> Self {
        let (mut sum, mut n) = (Self { auc: 0.0, pauc: 0.0 }, 0.0);
        for areas in all {
            (sum.auc, sum.pauc, n) = (sum.auc + areas.auc, sum.pauc + areas.pauc, n + 1.0);
        }
        Self { auc: sum.auc / n, pauc: sum.pauc / n }
    }

    /// Of the anomalies of a stream that `wanted` picks.
    pub(super) fn of(outcome: &Outcome, wanted: impl Fn(&Anomaly) -> bool) -> Option<Self> {
        let positives: Vec<f64> = outcome.positives(wanted).collect();
        Self::between(&positives, &outcome.negatives().collect::<Vec<_>>())
    }

    /// The macro mean over streams.
    pub(super) fn over(outcomes: &[&Outcome], wanted: impl Fn(&Anomaly) -> bool + Copy) -> Self {
        Self::mean(outcomes.iter().filter_map(|o| Self::of(o, wanted)))
    }

    fn between(positives: &[f64], normal: &[f64]) -> Option<Self> {
        Roc::of(positives, normal).map(|roc| Self { auc: roc.auc(), pauc: roc.partial_auc() })
    }
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// As measured.
    pub value: f64,
    /// 2.5 % quantile of the resamples.
    pub low: f64,
    /// 97.5 % quantile of the resamples.
    pub high: f64,
}

impl Interval {
    fn of(value: f64, mut draws: Vec<f64>) -> Self {
        draws.retain(|x| x.is_finite());
        draws.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = draws.len().saturating_sub(1) as f64;
            draws.get((share * last).round() as usize).copied().unwrap_or(value)
        };
        Self { value, low: at(0.025), high: at(0.975) }
    }
}

/// Areas as measured, and of each draw.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Estimate {
    pub(super) value: Areas,
    draws: Vec<Areas>,
}

impl Estimate {
    /// The mean of several, draw by draw.
    pub(super) fn mean(all: &[&Self]) -> Self {
        let count = all.first().map_or(0, |e| e.draws.len());
        let draw = |i: usize| Areas::mean(all.iter().filter_map(|e| e.draws.get(i)).copied());
        Self { value: Areas::mean(all.iter().map(|e| e.value)), draws: (0..count).map(draw).collect() }
    }

    /// The paired difference of `self` and `other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let less = |a: Areas, b: Areas| Areas { auc: a.auc - b.auc, pauc: a.pauc - b.pauc };
        let draws = self.draws.iter().zip(&other.draws).map(|(a, b)| less(*a, *b)).collect();
        Self { value: less(self.value, other.value), draws }
    }

    /// AUC and pAUC.
    pub(super) fn intervals(&self) -> (Interval, Interval) {
        let of = |value: f64, figure: fn(&Areas) -> f64| {
            Interval::of(value, self.draws.iter().map(figure).collect())
        };
        (of(self.value.auc, |a| a.auc), of(self.value.pauc, |a| a.pauc))
    }
}

/// Draws streams with replacement and, within each, anomalies and stretches of normal sound. The same number gives the
/// same draw for every detector, so that differences between detectors are paired.
#[derive(Debug, Clone, Copy)]
pub struct Resampler {
    /// Draws.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Resampler {
    /// The macro mean of areas over streams for the anomalies that `wanted` picks.
    pub(super) fn estimate(
        &self,
        outcomes: &[&Outcome],
        wanted: impl Fn(&Anomaly) -> bool + Copy,
    ) -> Estimate {
        let parted: Vec<Parted> = outcomes.iter().map(|o| Parted::of(o, wanted)).collect();
        let draws = (0..self.draws).map(|draw| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ (draw as u64) << 20);
            Areas::mean((0..parted.len()).filter_map(|_| {
                let one = parted.get(rng.random_range(0..parted.len()))?;
                let (positives, normal) =
                    (draw_from(&one.events, &mut rng), draw_from(&one.blocks, &mut rng));
                Areas::between(&positives, &normal)
            }))
        });
        Estimate { value: Areas::over(outcomes, wanted), draws: draws.collect() }
    }
}

/// Scores by anomaly, and by stretch of normal sound.
struct Parted {
    events: Vec<Vec<f64>>,
    blocks: Vec<Vec<f64>>,
}

impl Parted {
    fn of(outcome: &Outcome, wanted: impl Fn(&Anomaly) -> bool) -> Self {
        let of_event = |e: usize| {
            let scores = outcome.segments.iter().filter(|s| s.event == Some(e)).map(|s| s.score);
            scores.collect::<Vec<_>>()
        };
        let picked = outcome.anomalies.iter().enumerate().filter(|(_, a)| wanted(a)).map(|(e, _)| e);
        let normal: Vec<&Segment> = outcome.segments.iter().filter(|s| s.event.is_none()).collect();
        let block = |s: &Segment| (s.at_s / BLOCK_S) as u64;
        let blocks = normal.chunk_by(|a, b| block(a) == block(b));
        Self {
            events: picked.map(of_event).filter(|scores| !scores.is_empty()).collect(),
            blocks: blocks.map(|b| b.iter().map(|s| s.score).collect()).collect(),
        }
    }
}

fn draw_from(groups: &[Vec<f64>], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut out = Vec::new();
    for _ in 0..groups.len() {
        if let Some(group) = groups.get(rng.random_range(0..groups.len())) {
            out.extend_from_slice(group);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::rare::{AnomalyKind, Family};

    fn outcome(height: f64) -> Outcome {
        let segment = |i: usize| Segment {
            at_s: i as f64 * 0.5,
            score: if i.is_multiple_of(40) { height } else { (i % 7) as f64 },
            event: i.is_multiple_of(40).then_some(i / 40),
        };
        Outcome {
            stream: "s".into(),
            family: Family::Foreign,
            background: "b".into(),
            collection: "c".into(),
            segments: (0..400).map(segment).collect(),
            anomalies: vec![Anomaly { kind: AnomalyKind::ForeignSound, ratio_db: Some(0.0) }; 10],
            verdicts: vec![],
        }
    }

    #[test]
    fn a_clear_case_has_a_narrow_interval_and_draws_repeat() {
        let resampler = Resampler { draws: 50, seed: 1 };
        let outcomes = [&outcome(5.0), &outcome(5.0)];
        let (a, b) = (resampler.estimate(&outcomes, |_| true), resampler.estimate(&outcomes, |_| true));
        assert_eq!(a, b);
        let auc = Roc::of(&[5.0], &(0..7).map(f64::from).collect::<Vec<_>>()).unwrap().auc();
        let (found, _) = a.intervals();
        assert!((found.low - auc).abs() < 0.05 && (found.high - auc).abs() < 0.05, "{found:?} {auc}");
    }

    #[test]
    fn differences_are_paired() {
        let resampler = Resampler { draws: 50, seed: 1 };
        let of = |height: f64| resampler.estimate(&[&outcome(height)], |_| true);
        let (more, _) = of(9.0).minus(&of(5.0)).intervals();
        assert!(more.low > 0.1 && more.value < 0.3 && more.high < 0.4, "{more:?}");
        let both = Estimate::mean(&[&of(9.0), &of(5.0)]).value.auc;
        assert!((both - f64::midpoint(of(9.0).value.auc, of(5.0).value.auc)).abs() < 1e-12);
    }
}
