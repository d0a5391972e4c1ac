//! Payloads besides [`Event`](crate::event::Event).
//!
//! Documents are JSON, one object each; fields are only ever added within a schema version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster_health::ClusterHealth;
use super::progress::{CalibrationProgress, Watching};
use crate::telemetry::{DurationHistogram, Percentiles};

/// The daemon as a whole, as plain text on the status topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Connected.
    Online,
    /// The last will: the broker publishes it for a daemon whose connection is lost.
    Offline,
    /// Stopped on request.
    Stopped,
}

impl Status {
    /// The payload.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Stopped => "stopped",
        }
    }
}

/// Whether a source delivers sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Samples arrive.
    Online,
    /// They do not.
    Offline,
}

/// The availability document of a stream. In Home Assistant: `value_template: "{{ value_json.state }}"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// Whether samples arrive.
    pub state: Presence,
    /// Why they do not, one line; null while they do.
    pub reason: Option<String>,
}

impl Availability {
    /// Samples arrive.
    #[must_use]
    pub fn online() -> Self {
        Self { state: Presence::Online, reason: None }
    }

    /// Samples do not arrive, because of `reason`.
    #[must_use]
    pub fn offline(reason: impl Into<String>) -> Self {
        Self { state: Presence::Offline, reason: Some(reason.into()) }
    }

    /// Samples go to another node.
    #[must_use]
    pub fn elsewhere(node: &str) -> Self {
        Self::offline(format!("{HEARD_BY}{node}"))
    }

    /// Whether they do, so that nothing is wrong with the stream.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.state == Presence::Offline && self.reason.as_ref().is_some_and(|why| why.starts_with(HEARD_BY))
    }
}

/// The reason of a stream that another node has, before its name.
const HEARD_BY: &str = "heard by ";

/// The payload of the anomaly topic: `ON` while an event goes on, else `OFF`.
#[must_use]
pub fn anomaly(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

/// The figures of a moment, for a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Seconds from the start of the stream.
    pub t_s: f64,
    /// The same moment, RFC 3339 in UTC.
    pub time: String,
    /// Surprise in robust deviations from normal; null while calibrating.
    pub surprise: Option<f64>,
    /// Distance from what was normal, no unit; null while calibrating.
    pub novelty: Option<f64>,
    /// Level, dB full scale.
    pub level_dbfs: f32,
    /// Tail probability per second of normal sound; null while calibrating.
    pub p: Option<f64>,
    /// -log10 of `p`; null while calibrating.
    pub score: Option<f64>,
    /// The state of the stream.
    pub state: Watching,
    /// Progress of the calibration; left out outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning: Option<CalibrationProgress>,
}

/// The state of the outbox within [`Health`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxHealth {
    /// Documents waiting for the broker's receipt.
    pub pending: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Documents that were given up because of age or size, since the outbox was made.
    pub dropped: u64,
    /// The disk refuses writes: new documents wait in memory.
    pub degraded: bool,
    /// The state folder was removed while the daemon ran: what is kept is lost when it ends.
    pub removed: bool,
    /// Damaged files that were moved aside since the start of the daemon.
    pub corrupt_files: u64,
}

/// The broker within [`Health`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerHealth {
    /// The broker is there.
    pub connected: bool,
    /// Its faults: it is away, it refuses or drops topics, or there is a second node of this name; a line each.
    pub faults: Vec<String>,
    /// Why it is away; null while it is connected, and where none is configured.
    pub reason: Option<String>,
    /// Since when it has been away, RFC 3339 in UTC; null as `reason`.
    pub since: Option<String>,
    /// Seconds since then, 0 while it is connected; for `/metrics`.
    #[serde(skip)]
    pub away_s: f64,
}

/// The input of a stream within [`Health`]: hops of 10 ms in each state but the good one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputHealth {
    /// The present state: `good` or one of the names below. `stuck`, `silent` and `invalid` sound is not judged.
    pub state: String,
    /// 10 s below −85 dBFS.
    pub faint: u64,
    /// A mean far from 0.
    pub offset: u64,
    /// 1 % or more of the samples at full scale.
    pub clipping: u64,
    /// A constant.
    pub stuck: u64,
    /// Digital silence.
    pub silent: u64,
    /// Samples that are no numbers or beyond 1e4, or a model that gives none.
    pub invalid: u64,
}

