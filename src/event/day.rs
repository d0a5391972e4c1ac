//! The events of a day: a document of counts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;
/// Ranges of severity that are counted, by their least and greatest.
const SEVERITIES: [(u8, u8); 5] = [(0, 19), (20, 39), (40, 59), (60, 79), (80, 100)];

/// The days whose counts are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DayName {
    /// The present day.
    Today,
    /// The day before.
    Yesterday,
}

impl DayName {
    /// As in topics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Yesterday => "yesterday",
        }
    }
}

/// A day of some time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// As in `2026-01-31`.
    pub date: String,
    /// Its start, Unix time in ms.
    pub since_ms: u64,
    /// The start of the next day, Unix time in ms.
    pub until_ms: u64,
}

impl Day {
    /// Whether a time, Unix time in ms, is in the day.
    #[must_use]
    pub fn contains(&self, at_ms: u64) -> bool {
        (self.since_ms..self.until_ms).contains(&at_ms)
    }
}

/// How many events have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCounts {
    /// Normal sound of the site.
    pub normal: u64,
    /// An anomaly.
    pub anomaly: u64,
    /// Without a verdict.
    pub none: u64,
}

/// The event of the highest severity of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstEvent {
    /// Its id.
    pub id: String,
    /// Its onset, RFC 3339 in UTC.
    pub onset: String,
    /// Its severity, 0 to 100.
    pub severity: u8,
    /// Its kind.
    pub kind: String,
    /// What it was, in words.
    pub summary: String,
    /// Its label; empty without one.
    pub label: String,
}

/// The events of a stream that began on a day, counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaySummary {
    /// The day in the local time of the node, as `2026-01-31`.
    pub date: String,
    /// Its start, RFC 3339 in UTC.
    pub since: String,
    /// The start of the next day, RFC 3339 in UTC.
    pub until: String,
    /// When the events were counted, RFC 3339 in UTC.
    pub time: String,
    /// Seconds of sound that this run of the daemon analysed on the day, until `time`; null where it did not run.
    pub analysed_s: Option<f64>,
    /// How many events.
    pub events: u64,
    /// By kind; kinds without events are left out.
    pub kinds: BTreeMap<String, u64>,
    /// By severity, in five ranges.
    pub severities: BTreeMap<String, u64>,
    /// By label; events without one are left out.
    pub labels: BTreeMap<String, u64>,
    /// By verdict.
    pub verdicts: VerdictCounts,
    /// By hour from the start of the day.
    pub hours: Vec<u64>,
    /// Onset of the first, RFC 3339 in UTC; null without events.
    pub first: Option<String>,
    /// Onset of the last, RFC 3339 in UTC; null without events.
    pub last: Option<String>,
    /// The event of the highest severity, and of two alike the newer; null without events.
    pub worst: Option<WorstEvent>,
}

impl DaySummary {
    /// A day without events.
    #[must_use]
    pub fn empty(day: &Day) -> Self {
        let hours = day.until_ms.saturating_sub(day.since_ms).div_ceil(HOUR_MS);
        Self {
            date: day.date.clone(),
            since: rfc3339_ms(day.since_ms),
            until: rfc3339_ms(day.until_ms),
            time: String::new(),
            analysed_s: None,
            events: 0,
            kinds: BTreeMap::new(),
            severities: SEVERITIES.map(|range| (range_name(range), 0)).into(),
            labels: BTreeMap::new(),
            verdicts: VerdictCounts::default(),
            hours: vec![0; usize::try_from(hours).unwrap_or(24)],
            first: None,
            last: None,
            worst: None,
        }
    }

    /// Counts an event of `day`; events are taken from the newest to the oldest.
    pub fn count(&mut self, day: &Day, onset_ms: u64, kind: &str, severity: u8, label: &str) {
        self.events += 1;
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        let range = SEVERITIES.iter().find(|(_, greatest)| severity <= *greatest);
        *self.severities.entry(range_name(*range.unwrap_or(&(80, 100)))).or_default() += 1;
        if !label.is_empty() {
            *self.labels.entry(label.to_owned()).or_default() += 1;
        }
        let hour = usize::try_from(onset_ms.saturating_sub(day.since_ms) / HOUR_MS).ok();
        if let Some(count) = hour.and_then(|hour| self.hours.get_mut(hour)) {
            *count += 1;
        }
        let onset = rfc3339_ms(onset_ms);
        // RFC 3339 of one form sorts as time does
        if self.first.as_ref().is_none_or(|first| onset < *first) {
            self.first = Some(onset.clone());
        }
        if self.last.as_ref().is_none_or(|last| onset > *last) {
            self.last = Some(onset);
        }
    }

    /// Whether the counts are those of `other`, whenever they were made.
    #[must_use]
    pub fn counts_equal(&self, other: &Self) -> bool {
        let (time, analysed_s) = (other.time.clone(), other.analysed_s);
        Self { time, analysed_s, ..self.clone() } == *other
    }
}

fn range_name((least, greatest): (u8, u8)) -> String {
    format!("{least}-{greatest}")
}

/// RFC 3339 in UTC with milliseconds.
fn rfc3339_ms(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "invalid".to_owned(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_by_each_of_its_columns() {
        // 25 h, as where summer time ends
        let since_ms = 1_792_879_200_000;
        let day = Day { date: "2026-10-25".into(), since_ms, until_ms: since_ms + 25 * HOUR_MS };
        let mut sum = DaySummary::empty(&day);
        assert_eq!((sum.hours.len(), sum.events, &sum.first, &sum.worst), (25, 0, &None, &None));
        assert_eq!(
            (sum.since.as_str(), sum.until.as_str()),
            ("2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z")
        );
        let before = sum.clone();
        for (hour, severity, label) in [(24, 100, "kettle"), (3, 19, ""), (3, 20, "kettle")] {
            sum.count(&day, since_ms + hour * HOUR_MS + 5, "foreign", severity, label);
        }
        assert_eq!((sum.events, sum.kinds["foreign"], sum.labels["kettle"]), (3, 3, 2));
        assert_eq!((sum.hours[3], sum.hours[24], sum.hours.iter().sum::<u64>()), (2, 1, 3));
        let severities: Vec<u64> =
            ["0-19", "20-39", "40-59", "60-79", "80-100"].map(|name| sum.severities[name]).into();
        assert_eq!(severities, [1, 1, 0, 0, 1]);
        assert_eq!(sum.first.as_deref(), Some("2026-10-25T01:00:00.005Z"));
        assert_eq!(sum.last.as_deref(), Some("2026-10-25T22:00:00.005Z"));
        assert!(!sum.counts_equal(&before));
        let later = DaySummary { time: "later".into(), analysed_s: Some(3.0), ..sum.clone() };
        assert!(sum.counts_equal(&later) && sum != later);
        assert!(day.contains(since_ms) && !day.contains(day.until_ms));
    }
}
