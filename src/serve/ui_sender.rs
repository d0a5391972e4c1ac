//! The sending side of the page: events from the daemon's threads to the thread `http`.

#[cfg(feature = "http")]
use std::sync::Arc;
#[cfg(feature = "http")]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use std::time::Duration;

use serde::Serialize;
#[cfg(feature = "http")]
use tokio::sync::mpsc;

#[cfg(feature = "http")]
use super::spectrogram::RecentColumns;
use super::spectrogram_column::SpectrogramColumn;
use crate::event::{Event, Verdict};
use crate::event_store::Recorder;
use crate::publish::{Availability, Score};

/// An event for the page. `stream` is the index of the stream in the list that the server was started with.
#[derive(Debug, Clone)]
pub enum UiEvent {
    /// The analysis runs.
    Ready,
    /// The daemon is about to stop.
    Stopping,
    /// The part that hangs; `None` when everything runs again.
    Hangs(Option<String>),
    /// A stream is online or offline.
    Presence {
        /// Its id.
        stream: String,
        /// Which of the two.
        availability: Availability,
    },
    /// The most anomalous reading of a second.
    Second {
        /// Which stream.
        stream: usize,
        /// The figures.
        score: Score,
    },
    /// 50 ms of a stream that a page looks at.
    SpectrogramColumn {
        /// Which stream.
        stream: usize,
        /// The spectrum.
        column: Box<SpectrogramColumn>,
    },
    /// An event document.
    Event(Box<Event>),
    /// The new calibration of a stream.
    Calibration {
        /// Which stream.
        stream: usize,
        /// The calibration.
        view: Box<CalibrationView>,
    },
}

/// A calibration for the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationView {
    /// Its id, as in events.
    pub id: String,
    /// Seconds of sound it was learnt from.
    pub seconds: f64,
    /// Median level, dB full scale.
    pub background_dbfs: f32,
    /// Its scores, the deciding one first.
    pub tails: Vec<TailView>,
}

/// The maxima of a score over seconds of calibration, and the tail that was fitted to them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TailView {
    /// `critic`, `surprise` or `novelty`.
    pub score: String,
    /// Left edge of the first bin, and the width of each.
    pub bins: (f64, f64),
    /// Seconds in each bin.
    pub counts: Vec<u32>,
    /// Seconds that were excluded as events.
    pub discarded: usize,
    /// Above this the generalised Pareto law holds.
    pub threshold: f64,
    /// Its shape γ.
    pub shape: f64,
    /// Its scale σ.
    pub scale: f64,
    /// Points of score and tail probability a second.
    pub curve: Vec<(f64, f64)>,
}

/// Sends events to the page. It never waits: when the channel is full, events are dropped and counted. Without a server
/// they are discarded.
#[derive(Debug, Clone, Default)]
pub struct UiSender {
    #[cfg(feature = "http")]
    inner: Option<Arc<Inner>>,
    recorder: Option<Recorder>,
}

impl UiSender {
    /// The same, and events go to the store as well.
    #[must_use]
    pub fn with_recorder(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Gives an event that is over the label of earlier events that it sounds like.
    pub fn label(&mut self, event: &mut Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.label(event);
        }
    }

    /// Shows an event document, and keeps it.
    pub fn event(&self, event: &Event) {
        if let Some(recorder) = &self.recorder {
            recorder.record_event(event);
        }
        if self.is_on() {
            self.send(UiEvent::Event(Box::new(event.clone())));
        }
    }

    /// Stores a verdict on the event `id`.
    pub fn verdict(&self, id: &str, verdict: Verdict) {
        if let Some(recorder) = &self.recorder {
            recorder.record_verdict(id, verdict);
        }
    }

    /// Waits until all events are stored, at most `limit`; false where the disk did not take them in that time.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        self.recorder.as_ref().is_none_or(|recorder| recorder.flush(limit) && !recorder.health().degraded)
    }
}

#[cfg(feature = "http")]
#[derive(Debug)]
struct Inner {
    way: mpsc::Sender<UiEvent>,
    refused: AtomicU64,
    /// Pages that look at each stream.
    watchers: Vec<AtomicU32>,
    /// The last minute of each stream.
    recent: Vec<RecentColumns>,
}