/// One stream within [`Health`]. All are totals since the start of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamHealth {
    /// Overruns: episodes in which the ring was full and refused samples.
    pub overruns: u64,
    /// Xruns: times that the sound card reported a gap; for a card with several channels counted at its first stream.
    pub xruns: u64,
    /// Samples that never reached the model.
    pub lost_samples: u64,
    /// Share of the samples of the last 15 minutes that were lost while the source gave sound, percent; 0 in the first minute.
    pub lost_percent: f64,
    /// Samples at the model's rate that came in.
    pub samples_in: u64,
    /// Samples that were scored.
    pub samples_scored: u64,
    /// Samples that fill no whole hop, beside a gap or at the end: in = scored + shed + less than a hop that waits
    /// (nothing waits once the stream is over).
    pub samples_shed: u64,
    /// Samples of the source that were NaN, infinite or beyond 1e4 and were taken as 0.
    pub not_finite: u64,
    /// Times that the model's output was not finite, so that its state was reset.
    pub model_resets: u64,
    /// Bytes of raw PCM that were refused because they are no whole frames.
    pub bytes_refused: u64,
    /// Samples a second that come from a network, where they are more than 0.5 % off what is configured; else null.
    pub measured_hz: Option<u32>,
    /// The configured rate then; else null.
    pub configured_hz: Option<u32>,
    /// The state of the input.
    pub input: InputHealth,
    /// Alarms that the cap refused.
    pub capped: u64,
    /// Events that were not reported, because their kind was declared normal.
    pub known: u64,
    /// Events that were not reported, because their sound had been reported often, and recently.
    pub repeats: u64,
    /// Event documents that were not reported, because the stream was muted.
    pub muted: u64,
    /// Times that a calibration failed by a fault of the program or the machine, and restarted.
    pub learning_failed: u64,
    /// Times that the site has changed.
    pub regimes: u64,
    /// The threshold on -log10 p in force: the budget's and what alarms have taught; null while calibrating.
    pub threshold: Option<f64>,
    /// The false-alarm budget in force, events an hour; null in the first moments of the daemon.
    pub budget_per_hour: Option<f64>,
    /// Counters of the chunks of a microphone on the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<ChunkHealth>,
}

/// Chunks of a microphone on the broker within [`StreamHealth`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChunkHealth {
    /// Those that came.
    pub taken: u64,
    /// Of these, those that came when they had been given up.
    pub late: u64,
    /// Of these, those whose sound had come before.
    pub repeated: u64,
    /// Of these, invalid messages, and chunks of an unexpected session.
    pub refused: u64,
    /// Frames that are missing between chunks.
    pub missing_frames: u64,
}

/// The health document of the node. Totals count from the start of the daemon where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// When this was written, RFC 3339 in UTC.
    pub time: String,
    /// Version of the program.
    pub version: String,
    /// ULID of this run of the daemon.
    pub boot: String,
    /// Seconds since the start, by the monotonic clock.
    pub uptime_s: f64,
    /// Samples that came in, all streams.
    pub samples_in: u64,
    /// Samples scored, all streams.
    pub samples_scored: u64,
    /// Samples that fill no whole hop, all streams.
    pub samples_shed: u64,
    /// Documents that became durable since the outbox was made: accepted = acked + pending + dropped.
    pub events_accepted: u64,
    /// Of these, how many the broker has confirmed.
    pub events_acked: u64,
    /// Of these, how many wait.
    pub events_pending: u64,
    /// Of these, how many were given up.
    pub events_dropped: u64,
    /// Messages that the publisher could not even accept, because a queue was full.
    pub events_refused: u64,
    /// Requests over the broker that were carried out.
    pub requests_done: u64,
    /// Requests that were not: unknown, not allowed, unreadable, too many, or of something that is not there.
    pub requests_refused: u64,
    /// The broker.
    pub broker: BrokerHealth,
    /// The outbox.
    pub outbox: OutboxHealth,
    /// Snapshots of events that were written, those that made room for later ones included.
    pub snapshots_written: u64,
    /// Snapshots that were given up, since the disk refused or was too slow.
    pub snapshots_dropped: u64,
    /// Median time to process a hop, µs.
    pub hop_p50_us: f64,
    /// 99th percentile of the same, µs.
    pub hop_p99_us: f64,
    /// Times to process a hop since the start, for `/metrics`.
    #[serde(skip)]
    pub hop_spread: DurationHistogram,
    /// Where the time goes between a sound and its event, by stage.
    pub delays: Delays,
    /// Share of the time for which the analysis worked and did not wait for sound, over some 10 s, percent.
    pub load_percent: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// The streams by id.
    pub streams: BTreeMap<String, StreamHealth>,
    /// The cluster, where this is one of its workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterHealth>,
}

/// Delays within [`Health`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// From the capture of a hop's last sample (the end of its period) to its score: ring, resampler, model, detector. Sound that waited for a
    /// calibration is left out.
    /// Of live and paced sound.
    pub heard: Delay,
    /// The model: one step of all streams that had a hop.
    pub step: Delay,
    /// From an event's arrival at the outbox until it is durable.
    pub commit: Delay,
}

/// Percentiles of a delay, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    /// Median.
    pub p50_us: f64,
    /// 99 of 100 are shorter.
    pub p99_us: f64,
    /// 999 of 1000 are shorter.
    pub p999_us: f64,
    /// All since the start, for `/metrics`.
    #[serde(skip)]
    pub spread: DurationHistogram,
}

impl From<Percentiles> for Delay {
    fn from(p: Percentiles) -> Self {
        Self { p50_us: p.p50.round(), p99_us: p.p99.round(), p999_us: p.p999.round(), spread: p.spread }
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
