//! One stream on its way through a thread of the analysis.

use std::time::{Duration, Instant, SystemTime};

use super::cluster::Shared;
use super::inference::publish;
use super::learning_progress::LearningProgress;
use super::mute::Mute;
use super::notes::Notes;
use super::scores::Summary;
use super::show::Shown;
use super::snapshot::Snapshots;
use super::{LaneCounters, LaneFigures, Stamp};
use crate::capture::StreamFeed;
use crate::detect::StreamState;
use crate::event::{Event, Finding};
use crate::publish::{EventSender, Outgoing};

/// Whether an event goes on, and what was told of that.
#[derive(Debug, Default)]
pub(super) struct Anomaly {
    on: bool,
    told: Option<bool>,
}

impl Anomaly {
    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Has no event, and tells so even if it was told before.
    pub(super) fn say_again(&mut self) {
        *self = Self::default();
    }
}

/// A stream.
pub(super) struct Stream {
    /// Its place among all streams of the daemon.
    pub(super) place: usize,
    pub(super) feed: StreamFeed,
    /// Its number in the engine, from its first sample until its end.
    pub(super) number: Option<usize>,
    pub(super) known: Option<StreamState>,
    pub(super) keep: bool,
    /// It is heard here; of streams that workers share, one that another worker hears is not.
    pub(super) owned: bool,
    /// Its part in a cluster, where it is shared by one.
    pub(super) shared: Option<Shared>,
    /// Nothing more comes of it.
    pub(super) closing: bool,
    /// All of it is scored, and it has ended.
    pub(super) closed: bool,
    pub(super) heard: f64,
    /// Its sound comes from outside and can stop at any time: not that of a file.
    pub(super) live: bool,
    /// When its last samples were taken.
    pub(super) last: Option<Instant>,
    pub(super) anomaly: Anomaly,
    /// Estimated moment of sample 0; none for a file that is read as fast as it goes.
    pub(super) zero: Option<Instant>,
    pub(super) started: SystemTime,
    pub(super) figures: LaneFigures,
    /// What became of its samples before it was given away, and came back.
    pub(super) past: LaneCounters,
    pub(super) notes: Notes,
    pub(super) learned: LearningProgress,
    pub(super) mute: Mute,
    pub(super) summary: Summary,
    /// Embeddings so far.
    pub(super) embeddings: u32,
    pub(super) shown: Shown,
}

impl Stream {
    /// A stream that is watched at once if its normal is `known`; what is learnt of it here is handed on to be kept if
    /// `keep`.
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
            heard: 0.0,
            live: keep,
            last: None,
            anomaly: Anomaly::default(),
            zero: None,
            started: SystemTime::now(),
            figures: LaneFigures::default(),
            past: LaneCounters::default(),
            notes: Notes::default(),
            learned: LearningProgress::default(),
            mute: Mute::default(),
            summary: Summary::default(),
            embeddings: 0,
            shown: Shown::default(),
        }
    }

    /// A stream that workers share: it is not heard here until it is taken.
    pub(super) fn shared(place: usize, feed: StreamFeed) -> Self {
        Self { owned: false, ..Self::new(place, feed, None, true) }
    }

    /// A stream that the workers of a cluster share.
    pub(super) fn clustered(place: usize, feed: StreamFeed, shared: Shared) -> Self {
        Self { owned: false, shared: Some(shared), ..Self::new(place, feed, None, false) }
    }

    /// It is heard here from now on.
    #[cfg(feature = "mqtt")]
    pub(super) fn take(&mut self, known: Option<StreamState>) {
        (self.owned, self.known, self.heard, self.zero) = (true, known, 0.0, None);
    }

    /// It is heard elsewhere from now on.
    #[cfg(feature = "mqtt")]
    pub(super) fn leave(&mut self) {
        self.owned = false;
        (self.summary, self.notes, self.learned) =
            (Summary::default(), Notes::default(), LearningProgress::default());
    }

    /// So many samples came out of its ring.
    pub(super) fn hears(&mut self, count: usize, rate: u32) {
        self.heard += count as f64 / f64::from(rate.max(1));
        self.last = Some(Instant::now());
        if let Some(next) = self.feed.reader.captured_at() {
            self.zero = next.checked_sub(Duration::from_secs_f64(self.heard));
        }
    }

    /// Tells whether an event goes on, where that is not told yet.
    pub(super) fn tell_anomaly(&mut self, sender: &EventSender, patient: bool) {
        let on = self.anomaly.on;
        let told = self.anomaly.told == Some(on)
            || publish(sender, patient, Outgoing::Anomaly { stream: self.feed.id.clone(), on });
        self.anomaly.told = told.then_some(on);
    }

    /// The event document of a finding. Of a stream of a cluster it goes on its way there; none where no session of it goes on.
    pub(super) fn document(
        &mut self,
        finding: Finding,
        stamp: &mut Stamp,
        snapshots: &mut Snapshots,
    ) -> Option<Event> {
        if let Some(shared) = &mut self.shared {
            return shared.tell(stamp, &self.feed.id, finding);
        }
        let latency = self.zero.map_or(Duration::ZERO, |zero| {
            zero.elapsed().saturating_sub(Duration::from_secs_f64(finding.emitted_s))
        });
        let mut event = stamp.event(&self.feed.id, finding, self.wall_zero(), latency);
        snapshots.announce(&mut event);
        Some(event)
    }

    /// Wall-clock time of sample 0, by the clock as it is now.
    pub(super) fn wall_zero(&self) -> SystemTime {
        self.zero.map_or(self.started, |zero| SystemTime::now() - zero.elapsed())
    }
}
