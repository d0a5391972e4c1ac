//! A stored event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::label_example::LabelExample;
use crate::event::{Event, Verdict};

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelSource {
    /// An operator gave it.
    Operator,
    /// The event sounds like one that has this label.
    Similarity,
}

/// A stored event with its review. As JSON it is the event document with three fields more; `similarity` and `heard` are
/// left out where an operator gave the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The latest document.
    #[serde(flatten)]
    pub event: Event,
    /// Its verdict; null without one.
    pub verdict: Option<Verdict>,
    /// Its label; empty without one.
    pub label: String,
    /// Where the label comes from; null without one.
    #[serde(default)]
    pub label_source: Option<LabelSource>,
}

/// The document of a row: the event, and the embedding of its sound.
#[derive(Serialize)]
struct DocumentOut<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [i8]>,
}

/// The part of a document that makes an example.
#[derive(Deserialize)]
struct EmbeddingIn {
    model: String,
    #[serde(default)]
    embedding: Option<Vec<i8>>,
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
    /// The label was recognised, and no operator gave it.
    pub(super) recognised: bool,
    pub(super) document: Vec<u8>,
}

/// In the number of a verdict: the label was recognised.
const RECOGNISED: u8 = 4;

/// As redb has it: the fields of [`Row`] in order, the verdict as a number, with [`RECOGNISED`] where that is so.
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
            label: event.label.clone().unwrap_or_default(),
            recognised: event.label.is_some(),
            document: serde_json::to_vec(&DocumentOut {
                event,
                embedding: event.finding.embedding.as_deref(),
            })
            .unwrap_or_default(),
        }
    }

    /// The row with the verdict of `former`, and with the label that an operator gave it.
    pub(super) fn with_review_of(mut self, former: &Self) -> Self {
        self.verdict = former.verdict;
        if !former.label.is_empty() && !former.recognised {
            (self.label, self.recognised) = (former.label.clone(), false);
        }
        self
    }

    /// The model, and the embedding of the sound of the event; none where that is not known.
    pub(super) fn embedding(&self) -> Option<(String, Vec<i8>)> {
        let EmbeddingIn { model, embedding } = serde_json::from_slice(&self.document).ok()?;
        Some((model, embedding?))
    }

    /// The event as an example of `label`; none where its sound is not known.
    pub(super) fn example(&self, id: &str, label: &str) -> Option<LabelExample> {
        let (model, embedding) = self.embedding()?;
        let (id, label, stream) = (id.to_owned(), label.to_owned(), self.stream.clone());
        Some(LabelExample { id, label, stream, model, embedding, labelled_ms: 0 })
    }

    /// Where its label comes from, if it has one.
    pub(super) fn label_source(&self) -> Option<LabelSource> {
        let source = if self.recognised { LabelSource::Similarity } else { LabelSource::Operator };
        Some(source).filter(|_| !self.label.is_empty())
    }

    pub(super) fn columns(&self) -> Columns<'_> {
        let verdict = match self.verdict {
            None => 0,
            Some(Verdict::Normal) => 1,
            Some(Verdict::Anomaly) => 2,
        };
        let verdict = verdict | if self.recognised { RECOGNISED } else { 0 };
        (self.onset_ms, &self.stream, &self.kind, self.severity, verdict, &self.label, &self.document)
    }

    pub(super) fn read((onset_ms, stream, kind, severity, verdict, label, document): Columns<'_>) -> Self {
        let recognised = verdict & RECOGNISED != 0;
        let verdict = match verdict & !RECOGNISED {
            1 => Some(Verdict::Normal),
            2 => Some(Verdict::Anomaly),
            _ => None,
        };
        let (stream, kind, label) = (stream.to_owned(), kind.to_owned(), label.to_owned());
        Self { onset_ms, stream, kind, severity, verdict, label, recognised, document: document.to_vec() }
    }

    /// Bytes that count towards the limit.
    pub(super) fn size(&self) -> u64 {
        let texts = self.stream.len() + self.kind.len() + self.label.len() + self.document.len();
        texts as u64 + OVERHEAD
    }

    /// None where a later version wrote a document that this one cannot read.
    pub(super) fn kept(&self) -> Option<StoredEvent> {
        let mut event: Event = serde_json::from_slice(&self.document).ok()?;
        // the label of a stored event is that of the row
        event.label = None;
        if !self.recognised {
            (event.similarity, event.heard) = (None, 0);
        }
        let (label, label_source) = (self.label.clone(), self.label_source());
        Some(StoredEvent { event, verdict: self.verdict, label, label_source })
    }
}
