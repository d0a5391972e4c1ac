//! The snapshots of a pass: where the stream resumes, and the write that goes on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Sequencer;
use super::resume_point::{ResumePoint, Written};
use super::stream_channel::Resume;

/// A write that goes on.
type Writing = JoinHandle<(ResumePoint, Written)>;

/// The snapshots of a pass.
pub(super) struct SnapshotState {
    /// Where the stream resumes; with the writer while a snapshot is written.
    pub(super) point: Option<ResumePoint>,
    pub(super) writing: Option<Writing>,
    pub(super) every: Duration,
    pub(super) due: Instant,
    /// The chunk, and how others are to follow it, for which the analysis was asked.
    pub(super) asked: Option<(u64, Sequencer)>,
}

impl SnapshotState {
    /// Of the stream `stream`: those of many streams are spread over the time between two snapshots.
    pub(super) fn new(point: ResumePoint, every: Duration, stream: &str) -> Self {
        let mut hash = DefaultHasher::new();
        stream.hash(&mut hash);
        let share = (hash.finish() % 1000) as f64 / 1000.0;
        let due = Instant::now() + every.mul_f64(share);
        Self { point: Some(point), writing: None, every, due, asked: None }
    }

    /// What is kept.
    pub(super) fn resume(&self) -> Option<&Resume> {
        self.point.as_ref()?.resume.as_ref()
    }

    /// Waits for the end of a write; for ever where none goes on.
    pub(super) async fn written(&mut self) -> Option<Written> {
        match &mut self.writing {
            Some(_) => self.settle().await,
            None => std::future::pending().await,
        }
    }

    /// The same; returns at once where none goes on.
    pub(super) async fn settle(&mut self) -> Option<Written> {
        let done = self.writing.as_mut()?.await;
        self.writing = None;
        Some(match done {
            Ok((point, written)) => {
                self.point = Some(point);
                written
            }
            Err(error) => Written::Failed(error.to_string()),
        })
    }

    /// Keeps the beginning of a session. No write goes on.
    pub(super) async fn keep_beginning(&mut self, resume: Resume) -> Written {
        match &mut self.point {
            Some(point) => point.keep_beginning(resume).await,
            None => Written::Failed("its writer is gone".into()),
        }
    }
}
