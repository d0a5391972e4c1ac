//! Figures over all streams.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bootstrap::Resampler;
use super::outcome::{EventOutcome, Outcome, Verdict};
use crate::corpus::rare::{ControlKind, Recipe};
use crate::eval::roc::Roc;

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
    pub(super) fn mean(all: &[Self]) -> Self {
        let n = all.len() as f64;
        Self {
            auc: all.iter().map(|a| a.auc).sum::<f64>() / n,
            pauc: all.iter().map(|a| a.pauc).sum::<f64>() / n,
        }
    }

    fn of(outcome: &Outcome, wanted: impl Fn(f32) -> bool) -> Option<Self> {
        let (strange, normal): (Vec<f64>, Vec<f64>) =
            (outcome.strange(wanted).collect(), outcome.normal().collect());
        Roc::of(&strange, &normal).map(|roc| Self { auc: roc.auc(), pauc: roc.partial_auc() })
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

/// Delay from the true onset to the first statement, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// Ratio of the sounds, dB.
    pub ratio_db: f32,
    /// Sounds found, of how many.
    pub found: (usize, usize),
    /// Median of those found.
    pub median_s: Option<f64>,
    /// 90 % of those found are not later.
    pub p90_s: Option<f64>,
}

/// What alarms are worth at one budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtBudget {
    /// The budget, events an hour.
    pub budget: f64,
    /// Share of sounds found.
    pub recall: f64,
    /// False alarms an hour of sound without events.
    pub false_alarms_per_hour: f64,
    /// F1 of onsets within 0.5 s.
    pub f1: f64,
    /// (missed + false) / sounds, by onsets within 0.5 s.
    pub error_rate: f64,
    /// Controls that fired, of how many.
    pub fired: Vec<(ControlKind, usize, usize)>,
    /// By ratio.
    pub delays: Vec<Delay>,
}

/// One detector over all streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Macro mean over streams.
    pub auc: Interval,
    /// Macro mean over streams.
    pub pauc: Interval,
    /// By ratio in dB, the loudest first.
    pub by_ratio: Vec<(f32, Interval, Interval)>,
    /// By background.
    pub by_background: Vec<(String, Areas)>,
    /// What the first detector of the report has more of, paired: AUC and pAUC.
    pub behind_first: Option<(Interval, Interval)>,
    /// The same by ratio.
    pub behind_first_by_ratio: Vec<(f32, Interval, Interval)>,
    /// At each budget.
    pub budgets: Vec<AtBudget>,
    /// Seconds of computation for each hour of sound.
    pub seconds_per_hour: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How the streams were made.
    pub recipe: Recipe,
    /// Streams, planted sounds and hours of sound.
    pub streams: (usize, usize, f64),
    /// Detectors; the first is ours.
    pub detectors: Vec<Summary>,
}

impl Summary {
    /// Of the outcomes of one detector; `first` are those of the detector that it is compared with.
    #[must_use]
    pub fn of(name: &str, outcomes: &[Outcome], first: Option<&[Outcome]>, resampler: Resampler) -> Self {
        let ratios = ratios(outcomes);
        let intervals = |wanted: &dyn Fn(f32) -> bool| {
            let value = macro_mean(outcomes, wanted);
            let draws = resampler.areas(outcomes, wanted);
            pair(value, &draws)
        };
        let behind = |wanted: &dyn Fn(f32) -> bool| {
            let first = first?;
            let (mine, theirs) = (macro_mean(outcomes, wanted), macro_mean(first, wanted));
            let draws = resampler.areas(first, wanted).into_iter().zip(resampler.areas(outcomes, wanted));
            let more = |a: Areas, b: Areas| Areas { auc: a.auc - b.auc, pauc: a.pauc - b.pauc };
            Some(pair(more(theirs, mine), &draws.map(|(a, b)| more(a, b)).collect::<Vec<_>>()))
        };
        let (auc, pauc) = intervals(&|_| true);
        let is = |r: f32| move |x: f32| (x - r).abs() < 0.01;
        let by_ratio = ratios.iter().map(|&r| {
            let (auc, pauc) = intervals(&is(r));
            (r, auc, pauc)
        });
        let by_ratio_behind = ratios.iter().filter_map(|&r| behind(&is(r)).map(|(auc, pauc)| (r, auc, pauc)));
        let mut places: BTreeMap<&str, Vec<Areas>> = BTreeMap::new();
        for outcome in outcomes {
            places.entry(&outcome.background).or_default().extend(Areas::of(outcome, |_| true));
        }
        Self {
            name: name.to_owned(),
            auc,
            pauc,
            by_ratio: by_ratio.collect(),
            by_background: places
                .into_iter()
                .map(|(name, all)| (name.to_owned(), Areas::mean(&all)))
                .collect(),
            behind_first: behind(&|_| true),
            behind_first_by_ratio: by_ratio_behind.collect(),
            budgets: budgets(outcomes, &ratios),
            seconds_per_hour: 0.0,
        }
    }
}

