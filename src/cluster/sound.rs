//! What a stream's task and the analysis tell each other.

use std::time::{Duration, SystemTime};

use crossbeam_channel::Receiver;
#[cfg(feature = "cluster")]
use crossbeam_channel::{Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Messages to the analysis that wait at most; a chunk is usually 20 ms.
#[cfg(feature = "cluster")]
const WAITING: usize = 64;

/// A session of a stream: one run of its microphone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Number that the microphone drew.
    pub number: u32,
    /// Frames that the session had before the first chunk that was received.
    pub first: u64,
    /// Time of that chunk's first frame, milliseconds since 1970.
    pub started_ms: u64,
    /// Id of the session, the field `boot` of its events.
    pub boot: String,
    /// Number of its next document.
    pub next_seq: u64,
}

impl Session {
    /// Time of its first frame.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.started_ms)
    }
}

/// Where a stream can resume: the chunk with which a session began, and what was known of the stream before it.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Number of the chunk in the sound stream.
    pub sequence: u64,
    /// The session that it begins.
    pub session: Session,
    /// The first 12 hex digits of the model's sha256.
    pub model: String,
    /// JSON of what the detector knew, where it knew something.
    pub known: Option<String>,
}

/// What the analysis is to do with a shared stream, in this order.
#[derive(Debug)]
pub enum Sound {
    /// A session begins: mono samples at `rate` Hz follow.
    Begin {
        /// The session.
        session: Session,
        /// Rate in Hz.
        rate: u32,
        /// JSON of what the detector knew before, where it knew something.
        known: Option<String>,
    },
    /// The next samples, mono.
    Samples(Vec<f32>),
    /// So many samples are missing.
    Gap(u64),
    /// The session is over: a running event ends, and the detector says what it knows.
    End,
    /// The stream goes to another worker as it is: nothing is reported of it.
    Leave,
}

/// What the analysis says of a shared stream.
#[derive(Debug)]
pub enum Report {
    /// A document.
    Event(Box<Event>),
    /// What is known now, in the middle of a session: JSON.
    Known(String),
    /// The session is over, and this is known: JSON.
    Ended(Option<String>),
    /// The stream is left.
    Left,
}

/// The analysis' end.
#[derive(Debug)]
pub struct Inlet {
    /// What is to be done.
    pub sound: Receiver<Sound>,
    /// Where reports go.
    #[cfg(feature = "cluster")]
    pub reports: tokio::sync::mpsc::UnboundedSender<Report>,
}

impl Inlet {
    /// Says something; who does not listen any more has ended.
    pub fn report(&self, report: Report) {
        #[cfg(feature = "cluster")]
        let _ = self.reports.send(report);
        #[cfg(not(feature = "cluster"))]
        drop(report);
    }
}

/// The task's end.
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub struct Outlet {
    pub(super) sound: Sender<Sound>,
    pub(super) reports: tokio::sync::mpsc::UnboundedReceiver<Report>,
}

/// Both ends of the way of one stream.
#[cfg(feature = "cluster")]
#[must_use]
pub fn way() -> (Outlet, Inlet) {
    let (to, from) = bounded(WAITING);
    let (reports, reported) = tokio::sync::mpsc::unbounded_channel();
    (Outlet { sound: to, reports: reported }, Inlet { sound: from, reports })
}
