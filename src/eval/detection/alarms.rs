//! Figures of the alarms at a budget.

use serde::Serialize;

use super::outcome::{Anomaly, BudgetResult, EventOutcome, Outcome};
use crate::corpus::rare::{AnomalyKind, ControlKind};

/// Delay from the first moment at which an anomaly can be known to the first report, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// Kind of the anomalies.
    pub kind: AnomalyKind,
    /// Ratio of foreign sounds in dB; other kinds are not told apart by theirs.
    pub ratio_db: Option<f32>,
    /// Anomalies found, of how many.
    pub found: (usize, usize),
    /// Median of those found.
    pub median_s: Option<f64>,
    /// 90 % of those found are not later.
    pub p90_s: Option<f64>,
}

/// Figures of the alarms at one budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtBudget {
    /// The budget, events an hour.
    pub budget: f64,
    /// Share of anomalies found; none where there are no anomalies.
    pub recall: Option<f64>,
    /// False alarms an hour of sound without anomalies.
    pub false_alarms_per_hour: f64,
    /// F1 of onsets within 0.5 s.
    pub f1: f64,
    /// (missed + false) / anomalies, by onsets within 0.5 s.
    pub error_rate: f64,
    /// Controls that fired, of how many.
    pub fired: Vec<(ControlKind, usize, usize)>,
    /// By kind, foreign sounds by ratio.
    pub delays: Vec<Delay>,
}

/// Over `outcomes` of one detector, at each of its budgets.
pub(super) fn budgets(outcomes: &[&Outcome]) -> Vec<AtBudget> {
    let count = outcomes.first().map_or(0, |o| o.verdicts.len());
    (0..count)
        .map(|i| {
            let verdicts: Vec<&BudgetResult> = outcomes.iter().filter_map(|o| o.verdicts.get(i)).collect();
            let events: Vec<&EventOutcome> = verdicts.iter().flat_map(|v| &v.events).collect();
            let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
            let on_time = events.iter().filter(|e| e.on_time).count();
            let missed = events.len() - on_time;
            // an alarm within an anomaly but long after its onset is neither a hit nor false
            let wrong: usize = verdicts.iter().map(|v| v.false_alarms).sum();
            let fired = ControlKind::ALL.map(|kind| {
                let all = verdicts.iter().flat_map(|v| &v.fired).filter(|f| f.0 == kind);
                all.fold((kind, 0, 0), |sum, f| (kind, sum.1 + f.1, sum.2 + f.2))
            });
            let found = events.iter().filter(|e| e.found).count();
            AtBudget {
                budget: verdicts.first().map_or(0.0, |v| v.budget),
                recall: (!events.is_empty()).then(|| share(found, events.len())),
                false_alarms_per_hour: wrong as f64 / verdicts.iter().map(|v| v.hours).sum::<f64>().max(1e-9),
                f1: share(2 * on_time, 2 * on_time + missed + wrong),
                error_rate: share(missed + wrong, events.len()),
                fired: fired.to_vec(),
                delays: groups(&events).into_iter().map(|group| delay(&events, group)).collect(),
            }
        })
        .collect()
}

/// Kinds in order, foreign sounds by ratio, the loudest first.
fn groups(events: &[&EventOutcome]) -> Vec<Anomaly> {
    let mut all: Vec<Anomaly> = events.iter().map(|e| group(&e.anomaly)).collect();
    let loudness = |a: &Anomaly| a.ratio_db.map_or(0.0, |r| -f64::from(r));
    all.sort_by(|a, b| a.kind.cmp(&b.kind).then(loudness(a).total_cmp(&loudness(b))));
    all.dedup();
    all
}

fn group(anomaly: &Anomaly) -> Anomaly {
    let foreign = anomaly.kind == AnomalyKind::ForeignSound;
    Anomaly { kind: anomaly.kind, ratio_db: anomaly.ratio_db.filter(|_| foreign) }
}

fn delay(events: &[&EventOutcome], wanted: Anomaly) -> Delay {
    let own: Vec<&&EventOutcome> = events.iter().filter(|e| group(&e.anomaly) == wanted).collect();
    let mut delays: Vec<f64> = own.iter().filter_map(|e| e.delay_s).collect();
    delays.sort_by(f64::total_cmp);
    let at =
        |share: f64| delays.get((share * delays.len().saturating_sub(1) as f64).round() as usize).copied();
    Delay {
        kind: wanted.kind,
        ratio_db: wanted.ratio_db,
        found: (own.iter().filter(|e| e.found).count(), own.len()),
        median_s: at(0.5),
        p90_s: at(0.9),
    }
}
