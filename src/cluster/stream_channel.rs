//! The channel between a stream's task and the analysis.

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
    /// Random number that the microphone drew.
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

/// Where a stream resumes: the beginning of a session and the detector state before it, or a snapshot in its middle.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Number of a chunk in the sound stream: the one that the session begins with, or the last one that the snapshot stands for.
    pub sequence: u64,
    /// The session; in a snapshot as it was after that chunk.
    pub session: Session,
    /// The first 12 hex digits of the model's sha256.
    pub model: String,
    /// JSON of the detector state before the session, if there is one; none in a snapshot.
    pub known: Option<String>,
    /// Who wrote it: an id of one run of a worker.
    #[serde(default)]
    pub writer: String,
    /// Ids of the calibrations that are kept for this stream.
    #[serde(default)]
    pub calibrations: Vec<String>,
    /// Set in a snapshot, behind which the bytes of the stream's memory follow.
    #[serde(default)]
    pub snapshot: Option<SnapshotInfo>,
}

/// What a snapshot says of itself.
#[cfg(feature = "cluster")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// How chunks are to follow.
    pub order: crate::cluster::Sequencer,
    /// When it was taken, milliseconds since 1970.
    pub taken_ms: u64,
}

/// All that a stream remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSnapshot {
    /// Its session, with the number of the next document.
    pub session: Session,
    /// Its memory.
    pub bytes: Vec<u8>,
    /// Ids of the calibrations that belong to it.
    pub calibrations: Vec<String>,
    /// Of these, those that were not reported in this session yet: id and JSON.
    pub new: Vec<(String, String)>,
}

/// Commands to the analysis for a shared stream, in this order.
#[derive(Debug)]
pub enum StreamCommand {
    /// A session begins: mono samples at `rate` Hz follow.
    Begin {
        /// The session.
        session: Session,
        /// Rate in Hz.
        rate: u32,
        /// JSON of the detector state before, if there is one.
        known: Option<String>,
    },
    /// A session goes on where the snapshot was taken. Answered by [`AnalysisReport::Resumed`].
    Resume(Box<StreamSnapshot>),
    /// A snapshot of the stream after what was sent so far, under this number. Answered by [`AnalysisReport::Snapshot`].
    Snapshot(u64),
    /// The next samples, mono.
    Samples(Vec<f32>),
    /// So many samples are missing.
    Gap(u64),
    /// The session has ended: an ongoing event ends, and the detector state is reported.
    End,
    /// The stream moves to another worker as it is: nothing is reported.
    Leave,
}

/// Reports of the analysis on a shared stream.
#[derive(Debug)]
pub enum AnalysisReport {
    /// A document.
    Event(Box<Event>),
    /// The detector state in the middle of a session: JSON.
    Known(String),
    /// Whether the analysis goes on with the snapshot that it was given; else why not.
    Resumed(Result<(), String>),
    /// The snapshot that was asked for under this number; none while a calibration collects its sound.
    Snapshot(u64, Option<Box<StreamSnapshot>>),
    /// The session has ended with this detector state: JSON.
    Ended(Option<String>),
    /// The stream was given up.
    Left,
}

/// The analysis' end.
#[derive(Debug)]
pub struct AnalysisPort {
    /// Commands.
    pub sound: Receiver<StreamCommand>,
    /// Reports.
    #[cfg(feature = "cluster")]
    pub reports: tokio::sync::mpsc::UnboundedSender<AnalysisReport>,
}

impl AnalysisPort {
    /// Sends a report; a closed channel means that the task has ended.
    pub fn report(&self, report: AnalysisReport) {
        #[cfg(feature = "cluster")]
        let _ = self.reports.send(report);
        #[cfg(not(feature = "cluster"))]
        drop(report);
    }
}

/// The task's end.
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub struct TaskPort {
    pub(super) sound: Sender<StreamCommand>,
    pub(super) reports: tokio::sync::mpsc::UnboundedReceiver<AnalysisReport>,
}

/// Both ends of the channel of one stream.
#[cfg(feature = "cluster")]
#[must_use]
pub fn stream_channel() -> (TaskPort, AnalysisPort) {
    let (to, from) = bounded(WAITING);
    let (reports, reported) = tokio::sync::mpsc::unbounded_channel();
    (TaskPort { sound: to, reports: reported }, AnalysisPort { sound: from, reports })
}
