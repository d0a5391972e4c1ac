//! What the task of a stream does: sound in order to the analysis, its documents to the journal, and its snapshots to the resume
//! point.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use async_nats::jetstream::Message;
use tokio::time::{sleep, timeout};

use super::ids::session_id;
use super::jetstream::RETRY_INTERVAL;
use super::journal::{DocumentLog, Stored};
use super::mono::mono;
use super::pack::unpack;
use super::resume_point::{ResumePoint, Written};
use super::snapshot_state::SnapshotState;
use super::sound_feed::SoundFeed;
use super::stream_channel::{AnalysisReport, Resume, Session, StreamCommand, TaskPort};
use super::stream_task::{ReplayPass, StreamTask};
use super::{ChunkFit, Sequencer};
use crate::capture::Chunk;
use crate::mqtt::Incoming;

/// How long a stream that is given away waits for the analysis and for its last documents.
const LAST: Duration = Duration::from_secs(2);
/// A stream whose last chunk is no older has caught up with its microphone.
const CAUGHT_UP: Duration = Duration::from_millis(500);
/// One whose last chunk is older is behind again.
const STALLED: Duration = Duration::from_secs(2);
/// How often the source is informed that sound comes.
const INFORM_EVERY: Duration = Duration::from_millis(500);

impl StreamTask {
    /// Runs until the stream is given away; gives the way to the analysis back.
    pub(super) async fn run(mut self) -> TaskPort {
        while !*self.stop.borrow() {
            if let Err(reason) = self.follow().await {
                tracing::warn!(
                    "cluster: {}: {reason}; the stream is replayed from its resume point",
                    self.stream
                );
                self.leave(None).await;
                sleep(RETRY_INTERVAL).await;
            }
        }
        self.outlet
    }

    /// Follows the sound until the stream is given away.
    async fn follow(&mut self) -> Result<(), String> {
        let journal = DocumentLog::open(&self.jetstream, &self.stream).await?;
        let writer = ulid::Ulid::generate().to_string();
        let point = ResumePoint::claim(&self.jetstream, (&self.stream, &self.node), writer).await?;
        let mut pass = ReplayPass {
            journal,
            order: Sequencer::default(),
            at: 0,
            snapshots: SnapshotState::new(point, self.snapshot_every, &self.stream),
            known: None,
            running: false,
            sound_lost: false,
            informed: None,
            replays: Some((Instant::now(), 0)),
        };
        let start = self.start_of(&mut pass).await?;
        let mut feed = SoundFeed::new(&self.jetstream, &self.mic, start);
        loop {
            tokio::select! {
                biased;
                _ = self.stop.changed() => {
                    self.leave(Some(&mut pass)).await;
                    return Ok(());
                }
                report = self.outlet.reports.recv() => {
                    let report = report.ok_or("the analysis has ended")?;
                    self.hear_report(report, &mut pass).await?;
                }
                done = pass.snapshots.written() => self.note_written(&mut pass, done)?,
                message = feed.next() => {
                    self.take(&message?, &mut pass).await?;
                    self.ask_snapshot(&mut pass).await?;
                }
            }
        }
    }

    /// Number of the first chunk to be replayed: the one after the snapshot, or the one that the session begins with.
    async fn start_of(&mut self, pass: &mut ReplayPass) -> Result<u64, String> {
        let info = self.jetstream.sound.get_info().await.map_err(|e| e.to_string())?;
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let Some(resume) = pass.snapshots.resume().cloned() else { return Ok(first) };
        let why = if resume.model != self.model {
            format!("its model was {}, this one is {}", resume.model, self.model)
        } else if resume.snapshot.is_some() {
            let next = resume.sequence.saturating_add(1);
            // servers that kept sound in memory alone count anew after a restart
            pass.sound_lost = next < first || resume.sequence > last;
            match self.resume_snapshot(pass, &resume).await? {
                Ok(()) => {
                    pass.at = resume.sequence;
                    return Ok(if resume.sequence > last { first } else { next.max(first) });
                }
                Err(reason) => reason,
            }
        } else if (first..=last).contains(&resume.sequence) {
            pass.known.clone_from(&resume.known);
            return Ok(resume.sequence);
        } else {
            format!("its sound (chunk {}) is kept no longer, the oldest is {first}", resume.sequence)
        };
        tracing::warn!(
            "cluster: {}: the resume point cannot be used: {why}; events since then may be missing or have other ids",
            self.stream
        );
        self.counts.inexact.fetch_add(1, Ordering::Relaxed);
        if resume.model == self.model {
            let later = self.jetstream.states.get(self.known_key()).await.map_err(|e| e.to_string())?;
            let later = later.and_then(|packed| unpack::<String>(&packed).ok());
            pass.known = later.or_else(|| resume.known.clone());
        }
        pass.sound_lost = false;
        // documents of the sound up to a snapshot are stored
        let after = resume.snapshot.as_ref().map_or(0, |_| resume.sequence.saturating_add(1));
        Ok(if after > last { first } else { after.max(first) })
    }