#[cfg(feature = "http")]
impl UiSender {
    /// A sender for that many streams, and its receiver.
    pub(super) fn new(streams: usize) -> (Self, mpsc::Receiver<UiEvent>) {
        let (way, out) = mpsc::channel(1024);
        let watchers = (0..streams).map(|_| AtomicU32::new(0)).collect();
        let recent = (0..streams).map(|_| RecentColumns::new()).collect();
        let inner = Inner { way, refused: AtomicU64::new(0), watchers, recent };
        (Self { inner: Some(Arc::new(inner)), recorder: None }, out)
    }

    /// Whether there is a server.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Whether a page looks at the stream right now.
    #[must_use]
    pub fn is_watched(&self, stream: usize) -> bool {
        let watchers = self.inner.as_ref().and_then(|inner| inner.watchers.get(stream));
        watchers.is_some_and(|watchers| watchers.load(Relaxed) > 0)
    }

    /// Sends an event, if there is room for it.
    pub fn send(&self, said: UiEvent) {
        if let Some(inner) = &self.inner
            && inner.way.try_send(said).is_err()
        {
            inner.refused.fetch_add(1, Relaxed);
        }
    }

    /// Keeps the columns of a stream for pages that are opened later; those that cannot be kept right now, since a page
    /// reads, stay in `waiting`.
    pub fn keep(&self, stream: usize, waiting: &mut Vec<SpectrogramColumn>) {
        match self.inner.as_ref().and_then(|inner| inner.recent.get(stream)) {
            Some(recent) => recent.keep(waiting),
            None => waiting.clear(),
        }
    }

    /// The last minute of the spectrogram of a stream.
    pub(super) fn recent(&self, stream: usize) -> Option<&RecentColumns> {
        self.inner.as_ref()?.recent.get(stream)
    }

    /// Number of dropped events.
    pub(super) fn refused(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.refused.load(Relaxed))
    }

    /// Counts a page that looks at the stream, until the guard is dropped.
    pub(super) fn watch(&self, stream: Option<usize>) -> WatchGuard {
        let watch = WatchGuard { feed: self.clone(), stream };
        if let Some(watchers) = watch.watchers() {
            watchers.fetch_add(1, Relaxed);
        }
        watch
    }
}

#[cfg(not(feature = "http"))]
impl UiSender {
    /// Whether there is a server.
    #[must_use]
    pub fn is_on(&self) -> bool {
        false
    }

    /// Whether a page looks at the stream right now.
    #[must_use]
    pub fn is_watched(&self, _: usize) -> bool {
        false
    }

    /// Nothing is kept in a build without a server.
    pub fn keep(&self, _: usize, waiting: &mut Vec<SpectrogramColumn>) {
        waiting.clear();
    }

    /// Nothing, in a build without a server.
    pub fn send(&self, said: UiEvent) {
        drop(said);
    }
}

/// A page that looks at a stream.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(super) struct WatchGuard {
    feed: UiSender,
    stream: Option<usize>,
}

#[cfg(feature = "http")]
impl WatchGuard {
    fn watchers(&self) -> Option<&AtomicU32> {
        self.feed.inner.as_ref()?.watchers.get(self.stream?)
    }
}

#[cfg(feature = "http")]
impl Drop for WatchGuard {
    fn drop(&mut self) {
        if let Some(watchers) = self.watchers() {
            watchers.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_watched_while_a_page_looks_and_senders_never_wait() {
        let (feed, mut out) = UiSender::new(2);
        assert!(!feed.is_watched(0) && feed.is_on() && !UiSender::default().is_on());
        let (one, two, other) = (feed.watch(Some(0)), feed.watch(Some(0)), feed.watch(Some(7)));
        drop((one, other));
        assert!(feed.is_watched(0) && !feed.is_watched(1) && !feed.is_watched(7));
        drop(two);
        assert!(!feed.is_watched(0));
        for _ in 0..1030 {
            feed.send(UiEvent::Ready);
        }
        assert_eq!(feed.refused(), 6);
        assert!(matches!(out.try_recv(), Ok(UiEvent::Ready)));
    }
}
