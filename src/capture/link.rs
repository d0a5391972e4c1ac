//! The connection of a source's thread to the rest of the program: what it reports, and when it is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::counters::SourceCounters;
use crate::backoff::Backoff;
use crate::units::counted;

/// A notice that is not taken for this long is dropped.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);
/// Delays between attempts to open a live source: short enough to give sound again within 3 s of its return.
const FIRST_RETRY: Duration = Duration::from_secs(1);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(2);
/// Longest sleep of a source, so that its rounds show that it runs.
const NAP: Duration = Duration::from_millis(500);

/// A notice of `count` gaps that the sound card reported, in words for the log.
#[must_use]
pub fn xruns(count: u64) -> String {
    format!(
        "the sound card reported {} (xruns): this machine is too busy to take the sound in time; `realtime_priority` in [capture] \
         helps",
        counted(count, "gap")
    )
}

/// Something that happened to a source.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The id of the source.
    pub source: Arc<str>,
    /// The streams that it concerns.
    pub streams: Arc<[String]>,
    /// When, on the monotonic clock.
    pub at: Instant,
    /// What.
    pub change: SourceChange,
}

/// A change of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChange {
    /// It gives sound now.
    Online {
        /// Description of the opened input, e.g. `hw:CARD=0,DEV=0 "Test microphone" 48000 Hz 1 ch i16 period 960`.
        description: String,
    },
    /// It is not there or stopped giving sound; a device or a sender on a network is tried again every 1–2 s.
    Offline {
        /// The cause and the fix, one line.
        reason: String,
    },
    /// Another node analyses it; it gives no sound here.
    Elsewhere {
        /// The node.
        node: String,
    },
    /// The sound card reported gaps (xruns): this process was late. The gap is in the ring.
    Xrun {
        /// Gaps since the last notice.
        count: u64,
    },
    /// The device gives another number of samples a second than it says, and is taken at its true rate from here on.
    WrongRate {
        /// The nominal rate, Hz.
        nominal: u32,
        /// The measured rate, Hz.
        measured: u32,
    },
    /// A sender on a network gives another number of samples a second than is configured. It is analysed at the
    /// configured rate all the same.
    RateOff {
        /// The configured rate, Hz.
        nominal: u32,
        /// The measured rate, Hz.
        measured: u32,
    },
    /// A file or the standard input came to its end; the rings are closed.
    Ended {
        /// Frames (samples a channel) that were read.
        frames: u64,
        /// Why it ended early, where it did.
        failure: Option<String>,
    },
}

/// The pauses between attempts to open a live source.
pub(super) fn retries() -> Backoff {
    Backoff::new((FIRST_RETRY, LAST_RETRY))
}

/// The connection of a source's thread to the rest of the program.
pub(super) struct SourceLink {
    pub(super) source: Arc<str>,
    pub(super) streams: Arc<[String]>,
    pub(super) notices: Sender<Notice>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) counters: Arc<SourceCounters>,
}

impl SourceLink {
    pub(super) fn notify(&self, change: SourceChange) {
        if matches!(change, SourceChange::Online { .. }) {
            self.counters.opened.fetch_add(1, Ordering::Relaxed);
        }
        let notice = Notice {
            source: Arc::clone(&self.source),
            streams: Arc::clone(&self.streams),
            at: Instant::now(),
            change,
        };
        if let Err(e) = self.notices.send_timeout(notice, NOTICE_TIMEOUT) {
            tracing::warn!(source = %self.source, change = ?e.into_inner().change, "a notice of the source is lost: the supervisor does not take it");
        }
    }

    /// Whether the source is to stop. Each call counts as a sign of life.
    pub(super) fn stopping(&self) -> bool {
        self.counters.beats.fetch_add(1, Ordering::Relaxed);
        self.stop.load(Ordering::Acquire)
    }

    /// Sleeps until `deadline` or the stop, whichever is first; false when it is to stop.
    pub(super) fn sleep_until(&self, deadline: Instant) -> bool {
        while !self.stopping() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left.min(NAP));
        }
        false
    }
}

/// The last report of a source about itself, so that each change is reported once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum ReportedState {
    /// Nothing yet, or that another node analyses it.
    #[default]
    Nothing,
    /// It is online.
    Online,
    /// It is offline, because of this.
    Offline(String),
}

impl ReportedState {
    /// Reports that the source is online, unless that is known.
    pub(super) fn online(&mut self, link: &SourceLink, description: impl FnOnce() -> String) {
        if *self != Self::Online {
            link.notify(SourceChange::Online { description: description() });
            *self = Self::Online;
        }
    }

    /// Reports that the source is offline, once for each cause.
    pub(super) fn offline(&mut self, link: &SourceLink, reason: String) {
        if !matches!(self, Self::Offline(known) if *known == reason) {
            link.notify(SourceChange::Offline { reason: reason.clone() });
            *self = Self::Offline(reason);
        }
    }

    /// Whether the last report was that it is offline.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self, Self::Offline(_))
    }
}