    async fn take(&mut self, message: &Message, pass: &mut ReplayPass) -> Result<(), String> {
        let info = message.info().map_err(|e| e.to_string())?;
        let nanos = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
        let (sequence, at) = (info.stream_sequence, Duration::from_nanos(nanos));
        pass.at = sequence;
        let wanted = self.channel.map_or(1, |channel| channel.saturating_add(1));
        let chunk = Chunk::read(&message.payload).and_then(|chunk| {
            (chunk.pcm.channels >= wanted).then_some(chunk).ok_or("it lacks the channel that is wanted")
        });
        // sound may have waited at its microphone
        let delay = Duration::from_millis(chunk.as_ref().map_or(0, |chunk| u64::from(chunk.delay_ms)));
        let at = at.saturating_sub(delay);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let lag = now.saturating_sub(at);
        self.lag.set(lag, sequence);
        if lag >= STALLED {
            pass.replays.get_or_insert((Instant::now(), 0));
        }
        if let Some((since, chunks)) = &mut pass.replays {
            *chunks += 1;
            if lag < CAUGHT_UP {
                let ms = since.elapsed().as_millis();
                tracing::info!("cluster: {}: caught up after {ms} ms and {chunks} chunks", self.stream);
                pass.replays = None;
            }
        }
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(why) => {
                if self.counts.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                    let stream = &self.stream;
                    tracing::warn!("cluster: {stream}: a chunk is refused: {why}; others are only counted");
                }
                return Ok(());
            }
        };
        match pass.order.take(&chunk, at) {
            ChunkFit::Repeated | ChunkFit::Refused => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            ChunkFit::Begin => self.begin(&chunk, (sequence, at), pass).await?,
            ChunkFit::Follows { lost: 0 } => {}
            ChunkFit::Follows { lost } => {
                if std::mem::take(&mut pass.sound_lost) {
                    self.counts.inexact.fetch_add(1, Ordering::Relaxed);
                    let seconds = lost as f64 / f64::from(chunk.pcm.rate.max(1));
                    tracing::warn!(
                        "cluster: {}: {seconds:.1} s of sound after its snapshot are kept no longer: a gap",
                        self.stream
                    );
                }
                self.send(StreamCommand::Gap(lost)).await?;
            }
        }
        pass.sound_lost = false;
        if pass.informed.is_none_or(|informed| informed.elapsed() >= INFORM_EVERY) {
            pass.informed = Some(Instant::now());
            self.tell_source(Incoming::ByOtherPath);
        }
        let samples = mono(&chunk, self.channel);
        self.send(StreamCommand::Samples(samples)).await
    }

    /// A session begins: the one of the resume point, or another, whose beginning is the resume point from here on.
    async fn begin(
        &mut self,
        chunk: &Chunk<'_>,
        (sequence, at): (u64, Duration),
        pass: &mut ReplayPass,
    ) -> Result<(), String> {
        if pass.running {
            self.send(StreamCommand::End).await?;
            loop {
                let report = self.outlet.reports.recv().await.ok_or("the analysis has ended")?;
                if let AnalysisReport::Ended(known) = report {
                    // of a session that was too short to learn from, what was known before is still true
                    pass.known = known.or_else(|| pass.known.take());
                    break;
                }
                self.hear_report(report, pass).await?;
            }
            pass.running = false;
        }
        let here = pass.snapshots.resume().filter(|resume| {
            resume.sequence == sequence
                && resume.snapshot.is_none()
                && resume.model == self.model
                && (resume.session.number, resume.session.first) == (chunk.session, chunk.first)
        });
        let session = match here {
            Some(resume) => resume.session.clone(),
            None => self.keep_beginning(chunk, (sequence, at), pass).await?,
        };
        let known = pass.known.clone();
        self.send(StreamCommand::Begin { session, rate: chunk.pcm.rate, known }).await?;
        pass.running = true;
        Ok(())
    }

    async fn keep_beginning(
        &self,
        chunk: &Chunk<'_>,
        (sequence, at): (u64, Duration),
        pass: &mut ReplayPass,
    ) -> Result<Session, String> {
        let length = Duration::from_secs_f64(chunk.frames() as f64 / f64::from(chunk.pcm.rate.max(1)));
        let started_ms = u64::try_from(at.saturating_sub(length).as_millis()).unwrap_or_default();
        let boot = session_id(&self.prefix, &self.stream, chunk.session, started_ms);
        let next_seq = pass.journal.next_seq(&boot);
        let session = Session { number: chunk.session, first: chunk.first, started_ms, boot, next_seq };
        let resume = Resume {
            sequence,
            session: session.clone(),
            model: self.model.clone(),
            known: pass.known.clone(),
            writer: String::new(),
            calibrations: Vec::new(),
            snapshot: None,
        };
        let done = pass.snapshots.settle().await;
        self.note_written(pass, done)?;
        match pass.snapshots.keep_beginning(resume).await {
            Written::Kept(_) => Ok(session),
            Written::Fenced => Err(self.fenced()),
            Written::Failed(reason) => Err(format!("the resume point is not kept: {reason}")),
        }
    }

    pub(super) async fn hear_report(
        &self,
        report: AnalysisReport,
        pass: &mut ReplayPass,
    ) -> Result<(), String> {
        let event = match report {
            AnalysisReport::Event(event) => event,
            AnalysisReport::Known(known) => {
                self.keep_known(&known).await;
                return Ok(());
            }
            AnalysisReport::Snapshot(asked, snapshot) => {
                return self.write_snapshot(asked, snapshot, pass).await;
            }
            AnalysisReport::Ended(_) | AnalysisReport::Resumed(_) | AnalysisReport::Left => return Ok(()),
        };
        match pass.journal.store(&self.jetstream, &event, self.revision.load(Ordering::Relaxed)).await {
            Stored::Now => drop(self.counts.stored.fetch_add(1, Ordering::Relaxed)),
            Stored::Before => drop(self.counts.repeated.fetch_add(1, Ordering::Relaxed)),
            Stored::Fenced => drop(self.fenced()),
        }
        Ok(())
    }

    /// The analysis gives the stream up as it is; its earlier reports and a last snapshot are stored where there is a `pass`.
    async fn leave(&mut self, mut pass: Option<&mut ReplayPass>) {
        let leave = async {
            if let Some(pass) = &mut pass
                && pass.running
                && !self.send_snapshot(pass).await
            {
                return;
            }
            if self.send(StreamCommand::Leave).await.is_err() {
                return;
            }
            while let Some(report) = self.outlet.reports.recv().await {
                match report {
                    AnalysisReport::Left => break,
                    report => {
                        if let Some(pass) = &mut pass {
                            let _ = self.hear_report(report, pass).await;
                        }
                    }
                }
            }
            if let Some(pass) = &mut pass {
                let done = pass.snapshots.settle().await;
                let _ = self.note_written(pass, done);
            }
        };
        if timeout(LAST, leave).await.is_err() {
            tracing::warn!(
                "cluster: {}: the analysis did not let it go in {} s",
                self.stream,
                LAST.as_secs()
            );
        }
    }

    fn tell_source(&self, post: Incoming) {
        if let Some(way) = &self.way {
            // a full channel gets the next one
            let _ = way.try_send(post);
        }
    }
}
