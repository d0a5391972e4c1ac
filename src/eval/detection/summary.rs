//! Figures over all streams.

use std::collections::BTreeMap;

use serde::Serialize;

use super::alarms::{AtBudget, budgets};
use super::estimate::{Areas, Estimate, Interval, Resampler};
use super::outcome::{Anomaly, BudgetResult, Outcome};
use crate::corpus::rare::{AnomalyKind, Family, SceneRecipe, Stream};

/// Anomalies of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KindAreas {
    /// The kind.
    pub kind: AnomalyKind,
    /// How many there are.
    pub count: usize,
    /// Macro mean over the streams that have some.
    pub areas: Areas,
}

/// Areas at one ratio, with their distance behind the first detector.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RatioAreas {
    /// Ratio, dB.
    pub ratio_db: f32,
    /// Macro mean over streams.
    pub auc: Interval,
    /// Macro mean over streams.
    pub pauc: Interval,
    /// Paired difference of the report's first detector and this one: AUC and pAUC.
    pub behind_first: Option<(Interval, Interval)>,
}

/// One detector on one family.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FamilySummary {
    /// The family.
    pub family: Family,
    /// Streams.
    pub streams: usize,
    /// Macro mean over streams; none where there are no anomalies.
    pub auc: Option<Interval>,
    /// Macro mean over streams; none where there are no anomalies.
    pub pauc: Option<Interval>,
    /// Paired difference of the report's first detector and this one: AUC and pAUC.
    pub behind_first: Option<(Interval, Interval)>,
    /// By ratio, the loudest first.
    pub by_ratio: Vec<RatioAreas>,
    /// By kind of anomaly.
    pub by_kind: Vec<KindAreas>,
    /// By background.
    pub by_background: Vec<(String, Areas)>,
    /// At each budget.
    pub budgets: Vec<AtBudget>,
}

/// The effect of one collection: means over families of the macro means over streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectionAreas {
    /// The collection of the backgrounds.
    pub collection: String,
    /// Streams with anomalies on its backgrounds.
    pub streams: usize,
    /// Of its streams alone.
    pub alone: Areas,
    /// Of all other streams.
    pub without: Areas,
}

/// One detector over all streams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Mean over families with anomalies of the macro means over streams.
    pub auc: Interval,
    /// Mean over families with anomalies of the macro means over streams.
    pub pauc: Interval,
    /// Paired difference of the report's first detector and this one: AUC and pAUC.
    pub behind_first: Option<(Interval, Interval)>,
    /// By family.
    pub families: Vec<FamilySummary>,
    /// With each collection left out in turn.
    pub by_collection: Vec<CollectionAreas>,
    /// At each budget, over all families.
    pub budgets: Vec<AtBudget>,
    /// Seconds of computation for each hour of sound.
    pub seconds_per_hour: f64,
}

/// The streams of a family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FamilyStreams {
    /// The family.
    pub family: Family,
    /// Streams.
    pub streams: usize,
    /// Anomalies.
    pub anomalies: usize,
    /// Hours of sound.
    pub hours: f64,
    /// Hours of background that were played before in their stream.
    pub repeated_hours: f64,
}

/// The alarms of the daemon's detector on a stream, at the first budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamAlarms {
    /// The stream.
    pub stream: String,
    /// Seconds of its calibration that are not played again from a recording that is too short.
    pub learnt_s: f64,
    /// Anomalies found, of how many.
    pub found: (usize, usize),
    /// Alarms that no anomaly explains.
    pub false_alarms: usize,
    /// Hours that are free of anomalies.
    pub hours: f64,
}

