//! The task of one stream while it is analysed here, and a pass over its sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Sequencer;
use super::figures::{Counts, Lag};
use super::jetstream::JetStream;
use super::journal::DocumentLog;
use super::snapshot_state::SnapshotState;
use super::stream_channel::{StreamCommand, TaskPort};
use crate::mqtt::Incoming;

/// Pause while the channel to the analysis is full.
const FULL: Duration = Duration::from_millis(2);

/// A stream that is analysed here: where its sound comes from and what goes where.
pub(super) struct StreamTask {
    pub(super) jetstream: JetStream,
    /// Id of the stream, of its microphone, and the channel that is analysed; the mean of all where it is none.
    pub(super) stream: String,
    pub(super) mic: String,
    pub(super) channel: Option<u16>,
    pub(super) prefix: String,
    pub(super) model: String,
    /// Name of this worker.
    pub(super) node: String,
    /// From one snapshot to the next.
    pub(super) snapshot_every: Duration,
    pub(super) outlet: TaskPort,
    /// Channel to the source, which shows whether the microphone is analysed.
    pub(super) way: Option<crossbeam_channel::Sender<Incoming>>,
    pub(super) stop: watch::Receiver<bool>,
    /// Revision of the lease.
    pub(super) revision: Arc<AtomicU64>,
    pub(super) lag: Arc<Lag>,
    pub(super) counts: Arc<Counts>,
}

/// A pass over the sound from a resume point on.
pub(super) struct ReplayPass {
    pub(super) journal: DocumentLog,
    pub(super) order: Sequencer,
    /// Number of the last chunk that was taken.
    pub(super) at: u64,
    pub(super) snapshots: SnapshotState,
    /// Detector state for the next session.
    pub(super) known: Option<String>,
    /// A session goes on in the analysis.
    pub(super) running: bool,
    /// Older sound than the oldest that is kept was to be replayed: the next chunk shows whether there was any of this stream.
    pub(super) sound_lost: bool,
    pub(super) informed: Option<Instant>,
    /// Since when it replays, and how many chunks; none once it has caught up with its microphone.
    pub(super) replays: Option<(Instant, u64)>,
}

impl StreamTask {
    /// Waits for room in the analysis.
    pub(super) async fn send(&self, mut sound: StreamCommand) -> Result<(), String> {
        loop {
            match self.outlet.sound.try_send(sound) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => sound = back,
                Err(TrySendError::Disconnected(_)) => return Err("the analysis has ended".into()),
            }
            sleep(FULL).await;
        }
    }

    /// Counts a write that is refused; says why this pass ends.
    pub(super) fn fenced(&self) -> String {
        if self.counts.fenced.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "cluster: {}: a write is refused, since another worker is ahead; others are only counted",
                self.stream
            );
        }
        "another worker is ahead".to_owned()
    }
}