fn pair(value: Areas, draws: &[Areas]) -> (Interval, Interval) {
    let auc = draws.iter().map(|a| a.auc).collect();
    (Interval::of(value.auc, auc), Interval::of(value.pauc, draws.iter().map(|a| a.pauc).collect()))
}

fn macro_mean(outcomes: &[Outcome], wanted: &dyn Fn(f32) -> bool) -> Areas {
    Areas::mean(&outcomes.iter().filter_map(|o| Areas::of(o, wanted)).collect::<Vec<_>>())
}

fn ratios(outcomes: &[Outcome]) -> Vec<f32> {
    let mut all: Vec<f32> = outcomes.iter().flat_map(|o| o.ratios_db.iter().copied()).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    all
}

fn budgets(outcomes: &[Outcome], ratios: &[f32]) -> Vec<AtBudget> {
    let count = outcomes.first().map_or(0, |o| o.verdicts.len());
    (0..count)
        .map(|i| {
            let verdicts: Vec<&Verdict> = outcomes.iter().filter_map(|o| o.verdicts.get(i)).collect();
            let events: Vec<&EventOutcome> = verdicts.iter().flat_map(|v| &v.events).collect();
            let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
            let on_time = events.iter().filter(|e| e.on_time).count();
            let missed = events.len() - on_time;
            // an alarm within a sound but long after its onset is neither a hit nor false
            let wrong: usize = verdicts.iter().map(|v| v.false_alarms).sum();
            let fired = [ControlKind::Join, ControlKind::GainStep, ControlKind::SecondClip].map(|kind| {
                let all = verdicts.iter().flat_map(|v| &v.fired).filter(|f| f.0 == kind);
                all.fold((kind, 0, 0), |sum, f| (kind, sum.1 + f.1, sum.2 + f.2))
            });
            AtBudget {
                budget: verdicts.first().map_or(0.0, |v| v.budget),
                recall: share(events.iter().filter(|e| e.found).count(), events.len()),
                false_alarms_per_hour: wrong as f64 / verdicts.iter().map(|v| v.hours).sum::<f64>().max(1e-9),
                f1: share(2 * on_time, 2 * on_time + missed + wrong),
                error_rate: share(missed + wrong, events.len()),
                fired: fired.to_vec(),
                delays: ratios.iter().map(|&r| delay(&events, r)).collect(),
            }
        })
        .collect()
}

fn delay(events: &[&EventOutcome], ratio_db: f32) -> Delay {
    let of_ratio: Vec<&&EventOutcome> =
        events.iter().filter(|e| (e.ratio_db - ratio_db).abs() < 0.01).collect();
    let mut delays: Vec<f64> = of_ratio.iter().filter_map(|e| e.delay_s).collect();
    delays.sort_by(f64::total_cmp);
    let at =
        |share: f64| delays.get((share * delays.len().saturating_sub(1) as f64).round() as usize).copied();
    Delay {
        ratio_db,
        found: (of_ratio.iter().filter(|e| e.found).count(), of_ratio.len()),
        median_s: at(0.5),
        p90_s: at(0.9),
    }
}
