//! One stream of an analysis thread.

use std::time::{Duration, Instant, SystemTime};

use super::cluster_session::ClusterSession;
use super::dashboard_update::DashboardUpdate;
use super::learning_progress::LearningProgress;
use super::mute::Mute;
use super::publish_queue::publish;
use super::scores::Summary;
use super::snapshot::Snapshots;
use super::state_logger::StateLogger;
use super::{EventBuilder, PipelineFigures};
use crate::capture::StreamFeed;
use crate::detect::StreamState;
use crate::event::{Event, Finding};
use crate::publish::{EventSender, Outgoing};

/// Whether an event is ongoing, and the published state of that.
#[derive(Debug, Default)]
pub(super) struct Anomaly {
    on: bool,
    reported: Option<bool>,
}

impl Anomaly {
    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Resets the state, and publishes it even if it was published before.
    pub(super) fn reset_and_resend(&mut self) {
        *self = Self::default();
    }
}

/// A stream.
pub(super) struct Stream {
    /// Its index among all streams of the daemon.
    pub(super) place: usize,
    pub(super) feed: StreamFeed,
    /// Its number in the engine, from its first sample until its end.
    pub(super) number: Option<usize>,
    pub(super) known: Option<StreamState>,
    pub(super) keep: bool,
    /// It is analysed here; a stream of a cluster may be analysed by another worker.
    pub(super) owned: bool,
    /// Its cluster session, if workers share it.
    pub(super) shared: Option<ClusterSession>,
    /// It is closed.
    pub(super) closing: bool,
    /// All of it is scored, and it has ended.
    pub(super) closed: bool,
    pub(super) received: f64,
    /// It is live: its sound can stop at any time, unlike a file.
    pub(super) live: bool,
    /// When its last samples were taken.
    pub(super) last: Option<Instant>,
    pub(super) anomaly: Anomaly,
    /// Estimated moment of sample 0; none for a file that is read as fast as it goes.
    pub(super) zero: Option<Instant>,
    /// When it was calibrated last: sound from before then waited for that.
    pub(super) calibrated: Option<Instant>,
    pub(super) started: SystemTime,
    pub(super) figures: PipelineFigures,
    pub(super) notes: StateLogger,
    pub(super) learned: LearningProgress,
    pub(super) mute: Mute,
    pub(super) summary: Summary,
    /// Embeddings so far.
    pub(super) embeddings: u32,
    pub(super) shown: DashboardUpdate,
}

impl Stream {
    /// A stream that is watched at once if its state is `known`; its state is handed over for storage if `keep`.
    pub(super) fn new(place: usize, feed: StreamFeed, known: Option<StreamState>, keep: bool) -> Self {
        Self {
            place,
            feed,
            number: None,
            known,
            keep,
            owned: true,
            shared: None,
            closing: false,
            closed: false,
            received: 0.0,
            live: keep,
            last: None,
            anomaly: Anomaly::default(),
            zero: None,
            calibrated: None,
            started: SystemTime::now(),
            figures: PipelineFigures::default(),
            notes: StateLogger::default(),
            learned: LearningProgress::default(),
            mute: Mute::default(),
            summary: Summary::default(),
            embeddings: 0,
            shown: DashboardUpdate::default(),
        }
    }

    /// A stream that the workers of a cluster share: it is not analysed here until it is taken.
    pub(super) fn clustered(place: usize, feed: StreamFeed, shared: ClusterSession) -> Self {
        Self { owned: false, shared: Some(shared), ..Self::new(place, feed, None, false) }
    }

    /// Counts samples from its ring.
    pub(super) fn note_samples(&mut self, count: usize, rate: u32) {
        self.received += count as f64 / f64::from(rate.max(1));
        self.last = Some(Instant::now());
        if let Some(next) = self.feed.reader.captured_at() {
            self.zero = next.checked_sub(Duration::from_secs_f64(self.received));
        }
    }

    /// Delay of the score of that frame, where sound comes at its own pace and did not wait for a calibration.
    pub(super) fn delay(&self, frame: u64) -> Option<Duration> {
        let captured = self.zero? + Duration::from_millis(10 * (frame + 1));
        self.calibrated.is_none_or(|calibrated| captured >= calibrated).then(|| captured.elapsed())
    }

    /// Publishes whether an event is ongoing, where that is not published yet.
    pub(super) fn publish_anomaly(&mut self, sender: &EventSender, patient: bool) {
        let on = self.anomaly.on;
        let reported = self.anomaly.reported == Some(on)
            || publish(sender, patient, Outgoing::Anomaly { stream: self.feed.id.clone(), on });
        self.anomaly.reported = reported.then_some(on);
    }

    /// The event document of a finding. For a stream of a cluster it is sent to the cluster; `None` without a current
    /// session.
    pub(super) fn document(
        &mut self,
        finding: Finding,
        event_builder: &mut EventBuilder,
        snapshots: &mut Snapshots,
    ) -> Option<Event> {
        if let Some(shared) = &mut self.shared {
            return shared.report(event_builder, &self.feed.id, finding);
        }
        let latency = self.zero.map_or(Duration::ZERO, |zero| {
            zero.elapsed().saturating_sub(Duration::from_secs_f64(finding.emitted_s))
        });
        let mut event = event_builder.event(&self.feed.id, finding, self.wall_zero(), latency);
        snapshots.announce(&mut event);
        Some(event)
    }

    /// Wall-clock time of sample 0, by the clock as it is now.
    pub(super) fn wall_zero(&self) -> SystemTime {
        self.zero.map_or(self.started, |zero| SystemTime::now() - zero.elapsed())
    }
}
