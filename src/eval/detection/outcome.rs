//! The outcome of one detector on one stream.

use serde::Serialize;

use crate::corpus::rare::{AnomalyKind, Control, ControlKind, Family, Planted, Stream};
use crate::eval::baselines::ROW;
use crate::units::FRAME_RATE;

/// Length of the segments that scores are compared over.
pub const SEGMENT_S: f64 = 0.5;
/// An alarm belongs to a sound that begins this near to it.
const COLLAR_S: f64 = 0.5;
/// An alarm up to this long after the end of a control is attributed to it.
const AFTER_S: f64 = 1.0;

/// An alarm: the onset that a detector reports, and the time of the report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alarm {
    /// Onset in seconds from the start of the stream.
    pub onset_s: f64,
    /// Time of the report, seconds from the start of the stream.
    pub emitted_s: f64,
}

/// Half a second of a stream after its quiet part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Segment {
    /// Its start, seconds from the start of the stream.
    pub at_s: f64,
    /// The highest score in it.
    pub score: f64,
    /// The number of the anomaly that fills at least half of it, or half of which is in it; none where there is no
    /// anomaly.
    pub event: Option<usize>,
}

/// The properties of an anomaly that figures are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Anomaly {
    /// Its kind.
    pub kind: AnomalyKind,
    /// Its level over the sound beneath it in dB, where it has one.
    pub ratio_db: Option<f32>,
}

/// The outcome of one anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EventOutcome {
    /// Its properties.
    pub anomaly: Anomaly,
    /// Whether an alarm began during it, or half a second beside its onset.
    pub found: bool,
    /// Whether an alarm began within half a second of its onset.
    pub on_time: bool,
    /// Seconds from the first moment at which it can be known to the first report.
    pub delay_s: Option<f64>,
}

/// The alarms of a detector at one budget, matched with the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetResult {
    /// The budget in events an hour.
    pub budget: f64,
    /// Every anomaly.
    pub events: Vec<EventOutcome>,
    /// Alarms that no anomaly explains, those at controls among them.
    pub false_alarms: usize,
    /// Alarms at controls: how many of each kind fired, of how many.
    pub fired: Vec<(ControlKind, usize, usize)>,
    /// Hours after the quiet part that are free of anomalies.
    pub hours: f64,
}

/// The outcome of one detector on one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The stream.
    pub stream: String,
    /// Its family.
    pub family: Family,
    /// Its background.
    pub background: String,
    /// The collection of its background.
    pub collection: String,
    /// Segments after the quiet part that are clearly positive or negative.
    pub segments: Vec<Segment>,
    /// Every anomaly.
    pub anomalies: Vec<Anomaly>,
    /// At each budget.
    pub verdicts: Vec<BudgetResult>,
}

impl Outcome {
    /// Compares scores (a row each [`ROW`] frames) and the alarms at each budget with the truth.
    #[must_use]
    pub fn of(stream: &Stream, rows: &[f64], alarms: &[(f64, Vec<Alarm>)]) -> Self {
        Self {
            stream: stream.name.clone(),
            family: stream.family,
            background: stream.background.clone(),
            collection: stream.collection.clone(),
            segments: segments(stream, rows),
            anomalies: stream.events.iter().map(anomaly).collect(),
            verdicts: alarms.iter().map(|(budget, alarms)| verdict(stream, *budget, alarms)).collect(),
        }
    }

    /// Scores of segments without an anomaly.
    pub fn negatives(&self) -> impl Iterator<Item = f64> + '_ {
        self.segments.iter().filter(|s| s.event.is_none()).map(|s| s.score)
    }

    /// Scores of segments of the anomalies that `wanted` picks.
    pub fn positives(&self, wanted: impl Fn(&Anomaly) -> bool) -> impl Iterator<Item = f64> {
        let of = move |s: &Segment| {
            s.event.and_then(|e| self.anomalies.get(e)).is_some_and(&wanted).then_some(s.score)
        };
        self.segments.iter().filter_map(of)
    }
}

fn anomaly(planted: &Planted) -> Anomaly {
    Anomaly { kind: planted.kind, ratio_db: planted.ratio_db }
}

fn segments(stream: &Stream, rows: &[f64]) -> Vec<Segment> {
    let rows_a_second = f64::from(FRAME_RATE) / ROW as f64;
    let in_segment = (SEGMENT_S * rows_a_second) as usize;
    let mut out = Vec::new();
    for (number, scores) in rows.chunks_exact(in_segment).enumerate() {
        let at_s = number as f64 * SEGMENT_S;
        if at_s < stream.quiet_s {
            continue;
        }
        let within =
            |e: &Planted, until_s: f64| (until_s.min(at_s + SEGMENT_S) - e.onset_s.max(at_s)).max(0.0);
        let shared = |e: &Planted| within(e, e.offset_s);
        let enough = |e: &Planted| (e.offset_s - e.onset_s).min(SEGMENT_S) / 2.0 - 1e-9;
        let full =
            stream.events.iter().enumerate().filter(|(_, e)| shared(e) > 0.0 && shared(e) >= enough(e));
        let event = full.max_by(|a, b| shared(a.1).total_cmp(&shared(b.1))).map(|(i, _)| i);
        // a segment that touches an anomaly only in part, or follows it directly, has no label
        if event.is_none() && stream.events.iter().any(|e| within(e, e.unclear_until_s) > 0.0) {
            continue;
        }
        let score = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        out.push(Segment { at_s, score, event });
    }
    out
}