impl StreamAlarms {
    /// Of a stream by what became of its alarms.
    pub(super) fn of(stream: &Stream, result: &BudgetResult) -> Self {
        let found = result.events.iter().filter(|event| event.found).count();
        Self {
            stream: stream.name.clone(),
            learnt_s: stream.learnt_s,
            found: (found, result.events.len()),
            false_alarms: result.false_alarms,
            hours: result.hours,
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectionReport {
    /// The recipe of the streams.
    pub recipe: SceneRecipe,
    /// The streams by family.
    pub streams: Vec<FamilyStreams>,
    /// The alarms of the first detector at the first budget, by stream.
    pub by_stream: Vec<StreamAlarms>,
    /// Detectors; the first is the daemon's.
    pub detectors: Vec<Summary>,
}

/// Estimates of a detector by family and, where given, ratio.
pub(super) struct Estimates(Vec<(Family, Option<f32>, Estimate)>);

impl Estimates {
    fn of(outcomes: &[Outcome], resampler: Resampler) -> Self {
        let mut all = Vec::new();
        for (family, own) in by_family(outcomes) {
            if own.iter().all(|o| o.anomalies.is_empty()) {
                continue;
            }
            all.push((family, None, resampler.estimate(&own, |_| true)));
            for ratio in ratios(&own) {
                all.push((family, Some(ratio), resampler.estimate(&own, |a| has_ratio(a, ratio))));
            }
        }
        Self(all)
    }

    fn get(&self, family: Family, ratio: Option<f32>) -> Option<&Estimate> {
        self.0.iter().find(|e| e.0 == family && e.1 == ratio).map(|e| &e.2)
    }

    fn over_families(&self) -> Estimate {
        let all: Vec<&Estimate> = self.0.iter().filter(|e| e.1.is_none()).map(|e| &e.2).collect();
        Estimate::mean(&all)
    }
}

impl Summary {
    /// Of the outcomes of one detector; `first` are the estimates of the detector that it is compared with.
    pub(super) fn of(
        name: &str,
        outcomes: &[Outcome],
        first: Option<&Estimates>,
        resampler: Resampler,
    ) -> (Self, Estimates) {
        let estimates = Estimates::of(outcomes, resampler);
        let all = estimates.over_families();
        let (auc, pauc) = all.intervals();
        let families = by_family(outcomes).into_iter();
        let summary = Self {
            name: name.to_owned(),
            auc,
            pauc,
            behind_first: first.map(|first| first.over_families().minus(&all).intervals()),
            families: families.map(|(family, own)| of_family(family, &own, &estimates, first)).collect(),
            by_collection: by_collection(outcomes),
            budgets: budgets(&outcomes.iter().collect::<Vec<_>>()),
            seconds_per_hour: 0.0,
        };
        (summary, estimates)
    }
}

fn of_family(
    family: Family,
    own: &[&Outcome],
    estimates: &Estimates,
    first: Option<&Estimates>,
) -> FamilySummary {
    let behind = |ratio: Option<f32>| {
        let (theirs, mine) = (first?.get(family, ratio)?, estimates.get(family, ratio)?);
        Some(theirs.minus(mine).intervals())
    };
    let areas = estimates.get(family, None).map(Estimate::intervals);
    let by_ratio = ratios(own).into_iter().filter_map(|ratio_db| {
        let (auc, pauc) = estimates.get(family, Some(ratio_db))?.intervals();
        Some(RatioAreas { ratio_db, auc, pauc, behind_first: behind(Some(ratio_db)) })
    });
    let mut counts: BTreeMap<AnomalyKind, usize> = BTreeMap::new();
    own.iter().flat_map(|o| &o.anomalies).for_each(|a| *counts.entry(a.kind).or_default() += 1);
    let of_kind = |(kind, count)| KindAreas { kind, count, areas: Areas::over(own, |a| a.kind == kind) };
    let mut backgrounds: BTreeMap<&str, Vec<Areas>> = BTreeMap::new();
    for outcome in own {
        backgrounds.entry(&outcome.background).or_default().extend(Areas::of(outcome, |_| true));
    }
    let received = backgrounds.into_iter().filter(|(_, all)| !all.is_empty());
    FamilySummary {
        family,
        streams: own.len(),
        auc: areas.map(|a| a.0),
        pauc: areas.map(|a| a.1),
        behind_first: behind(None),
        by_ratio: by_ratio.collect(),
        by_kind: counts.into_iter().map(of_kind).collect(),
        by_background: received.map(|(name, all)| (name.to_owned(), Areas::mean(all))).collect(),
        budgets: budgets(own),
    }
}

fn by_family(outcomes: &[Outcome]) -> Vec<(Family, Vec<&Outcome>)> {
    let of = |family: Family| outcomes.iter().filter(|o| o.family == family).collect::<Vec<_>>();
    Family::ALL.into_iter().map(|f| (f, of(f))).filter(|(_, own)| !own.is_empty()).collect()
}

fn by_collection(outcomes: &[Outcome]) -> Vec<CollectionAreas> {
    let mut names: Vec<&str> = outcomes.iter().map(|o| o.collection.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let positive: Vec<(&Outcome, Areas)> =
        outcomes.iter().filter_map(|o| Areas::of(o, |_| true).map(|areas| (o, areas))).collect();
    let mean = |wanted: &dyn Fn(&str) -> bool| {
        let family = |family: Family| {
            let own = positive.iter().filter(|(o, _)| o.family == family && wanted(&o.collection));
            Areas::mean(own.map(|(_, areas)| *areas))
        };
        Areas::mean(Family::ALL.into_iter().map(family).filter(|areas| areas.auc.is_finite()))
    };
    let of = |name: &str| CollectionAreas {
        collection: name.to_owned(),
        streams: positive.iter().filter(|(o, _)| o.collection == name).count(),
        alone: mean(&|other| other == name),
        without: mean(&|other| other != name),
    };
    names.into_iter().map(of).filter(|c| c.streams > 0).collect()
}

fn has_ratio(anomaly: &Anomaly, ratio_db: f32) -> bool {
    anomaly.ratio_db.is_some_and(|r| (r - ratio_db).abs() < 0.01)
}

/// All ratios, the loudest first.
fn ratios(outcomes: &[&Outcome]) -> Vec<f32> {
    let mut all: Vec<f32> = outcomes.iter().flat_map(|o| &o.anomalies).filter_map(|a| a.ratio_db).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Segment;
    use super::*;

    /// A stream whose anomalies stand out for so many of ten.
    fn outcome(family: Family, collection: &str, clear: usize) -> Outcome {
        let segment = |i: usize| {
            let event = i.is_multiple_of(10).then_some(i / 10);
            let score = if event.is_some_and(|e| e < clear) { 2.0 } else { (i % 7) as f64 / 7.0 };
            Segment { at_s: i as f64 / 2.0, score, event }
        };
        let kind = if family == Family::Context { AnomalyKind::Stop } else { AnomalyKind::ForeignSound };
        let count = if family == Family::Benign { 0 } else { 10 };
        Outcome {
            stream: format!("{family} {collection}"),
            family,
            background: "b".into(),
            collection: collection.into(),
            segments: (0..100).map(segment).collect(),
            anomalies: vec![Anomaly { kind, ratio_db: None }; count],
            verdicts: Vec::new(),
        }
    }

    #[test]
    fn families_count_alike_and_collections_are_left_out_in_turn() {
        let outcomes = [
            outcome(Family::Foreign, "x", 10),
            outcome(Family::Foreign, "x", 10),
            outcome(Family::Foreign, "y", 10),
            outcome(Family::Context, "y", 0),
            outcome(Family::Benign, "z", 0),
        ];
        let (summary, _) = Summary::of("d", &outcomes, None, Resampler { draws: 20, seed: 1 });
        let auc = |i: usize| summary.families[i].auc.unwrap().value;
        assert_eq!(auc(0), 1.0);
        assert!((summary.auc.value - f64::midpoint(1.0, auc(1))).abs() < 1e-12, "not by streams");
        assert!(summary.families[2].auc.is_none(), "benign streams have no areas");
        assert_eq!(summary.families[1].by_kind[0].kind, AnomalyKind::Stop);
        let names: Vec<&str> = summary.by_collection.iter().map(|c| c.collection.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
        assert_eq!((summary.by_collection[0].alone.auc, summary.by_collection[1].without.auc), (1.0, 1.0));
        assert!((summary.by_collection[0].without.auc - summary.auc.value).abs() < 1e-12);
    }

    #[test]
    fn a_detector_is_compared_with_the_first() {
        let resampler = Resampler { draws: 20, seed: 1 };
        let of = |clear: usize| [outcome(Family::Foreign, "x", clear), outcome(Family::Context, "x", clear)];
        let (_, first) = Summary::of("first", &of(10), None, resampler);
        let (second, _) = Summary::of("second", &of(4), Some(&first), resampler);
        let (auc, _) = second.behind_first.unwrap();
        assert!(auc.low > 0.0 && (auc.value - (1.0 - second.auc.value)).abs() < 1e-12, "{auc:?}");
    }
}
