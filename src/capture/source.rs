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
use super::link::{Notice, SourceLink};
use super::mic::MqttAudioInput;
use crate::error::{Error, Result};
use crate::mqtt::Incoming;
use crate::ring::{RingReader, ring};

/// A source that does not end within this time is abandoned.
const PATIENCE: Duration = Duration::from_secs(3);

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
/// As [`open`], and for such a microphone where there are no `microphones`.
pub fn open_with(
    source: &SourceConfig,
    capture: &CaptureConfig,
    notices: Sender<Notice>,
    microphones: Option<&MqttAudioInput>,
) -> Result<OpenSource> {
    capture.validate()?;
    start_driver(source.driver()?, (source, capture), notices, microphones)
}

/// Opens a source by `driver` and starts its thread.
pub(super) fn start_driver(
    driver: Box<dyn SourceDriver>,
    (source, capture): (&SourceConfig, &CaptureConfig),
    notices: Sender<Notice>,
    microphones: Option<&MqttAudioInput>,
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
    let Opened { readers, work, mic } =
        driver.open(Opening { source, capture, microphones, rings: &rings, link })?;
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