fn verdict(stream: &Stream, budget: f64, alarms: &[Alarm]) -> BudgetResult {
    let alarms: Vec<&Alarm> = alarms.iter().filter(|a| a.onset_s >= stream.quiet_s).collect();
    let about = |e: &Planted, a: &Alarm| {
        let until_s = e.unclear_until_s.max(e.onset_s + COLLAR_S);
        a.onset_s >= e.onset_s - COLLAR_S && a.onset_s <= until_s
    };
    let events = stream.events.iter().map(|e| {
        let first = alarms.iter().filter(|a| about(e, a)).map(|a| a.emitted_s).min_by(f64::total_cmp);
        EventOutcome {
            anomaly: anomaly(e),
            found: first.is_some(),
            on_time: alarms.iter().any(|a| (a.onset_s - e.onset_s).abs() <= COLLAR_S),
            delay_s: first.map(|t| t - e.known_from_s),
        }
    });
    let unexplained: Vec<&&Alarm> =
        alarms.iter().filter(|a| !stream.events.iter().any(|e| about(e, a))).collect();
    let near = |c: &Control, a: &Alarm| a.onset_s >= c.onset_s - 0.3 && a.onset_s <= c.offset_s + AFTER_S;
    let fired = ControlKind::ALL.map(|kind| {
        let all: Vec<&Control> =
            stream.controls.iter().filter(|c| c.kind == kind && c.onset_s >= stream.quiet_s).collect();
        (kind, all.iter().filter(|c| unexplained.iter().any(|a| near(c, a))).count(), all.len())
    });
    let sounding: f64 = stream.events.iter().map(|e| e.unclear_until_s - e.onset_s).sum();
    let length = stream.samples.len() as f64 / f64::from(crate::units::MODEL_RATE);
    BudgetResult {
        budget,
        events: events.collect(),
        false_alarms: unexplained.len(),
        fired: fired.to_vec(),
        hours: (length - stream.quiet_s - sounding).max(0.0) / 3600.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let event = |onset_s, offset_s, unclear_until_s| Planted {
            kind: AnomalyKind::ForeignSound,
            label: "x".into(),
            ratio_db: Some(6.0),
            onset_s,
            offset_s,
            known_from_s: onset_s,
            unclear_until_s,
        };
        let step = Control { kind: ControlKind::GainStep, onset_s: 30.0, offset_s: 30.0 };
        Stream {
            name: "s 1".into(),
            family: Family::Foreign,
            background: "s".into(),
            collection: "c".into(),
            detail: String::new(),
            samples: vec![0.0; 40 * 16_000],
            quiet_s: 10.0,
            learnt_s: 10.0,
            repeated_s: 0.0,
            events: vec![event(20.0, 21.1, 21.1), event(35.0, 35.5, 35.5), event(37.35, 37.65, 38.2)],
            controls: vec![step],
        }
    }

    #[test]
    fn segments_are_negative_positive_or_left_out() {
        let rows: Vec<f64> = (0..800).map(|row| f64::from(row) / 20.0).collect();
        let outcome = Outcome::of(&stream(), &rows, &[]);
        assert_eq!(outcome.segments.len(), 60 - 2, "21.0 to 21.5 holds 0.1 s, and 38.0 to 38.5 is unclear");
        assert_eq!(outcome.segments[0], Segment { at_s: 10.0, score: 10.45, event: None });
        let positive: Vec<f64> =
            outcome.segments.iter().filter(|s| s.event.is_some()).map(|s| s.at_s).collect();
        assert_eq!(positive, [20.0, 20.5, 35.0, 37.0, 37.5], "a short anomaly counts where half of it is");
        assert_eq!(outcome.positives(|a| a.ratio_db == Some(0.0)).count(), 0);
        assert_eq!(outcome.positives(|_| true).count() + outcome.negatives().count(), 58);
    }

    #[test]
    fn alarms_are_sorted_out() {
        let alarm = |onset_s| Alarm { onset_s, emitted_s: onset_s + 0.1 };
        let alarms = [5.0, 19.8, 20.9, 30.2, 33.0, 38.1].map(alarm).to_vec();
        let verdict = &Outcome::of(&stream(), &[], &[(1.0, alarms)]).verdicts[0];
        assert_eq!((verdict.events[0].found, verdict.events[0].on_time), (true, true));
        assert!((verdict.events[0].delay_s.unwrap() + 0.1).abs() < 1e-9);
        assert!(!verdict.events[1].found && verdict.events[2].found, "38.1 s is unclear, hence explained");
        assert_eq!(verdict.false_alarms, 2);
        assert_eq!(verdict.fired[1], (ControlKind::GainStep, 1, 1));
        assert!((verdict.hours - 27.55 / 3600.0).abs() < 1e-9);
    }
}
