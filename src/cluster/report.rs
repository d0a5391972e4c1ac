//! The state of the cluster on the servers, for `cpc-stream cluster status`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use serde::Serialize;

use super::figures::{StreamOwner, WorkerPresence};
use super::jetstream::{JetStream, Names, connect};
use super::keys::{STREAM, WORKER};
use super::pack::unpack_parts;
use super::stream_channel::Resume;
use super::{ClusterConfig, Figures};
use crate::error::{Error, Result};
use crate::mqtt::link;

/// How long the servers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cluster at a moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClusterReport {
    /// The workers that are there: model, most streams, and what they count.
    pub workers: BTreeMap<String, WorkerReport>,
    /// The streams.
    pub streams: BTreeMap<String, StreamReport>,
    /// Documents that are kept.
    pub events: u64,
    /// Of these, not confirmed by the MQTT broker yet; `None` without a relay.
    pub events_waiting: Option<u64>,
    /// Chunks of sound that are kept, and their bytes.
    pub sound: (u64, u64),
}

/// A worker.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerReport {
    /// First 12 hex digits of its model's sha256.
    pub model: String,
    /// Most streams that it analyses.
    pub max_streams: usize,
    /// Its counters.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A stream.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamReport {
    /// Its worker; `None` without one.
    pub owner: Option<String>,
    /// Revision of the lease.
    pub revision: Option<u64>,
    /// Seconds of sound that it is behind; `None` before the first.
    pub lag_s: Option<f64>,
    /// Number of the last chunk that was received; `None` before the first.
    pub sequence: Option<u64>,
    /// Number of the chunk from which a worker that takes it replays.
    pub resumes_at: Option<u64>,
    /// Seconds of sound since then.
    pub replay_s: Option<f64>,
    /// Seconds since its last snapshot; none before the first of its session.
    pub snapshot_age_s: Option<f64>,
    /// Bytes of that snapshot.
    pub snapshot_bytes: Option<u64>,
}

/// Asks the servers.
///
/// # Errors
/// When they are away, or do not have what a cluster of this name keeps.
pub fn status(config: &ClusterConfig, prefix: &str) -> Result<ClusterReport> {
    let names = Names::new(config, prefix);
    let runtime = link::runtime()?;
    let away = |reason: String| {
        let url = config.url.clone().unwrap_or_default();
        Error::broker(
            format!("the cluster at {url} does not answer: {reason}"),
            "check `url` in [cluster], and that nats-server runs there with JetStream",
        )
    };
    let asked = runtime.block_on(async {
        let ask = async {
            let client = connect(config, "cpc-stream-status").await?;
            let jetstream = JetStream::open(&client, config, &names).await.map_err(&away)?;
            read(&jetstream).await.map_err(&away)
        };
        tokio::time::timeout(PATIENCE, ask).await
    });
    asked.unwrap_or_else(|_| Err(away(format!("nothing came within {} s", PATIENCE.as_secs()))))
}

async fn read(jetstream: &JetStream) -> Result<ClusterReport, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut report = ClusterReport::default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let keys: Vec<String> = match jetstream.states.keys().await {
        Ok(keys) => keys.try_collect().await.map_err(|e| text(&e))?,
        Err(error) => return Err(text(&error)),
    };
    for stream in keys.into_iter().filter(|key| !key.contains('.')) {
        let Some(packed) = jetstream.states.get(stream.as_str()).await.map_err(|e| text(&e))? else {
            continue;
        };
        let Ok((resume, _)) = unpack_parts::<Resume>(&packed) else { continue };
        let of = |ms: u64| now.saturating_sub(Duration::from_millis(ms)).as_secs_f64();
        let snapshot = resume.snapshot.as_ref();
        let line = StreamReport {
            resumes_at: Some(snapshot.map_or(resume.sequence, |_| resume.sequence + 1)),
            replay_s: Some(of(snapshot.map_or(resume.session.started_ms, |info| info.taken_ms))),
            snapshot_age_s: snapshot.map(|info| of(info.taken_ms)),
            snapshot_bytes: snapshot.map(|_| packed.len() as u64),
            ..StreamReport::default()
        };
        report.streams.insert(stream, line);
    }
    let keys: Vec<String> =
        jetstream.leases.keys().await.map_err(|e| text(&e))?.try_collect().await.map_err(|e| text(&e))?;
    let mut present = BTreeMap::new();
    for key in keys {
        let Some(entry) = jetstream.leases.entry(key.as_str()).await.map_err(|e| text(&e))? else { continue };
        if let Some(stream) = key.strip_prefix(STREAM) {
            let owner: StreamOwner = serde_json::from_slice(&entry.value).unwrap_or_default();
            let line = report.streams.entry(stream.to_owned()).or_default();
            (line.owner, line.revision) = (Some(owner.node), Some(entry.revision));
        } else if let Some(node) = key.strip_prefix(WORKER) {
            let presence: WorkerPresence = serde_json::from_slice(&entry.value).unwrap_or_default();
            present.extend(presence.streams);
            let WorkerPresence { max_streams, model, figures, .. } = presence;
            report.workers.insert(node.to_owned(), WorkerReport { model, max_streams, figures });
        }
    }
    for (stream, presence) in present {
        let line = report.streams.entry(stream).or_default();
        // 0: nothing was received
        let received = (presence.sequence > 0).then_some(presence.sequence);
        (line.lag_s, line.sequence) = (received.map(|_| presence.lag_s), received);
    }
    let sound = jetstream.sound.get_info().await.map_err(|e| text(&e))?;
    report.sound = (sound.state.messages, sound.state.bytes);
    report.events = jetstream.events.get_info().await.map_err(|e| text(&e))?.state.messages;
    let consumer = jetstream.events.consumer_info(super::relay::CONSUMER).await.ok();
    report.events_waiting = consumer.map(|info| info.num_pending + info.num_ack_pending as u64);
    Ok(report)
}
