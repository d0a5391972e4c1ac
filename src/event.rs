//! The record that travels from the detector to the publisher, and leaves the box as JSON.
//!
//! A [`Finding`] is the output of the detector, a pure function of the sound; an [`Event`] is a finding with ids and
//! clock times of the daemon. As JSON the two are one flat object.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

mod day;
mod kind;
mod severity;
mod verdict;

pub use day::{Day, DayName, DaySummary, VerdictCounts, WorstEvent};
pub use kind::{Detail, Kind, summary};
pub use severity::Gravity;
pub use verdict::Verdict;

/// Version of the JSON document; fields are only ever added within a version.
pub const EVENT_SCHEMA: u32 = 1;

/// Phase of an event. All documents of one event share its `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The event has been confirmed and is ongoing.
    New,
    /// The event is ongoing, and has become severe.
    Update,
    /// The event has ended; figures are final.
    End,
}

/// How improbable the event is under the calibration: the smallest tail probability against the budget's, which is
/// `budget_per_hour`/3600 a second. For how grave an event is, see [`Finding::severity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Rarer than the false-alarm budget asks for: `p` is below that of the budget.
    Alarm,
    /// A hundred times rarer than that: reported regardless of the cap.
    Severe,
}

/// Which of surprise and novelty was the less probable one at the peak of an event. It describes the event; its tail
/// probability is that of all terms of the site together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// -PMI of the latents and the contexts before them.
    Surprise,
    /// Mahalanobis distance of the band statistics over 0.5 s from those of the calibration.
    Novelty,
}

/// One report of the detector about one event. Samples count from the start of the stream at 16 kHz;
/// probabilities are per second of normal sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Phase of the event.
    pub phase: Phase,
    /// Number of the event in its stream, from 0.
    pub number: u64,
    /// Sample index of the onset.
    pub onset_sample: u64,
    /// Onset in seconds from the start of the stream.
    pub onset_s: f64,
    /// Sample index just after the event; null until its end.
    pub offset_sample: Option<u64>,
    /// Offset in seconds from the start of the stream.
    pub offset_s: Option<f64>,
    /// Audio time of this report, in seconds from the start of the stream: `emitted_s -
    /// onset_s` is the decision delay, free of pacing and clock effects.
    pub emitted_s: f64,
    /// Audio time of the first report of the event, the same in all of them; none in documents of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_s: Option<f64>,
    /// Time of the highest score, seconds from the start of the stream.
    pub peak_s: f64,
    /// Highest score so far: -log10 of the tail probability.
    pub score: f64,
    /// Mean score from onset until now.
    pub score_mean: f64,
    /// Smallest tail probability so far, per second of normal sound.
    pub p: f64,
    /// Tier of the smallest tail probability.
    pub tier: Tier,
    /// How grave the event is so far, 0 to 100; 0 in documents of before. It is the sum, to the nearest, of
    ///
    /// - 5 for each factor of 10 by which [`p`](Self::p) is below the probability of the budget,
    ///   [`budget_per_hour`](Self::budget_per_hour)/3600, at most 40,
    /// - 1 for each dB of [`level_change_db`](Self::level_change_db), louder or quieter, at most 25,
    /// - 7·log10(1 + duration/0.1 s), at most 20, where the duration is that from [`onset_s`](Self::onset_s) to
    ///   [`offset_s`](Self::offset_s), or to [`emitted_s`](Self::emitted_s) while the event is ongoing,
    /// - 15/(1 + [`repeats`](Self::repeats)).
    ///
    /// Figures that are not finite add nothing.
    #[serde(default)]
    pub severity: u8,
    /// The less probable of surprise and novelty at the peak.
    pub evidence: Evidence,
    /// Its kind, which may change while the event is ongoing; final at the end.
    #[serde(default)]
    pub kind: Kind,
    /// The figures behind the kind; left out where there are none.
    #[serde(default, skip_serializing_if = "Detail::is_empty")]
    pub detail: Detail,
    /// Kind and figures in a line of English, as [`Finding::summarise`] writes it; empty in documents of before.
    #[serde(default)]
    pub summary: String,
    /// The first of the former events of this stream that this one repeats (cosine of at least 0.95 in the space of z);
    /// left out where it repeats none, or none is known to be like it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<u64>,
    /// How often such a sound occurred before this event, reported or not, 0 for the first; left out where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u32,
    /// Surprise S at the peak, in robust deviations from normal (median 0, MAD 1).
    pub surprise: f64,
    /// -PMI at the peak in nats, for k = 1..=K; null where no context was old enough.
    pub surprise_per_k: Vec<Option<f32>>,
    /// Novelty at the peak (Mahalanobis distance over the square root of its dimension, no unit).
    pub novelty: f64,
    /// Lower and upper edge in Hz of the most deviant band at the peak; null without one.
    #[serde(default)]
    pub band_hz: Option<[f32; 2]>,
    /// Highest level of a hop within the event, dB full scale.
    pub level_dbfs: f32,
    /// Median level at calibration, dB full scale.
    pub background_dbfs: f32,
    /// Highest level of a hop within the event over the median at calibration, dB.
    #[serde(default)]
    pub level_change_db: f32,
    /// The former event of this stream that it is most like, where one is like it; null until its end.
    #[serde(default)]
    pub nearest: Option<Nearest>,
    /// The sound of the event in the model's label space, in 32nds: by this labels know it again. Given at the end, where the
    /// model has such a space; no part of the document.
    #[serde(skip)]
    pub embedding: Option<Vec<i8>>,
    /// The false-alarm budget in force, events an hour.
    pub budget_per_hour: f64,
    /// Id of the calibration in force: the first 8 hex digits of its hash.
    pub calibration: String,
    /// The event ended because the site has changed for good: a new calibration has begun. Left out where it
    /// is false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub regime: bool,
}

