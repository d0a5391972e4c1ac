//! A stored event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// The verdict of a person on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Normal sound of the site.
    Normal,
    /// An anomaly.
    Anomaly,
}

impl Verdict {
    /// As in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomaly => "anomaly",
        }
    }
}

/// A stored event with its review. As JSON it is the event document with two fields more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The latest document.
    #[serde(flatten)]
    pub event: Event,
    /// Its verdict; null without one.
    pub verdict: Option<Verdict>,
    /// Its label; empty without one.
    pub label: String,
}

/// Bytes that a row takes beside its texts.
const OVERHEAD: u64 = 64;

/// The columns that filters look at, and the document as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Onset, Unix time in ms.
    pub(super) onset_ms: u64,
    pub(super) stream: String,
    pub(super) kind: String,
    pub(super) severity: u8,
    pub(super) verdict: Option<Verdict>,
    pub(super) label: String,
    pub(super) document: Vec<u8>,
}

/// As redb has it: the fields of [`Row`] in order, the verdict as a number.
pub(super) type Columns<'a> = (u64, &'a str, &'a str, u8, u8, &'a str, &'a [u8]);

impl Row {
    pub(super) fn of(event: &Event) -> Self {
        let onset = event.onset.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            onset_ms: u64::try_from(onset.as_millisecond()).unwrap_or(0),
            stream: event.stream.clone(),
            kind: event.finding.kind.as_str().to_owned(),
            severity: event.finding.severity,
            verdict: None,
            label: String::new(),
            document: serde_json::to_vec(event).unwrap_or_default(),
        }
    }

    /// The row with verdict and label of `former`.
    pub(super) fn with_review_of(mut self, former: &Self) -> Self {
        (self.verdict, self.label) = (former.verdict, former.label.clone());
        self
    }

    pub(super) fn columns(&self) -> Columns<'_> {
        let verdict = match self.verdict {
            None => 0,
            Some(Verdict::Normal) => 1,
            Some(Verdict::Anomaly) => 2,
        };
        (self.onset_ms, &self.stream, &self.kind, self.severity, verdict, &self.label, &self.document)
    }

    pub(super) fn read((onset_ms, stream, kind, severity, verdict, label, document): Columns<'_>) -> Self {
        let verdict = match verdict {
            1 => Some(Verdict::Normal),
            2 => Some(Verdict::Anomaly),
            _ => None,
        };
        let (stream, kind, label) = (stream.to_owned(), kind.to_owned(), label.to_owned());
        Self { onset_ms, stream, kind, severity, verdict, label, document: document.to_vec() }
    }

    /// Bytes that count towards the limit.
    pub(super) fn size(&self) -> u64 {
        let texts = self.stream.len() + self.kind.len() + self.label.len() + self.document.len();
        texts as u64 + OVERHEAD
    }

    /// None where a later version wrote a document that this one cannot read.
    pub(super) fn kept(&self) -> Option<StoredEvent> {
        let event = serde_json::from_slice(&self.document).ok()?;
        Some(StoredEvent { event, verdict: self.verdict, label: self.label.clone() })
    }
}
