//! The interface of all sources.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::config::{CaptureConfig, SourceConfig};
use super::counters::SourceCounters;
use super::driver::{Opened, Opening, SourceDriver};
use super::intake::{ChannelSelection, Intake};
use super::mic::MqttAudioInput;
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::mqtt::Incoming;
use crate::ring::{RingReader, ring};
use crate::units::counted;

/// A source that does not end within this time is abandoned.
const PATIENCE: Duration = Duration::from_secs(3);
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

/// One stream of an open source.
pub struct StreamFeed {
    /// The id of the stream, unique where [`super::assign_ids`] was used.
    pub id: String,
    /// Its samples, gaps and rates.
    pub reader: RingReader,
}

/// A source that was opened (a device may still be offline).
pub struct OpenSource {
    /// The id of the source.
    pub id: Arc<str>,
    /// Description of its input: `device hw:0`, `file x.wav`, `stdin`.
    pub name: String,
    /// Its streams, in the order of the configured channels.
    pub feeds: Vec<StreamFeed>,
    /// For a microphone on the broker: the channel of its chunks.
    pub mic: Option<Sender<Incoming>>,
    /// Its counters.
    pub counters: Arc<SourceCounters>,
    /// Stops it when stopped or dropped.
    pub handle: SourceHandle,
}

impl OpenSource {
    /// Whether the source is dead without having been stopped: its audio thread hangs.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.counters.gave_up()
    }
}

/// Opens a source and starts its thread. Notices are sent to `notices`; take them, since a full channel holds the
/// source up (never the audio callback) for a second each.
///
/// A file is opened here; a device by its own thread, which tries for ever, unless `must_exist`.
///
/// # Errors
/// Senseless settings; a file that cannot be read; a device name that can never be one, or a device that is
/// missing while `must_exist`.
pub fn open(source: &SourceConfig, capture: &CaptureConfig, notices: Sender<Notice>) -> Result<OpenSource> {
    open_with(source, capture, notices, None)
}

/// The same with microphones on the broker.
///
/// # Errors
/// As [`open`], and for such a microphone where there is no `air`.
pub fn open_with(
    source: &SourceConfig,
    capture: &CaptureConfig,
    notices: Sender<Notice>,
    air: Option<&MqttAudioInput>,
) -> Result<OpenSource> {
    capture.validate()?;
    start_driver(source.driver()?, (source, capture), notices, air)
}

/// Opens a source by `driver` and starts its thread.
pub(super) fn start_driver(
    driver: Box<dyn SourceDriver>,
    (source, capture): (&SourceConfig, &CaptureConfig),
    notices: Sender<Notice>,
    air: Option<&MqttAudioInput>,
) -> Result<OpenSource> {
    let pick = source.channels.clone().map_or(ChannelSelection::Mix, ChannelSelection::Each);
    let counters = Arc::new(SourceCounters::default());
    let stop = Arc::new(AtomicBool::new(false));
    let id: Arc<str> = source.id().into();
    let ids = source.stream_ids();
    let link = SourceLink {
        source: Arc::clone(&id),
        streams: ids.clone().into(),
        notices,
        stop: Arc::clone(&stop),
        counters: Arc::clone(&counters),
    };
    let rings = |rate: u32| -> Result<(Intake, Vec<RingReader>)> {
        let room = (capture.ring_seconds * f64::from(rate)).ceil() as usize;
        let (writers, readers) = ids.iter().map(|_| ring(room)).unzip();
        Ok((Intake::new(writers, pick.clone(), Arc::clone(&counters))?, readers))
    };
    let name = driver.name();
    let Opened { readers, work, mic } = driver.open(Opening { source, capture, air, rings: &rings, link })?;
    let thread = start(&id, work)?;
    let feeds = ids.into_iter().zip(readers).map(|(id, reader)| StreamFeed { id, reader }).collect();
    let handle = SourceHandle { stop, wake: thread.thread().clone(), thread: Some(thread) };
    Ok(OpenSource { id, name, feeds, mic, counters, handle })
}

fn start(id: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("source {id}"))
        .spawn(work)
        .map_err(|e| Error::no_thread(&format!("of source {id}"), &e))
}

/// Ends a source: its rings are closed in order, its device is released.
pub struct SourceHandle {
    stop: Arc<AtomicBool>,
    wake: Thread,
    thread: Option<JoinHandle<()>>,
}

impl SourceHandle {
    /// Asks the source to end, without waiting for it.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.unpark();
    }

    /// Whether the thread of the source has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the source, like dropping the handle; true when it has ended. A thread that hangs in a driver or in
    /// a read of the standard input is left behind after 3 s.
    #[must_use = "false means that a thread was left behind; drop the handle if that does not matter"]
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.request_stop();
        let Some(thread) = self.thread.take() else { return true };
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() {
            if Instant::now() > deadline {
                tracing::warn!(thread = thread.thread().name(), "a source does not end; it is left behind");
                return false;
            }
            thread.thread().unpark();
            thread::sleep(Duration::from_millis(2));
        }
        if thread.join().is_err() {
            tracing::error!("the thread of a source panicked");
        }
        true
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.end();
    }
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

    /// Notifies that the source is offline, once for each cause: `reported` is the cause of the last notice.
    pub(super) fn report_offline(&self, reported: &mut Option<String>, reason: String) {
        if reported.as_ref() != Some(&reason) {
            self.notify(SourceChange::Offline { reason: reason.clone() });
            *reported = Some(reason);
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
