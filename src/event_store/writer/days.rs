//! Counts of days, on the thread `events`, which has the rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Receiver, bounded};
use ulid::Ulid;

use super::{Recorder, WriterMessage};
use crate::error::Result;
use crate::event::{Day, DaySummary, Verdict, WorstEvent};
use crate::event_store::filter::Filter;
use crate::event_store::row::Row;
use crate::event_store::store::EventStore;

/// The counts of each day asked for, by stream.
pub type DayAnswer = Result<Vec<BTreeMap<String, DaySummary>>>;

/// Ids ascend with the time of the report, which follows the onset; a recording that is replayed fast is reported before it.
const SLACK_MS: u64 = 86_400_000;

impl Recorder {
    /// Asks for the counts of the events of `streams` that began on each of `days`. None where too many messages wait.
    #[must_use]
    pub fn count_days(&self, days: Vec<Day>, streams: Arc<[String]>) -> Option<Receiver<DayAnswer>> {
        let (answer, counted) = bounded(1);
        self.way.try_send(WriterMessage::Days { days, streams, answer }).ok()?;
        Some(counted)
    }

    /// How often events, verdicts or labels have changed since the start.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.counts.changes.load(Relaxed)
    }
}

impl EventStore {
    pub(super) fn count_days(&self, days: &[Day], streams: &[String]) -> DayAnswer {
        let empty = |day: &Day| streams.iter().map(|id| (id.clone(), DaySummary::empty(day))).collect();
        let mut counted: Vec<BTreeMap<String, DaySummary>> = days.iter().map(empty).collect();
        let mut worst: Vec<BTreeMap<String, (String, Row)>> = vec![BTreeMap::new(); days.len()];
        let earliest_ms = days.iter().map(|day| day.since_ms).min().unwrap_or(0).saturating_sub(SLACK_MS);
        let earliest = Ulid::from_parts(earliest_ms, 0).to_string();
        self.scan(&Filter::default(), &mut |id, row| {
            for (place, day) in days.iter().enumerate().filter(|(_, day)| day.contains(row.onset_ms)) {
                let Some(sum) = counted.get_mut(place).and_then(|streams| streams.get_mut(&row.stream))
                else {
                    continue;
                };
                sum.count(day, row.onset_ms, &row.kind, row.severity, &row.label);
                *(match row.verdict {
                    None => &mut sum.verdicts.none,
                    Some(Verdict::Normal) => &mut sum.verdicts.normal,
                    Some(Verdict::Anomaly) => &mut sum.verdicts.anomaly,
                }) += 1;
                if let Some(worst) = worst.get_mut(place)
                    && worst.get(&row.stream).is_none_or(|(_, other)| other.severity < row.severity)
                {
                    worst.insert(row.stream.clone(), (id.to_owned(), row.clone()));
                }
            }
            id >= earliest.as_str()
        })?;
        for (streams, worst) in counted.iter_mut().zip(worst) {
            for (stream, (id, row)) in worst {
                if let (Some(sum), Some(kept)) = (streams.get_mut(&stream), row.kept()) {
                    sum.worst = Some(WorstEvent {
                        id,
                        onset: kept.event.onset,
                        severity: row.severity,
                        kind: row.kind,
                        summary: kept.event.finding.summary,
                        label: row.label,
                    });
                }
            }
        }
        Ok(counted)
    }
}