impl Finding {
    /// Computes `severity` from the other fields.
    pub fn grade(&mut self) {
        self.severity = Gravity::of(self).severity();
    }

    /// Writes `summary` from the other fields.
    pub fn summarise(&mut self) {
        self.summary = summary(self.kind, &self.detail, self.band_hz, self.level_change_db);
        match self.repeats {
            0 => {}
            1 => self.summary.push_str("; heard once before"),
            times => {
                let _ = write!(self.summary, "; heard {times} times before");
            }
        }
    }
}

// serde gives a reference
fn is_zero(x: &u32) -> bool {
    *x == 0
}

/// A former event, and its similarity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its number in the stream.
    pub number: u64,
    /// Cosine of the two differences from the background in the space of z, -1 to 1.
    pub cosine: f64,
}

/// One document about one event, as it is published. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`EVENT_SCHEMA`].
    pub schema: u32,
    /// ULID, the same in all documents of the event: drop duplicates by `(id, seq)`.
    pub id: String,
    /// ULID of this run of the daemon.
    pub boot: String,
    /// Number of this document in its stream and boot, from 0 without holes: a hole is a loss.
    pub seq: u64,
    /// Node id from the configuration.
    pub node: String,
    /// Stream id from the configuration.
    pub stream: String,
    /// Time of the first sample of the event.
    pub onset: String,
    /// Time just after the last sample of the event; null until its end.
    pub offset: Option<String>,
    /// Time when this document was made.
    pub emitted: String,
    /// Milliseconds from the arrival of the last sample of the deciding hop to this document.
    pub latency_ms: f64,
    /// First 12 hex digits of the model's sha256.
    pub model: String,
    /// Once the event is over and where snapshots are kept: the files of this event, relative to the state folder and
    /// without their endings. They come up to a second after the document, and go when later ones need the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The label of earlier events that it sounds like; left out where it is like none, and before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Cosine to the mean of the examples of the label, -1 to 1; left out without a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// How many events of the label there were so far, this one included; left out without a label.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heard: u32,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Event {
    /// `sounds like kettle (0.87), heard 7 times`, where it has a label.
    #[must_use]
    pub fn known_as(&self) -> Option<String> {
        let label = self.label.as_ref()?;
        let similarity = self.similarity.unwrap_or_default();
        let heard = match self.heard {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        Some(format!("sounds like {label} ({similarity:.2}), heard {heard}"))
    }
}

/// Sample documents for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// The document of an event that was just confirmed.
    pub(crate) const DOCUMENT: &str = include_str!("../tests/support/event.json");

    /// Event `number` of its stream, confirmed in the second of the same number.
    pub(crate) fn finding(number: u64) -> Finding {
        event("hall", number).finding
    }

    /// Document `seq` of `stream`, as many seconds after its start.
    pub(crate) fn event(stream: &str, seq: u64) -> Event {
        Event { id: format!("{seq:026}"), ..sample_event(stream, seq) }
    }

    include!("../tests/support/sample_event.rs");
}
