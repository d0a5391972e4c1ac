//! Filters of queries.

use jiff::Timestamp;

use super::row::Row;
use crate::error::{Error, Result};
use crate::event::{Kind, Verdict};

const DAY_MS: u64 = 86_400_000;

/// Filter by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictFilter {
    /// Without a verdict.
    No,
    /// With this verdict.
    As(Verdict),
}

/// Conditions of a query; a field that is `None` matches every event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Stream id.
    pub stream: Option<String>,
    /// Kind.
    pub kind: Option<Kind>,
    /// Least severity, 0 to 100.
    pub severity: u8,
    /// Verdict.
    pub judged: Option<VerdictFilter>,
    /// Label, the whole of it.
    pub label: Option<String>,
    /// Onset at or after this, Unix time in ms.
    pub since_ms: Option<u64>,
    /// Onset before this, Unix time in ms.
    pub until_ms: Option<u64>,
    /// Only events older than the one of this id: the next page.
    pub before: Option<String>,
}

impl Filter {
    /// Sets the condition of `key`, as in a query: `stream`, `kind`, `severity`, `verdict` (`normal`, `anomaly`,
    /// `none`), `label`, `day` (in UTC, or with the difference of its zone: `2026-01-31+01:00`), `since` and `until` (RFC 3339, or Unix
    /// seconds), `before`. An empty `value` matches every
    /// event.
    ///
    /// # Errors
    /// A configuration error where there is no such key, or the value cannot be read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        let wrong = |expected: &str| {
            Error::config(format!("{key}={value:?} cannot be read"), format!("give {expected}"))
        };
        let text = || Some(value.to_owned());
        match key {
            "stream" => self.stream = text(),
            "label" => self.label = text(),
            "before" => self.before = text(),
            "kind" => {
                let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == value);
                let all = Kind::ALL.map(Kind::as_str).join(", ");
                self.kind = Some(found.ok_or_else(|| wrong(&format!("one of {all}")))?);
            }
            "severity" => {
                let least = value.parse().ok().filter(|least| *least <= 100);
                self.severity = least.ok_or_else(|| wrong("the least severity, 0 to 100"))?;
            }
            "verdict" => {
                self.judged = Some(match value {
                    "normal" => VerdictFilter::As(Verdict::Normal),
                    "anomaly" => VerdictFilter::As(Verdict::Anomaly),
                    "none" => VerdictFilter::No,
                    _ => return Err(wrong("normal, anomaly or none")),
                });
            }
            "day" => {
                // a plus sign in an address is a blank
                let (date, zone) = value.split_at_checked(10).unwrap_or((value, ""));
                let zone = if zone.is_empty() { "Z".to_owned() } else { zone.replace(' ', "+") };
                let start = format!("{date}T00:00:00{zone}").parse::<Timestamp>();
                let start = start.ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
                let start = start.ok_or_else(|| wrong("a day as 2026-01-31, or 2026-01-31+01:00"))?;
                (self.since_ms, self.until_ms) = (Some(start), Some(start + DAY_MS));
            }
            "since" | "until" => {
                let seconds = value.parse::<u64>().ok().map(|s| s.saturating_mul(1000));
                let date = || u64::try_from(value.parse::<Timestamp>().ok()?.as_millisecond()).ok();
                let time = seconds.or_else(date);
                let time = time.ok_or_else(|| wrong("a time as 2026-01-31T12:00:00Z, or Unix seconds"))?;
                *(if key == "since" { &mut self.since_ms } else { &mut self.until_ms }) = Some(time);
            }
            _ => {
                return Err(Error::config(
                    format!("events are not found by {key}"),
                    "ask by stream, kind, severity, verdict, label, day, since, until, before and limit",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn matches(&self, id: &str, row: &Row) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let judged = self.judged.is_none_or(|judged| match judged {
            VerdictFilter::No => row.verdict.is_none(),
            VerdictFilter::As(verdict) => row.verdict == Some(verdict),
        });
        judged
            && same(&self.stream, &row.stream)
            && same(&self.label, &row.label)
            && self.kind.is_none_or(|kind| kind.as_str() == row.kind)
            && row.severity >= self.severity
            && self.since_ms.is_none_or(|since| row.onset_ms >= since)
            && self.until_ms.is_none_or(|until| row.onset_ms < until)
            && self.before.as_ref().is_none_or(|before| id < before.as_str())
    }
}
