//! Snapshots of a stream: asked for after a chunk, written while sound goes on, and taken over by the next worker.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::keys::now_ms;
use super::pack::pack;
use super::resume_point::Written;
use super::stream_channel::{AnalysisReport, Resume, SnapshotInfo, StreamCommand, StreamSnapshot};
use super::stream_task::{ReplayPass, StreamTask};

/// Prefix of the key of the detector state in the middle of a session; ids of streams have no dot.
const KNOWN: &str = "known.";

impl StreamTask {
    /// Asks the analysis for a snapshot where one is due.
    pub(super) async fn ask_snapshot(&self, pass: &mut ReplayPass) -> Result<(), String> {
        let free = pass.running && pass.snapshots.asked.is_none() && pass.snapshots.writing.is_none();
        if !free || Instant::now() < pass.snapshots.due {
            return Ok(());
        }
        pass.snapshots.due = Instant::now() + pass.snapshots.every;
        pass.snapshots.asked = Some((pass.at, pass.order.clone()));
        self.send(StreamCommand::Snapshot(pass.at)).await
    }

    /// Asks for the last one; false where the analysis has ended.
    pub(super) async fn send_snapshot(&self, pass: &mut ReplayPass) -> bool {
        if pass.snapshots.asked.is_none() {
            pass.snapshots.asked = Some((pass.at, pass.order.clone()));
            return self.send(StreamCommand::Snapshot(pass.at)).await.is_ok();
        }
        true
    }

    /// Writes what the analysis has given, while sound goes on.
    pub(super) async fn write_snapshot(
        &self,
        asked: u64,
        snapshot: Option<Box<StreamSnapshot>>,
        pass: &mut ReplayPass,
    ) -> Result<(), String> {
        // another number is that of an earlier pass
        let Some((sequence, order)) = pass.snapshots.asked.take_if(|(of, _)| *of == asked) else {
            return Ok(());
        };
        let Some(snapshot) = snapshot else { return Ok(()) };
        let done = pass.snapshots.settle().await;
        self.note_written(pass, done)?;
        let taken_ms = now_ms();
        let resume = Resume {
            sequence,
            session: snapshot.session.clone(),
            model: self.model.clone(),
            known: None,
            writer: String::new(),
            calibrations: Vec::new(),
            snapshot: Some(SnapshotInfo { order, taken_ms }),
        };
        let Some(mut point) = pass.snapshots.point.take() else {
            return Err("the writer of its snapshots is gone".into());
        };
        pass.snapshots.writing = Some(tokio::spawn(async move {
            let written = point.keep_snapshot(*snapshot, resume).await;
            (point, written)
        }));
        Ok(())
    }

    /// Notes the end of a write.
    ///
    /// # Errors
    /// When another worker is ahead.
    pub(super) fn note_written(&self, pass: &mut ReplayPass, done: Option<Written>) -> Result<(), String> {
        match done {
            None => Ok(()),
            Some(Written::Kept(bytes)) => {
                let resume = pass.snapshots.resume();
                let taken =
                    resume.and_then(|resume| resume.snapshot.as_ref()).map_or(0, |info| info.taken_ms);
                self.lag.snapshot(taken, bytes as u64);
                self.counts.snapshots.fetch_add(1, Ordering::Relaxed);
                self.counts.snapshot_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(())
            }
            Some(Written::Fenced) => Err(self.fenced()),
            Some(Written::Failed(reason)) => {
                tracing::warn!("cluster: {}: a snapshot is not kept: {reason}", self.stream);
                Ok(())
            }
        }
    }

    /// Lets the analysis go on where the snapshot was taken; the reason where that cannot be.
    ///
    /// # Errors
    /// When the servers do not answer, or the analysis has ended.
    pub(super) async fn resume_snapshot(
        &mut self,
        pass: &mut ReplayPass,
        resume: &Resume,
    ) -> Result<Result<(), String>, String> {
        let Some(point) = &pass.snapshots.point else { return Ok(Err("its writer is gone".into())) };
        let Some(info) = &resume.snapshot else { return Ok(Err("there is none".into())) };
        let mut snapshot = match point.snapshot(resume).await? {
            Ok(snapshot) => snapshot,
            Err(reason) => return Ok(Err(reason)),
        };
        // of sound that is lost, documents may be stored that this worker does not make
        if pass.sound_lost {
            let stored = pass.journal.next_seq(&snapshot.session.boot);
            snapshot.session.next_seq = snapshot.session.next_seq.max(stored);
        }
        self.send(StreamCommand::Resume(Box::new(snapshot))).await?;
        loop {
            match self.outlet.reports.recv().await.ok_or("the analysis has ended")? {
                AnalysisReport::Resumed(Ok(())) => break,
                AnalysisReport::Resumed(Err(reason)) => return Ok(Err(reason)),
                // of an earlier pass
                _ => {}
            }
        }
        (pass.order, pass.running) = (info.order.clone(), true);
        Ok(Ok(()))
    }

    /// Stores the detector state in the middle of a session, for when the session's beginning can be replayed no
    /// longer.
    pub(super) async fn keep_known(&self, known: &str) {
        let kept = match pack(&known) {
            Ok(packed) => {
                self.jetstream.states.put(self.known_key(), packed.into()).await.map_err(|e| e.to_string())
            }
            Err(reason) => Err(reason),
        };
        if let Err(reason) = kept {
            tracing::warn!("cluster: {}: its detector state is not stored: {reason}", self.stream);
        }
    }

    pub(super) fn known_key(&self) -> String {
        format!("{KNOWN}{}", self.stream)
    }
}
