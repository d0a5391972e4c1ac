//! Events that sound like one, by the embeddings that labels are known by.

use serde::Serialize;

use super::filter::Filter;
use super::recogniser::direction;
use super::row::{LabelSource, Row};
use super::store::EventStore;
use crate::error::Result;
use crate::event::Verdict;

/// The newest events that are compared, at most: as many as are kept by default.
const COMPARED: usize = 20_000;
/// Most events of an answer.
const MOST: usize = 100;

/// The events that sound like one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Similar {
    /// The most similar first, and of two alike the newer.
    pub events: Vec<SimilarEvent>,
    /// Cosine from which an event sounds like another: that of labels.
    pub least: f64,
    /// How many events were compared: those of the same model whose sound is known.
    pub compared: usize,
    /// Whether these were all that are kept.
    pub complete: bool,
    /// Why nothing was compared; null where something was.
    pub reason: Option<&'static str>,
}

/// An event that sounds like another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarEvent {
    /// ULID.
    pub id: String,
    /// Cosine of the two embeddings, up to 1.
    pub similarity: f64,
    /// Its onset, RFC 3339 in UTC.
    pub onset: String,
    /// Id of its stream.
    pub stream: String,
    /// Its kind.
    pub kind: String,
    /// Its severity, 0 to 100.
    pub severity: u8,
    /// Its verdict; null without one.
    pub verdict: Option<Verdict>,
    /// Its label; empty without one.
    pub label: String,
    /// Where the label comes from; null without one.
    pub label_source: Option<LabelSource>,
    /// What it is about.
    pub summary: String,
}

impl SimilarEvent {
    fn of(id: String, row: &Row, cosine: f64) -> Option<Self> {
        let event = row.kept()?.event;
        Some(Self {
            id,
            similarity: (cosine * 1e3).round() / 1e3,
            onset: event.onset,
            stream: row.stream.clone(),
            kind: row.kind.clone(),
            severity: row.severity,
            verdict: row.verdict,
            label: row.label.clone(),
            label_source: row.label_source(),
            summary: event.finding.summary,
        })
    }
}

impl EventStore {
    /// The events, `limit` (1 to 100) at most, that sound like the event `id`: their embeddings have a cosine of
    /// `label_similarity` or more. None where no such event is kept.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn similar(&self, id: &str, limit: usize) -> Result<Option<Similar>> {
        let Some(row) = self.row(id)? else { return Ok(None) };
        let least = self.shared.least;
        let known = row.embedding().filter(|(_, embedding)| embedding.iter().any(|&x| x != 0));
        let Some((model, embedding)) = known else {
            let reason = Some(
                "the sound of this event is not known: it goes on or was cut off, it is no different from its site, \
                 or the model has no space for labels",
            );
            return Ok(Some(Similar { least, reason, ..Similar::default() }));
        };
        let wanted = direction(&embedding);
        let limit = limit.clamp(1, MOST);
        let (mut looked_at, mut compared) = (0, 0);
        let mut best: Vec<(f64, String, Row)> = Vec::new();
        self.scan(&Filter::default(), &mut |other, row| {
            if looked_at == COMPARED {
                looked_at += 1;
                return false;
            }
            looked_at += 1;
            let alike = |(of, found): &(String, Vec<i8>)| *of == model && found.len() == wanted.len();
            let Some((_, found)) = row.embedding().filter(alike).filter(|_| other != id) else { return true };
            compared += 1;
            let cosine: f64 = direction(&found).iter().zip(&wanted).map(|(a, b)| f64::from(a * b)).sum();
            if cosine >= least {
                let place = best.partition_point(|(known, ..)| *known >= cosine);
                if place < limit {
                    best.insert(place, (cosine, other.to_owned(), row));
                    best.truncate(limit);
                }
            }
            true
        })?;
        let events =
            best.into_iter().filter_map(|(cosine, id, row)| SimilarEvent::of(id, &row, cosine)).collect();
        Ok(Some(Similar { events, least, compared, complete: looked_at <= COMPARED, reason: None }))
    }
}
