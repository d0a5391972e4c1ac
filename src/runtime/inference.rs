//! A thread that turns rings into readings and events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender};

use super::embedding_averager::Embedder;
use super::learning_progress::learning;
use super::progress::{Load, ThreadProgress};
use super::publish_queue::publish;
use super::settings::Settings;
use super::snapshot::Snapshots;
use super::stream::Stream;
use super::thread_request::{Answer, ThreadRequest};
use super::tick::Tick;
use super::{Engine, EngineOutput, EventBuilder, PipelineFigures};
use crate::detect::StreamState;
use crate::error::Result;
use crate::event::Phase;
use crate::publish::{EventSender, Outgoing};
use crate::realtime;
use crate::ring::{Read, RingReader, wait_any};
use crate::serve::UiSender;
use crate::telemetry::HopTimes;

/// Samples taken from a ring at a time: 85 ms at 48 kHz, so that no stream delays the others for long.
const PIECE: usize = 4096;
/// Longest sleep of a loop that has nothing to do.
const IDLE: Duration = Duration::from_millis(50);
/// The same where streams of a cluster may deliver sound, which does not wake the thread.
const SHARED_IDLE: Duration = Duration::from_millis(5);
/// Sound of a stream of a cluster that waits here to be scored at most, seconds.
const SHARED_WAITING_S: f64 = 1.0;
/// Patience with the supervisor at the end of a stream.
const KEEP_PATIENCE: Duration = Duration::from_secs(2);
/// Longest time for hops between two looks at the rings: a stream with a backlog does not delay others.
const SLICE: Duration = Duration::from_millis(20);
/// After a stop request, the longest wait for calibrations and unscored sound.
const LAST_SOUND: Duration = Duration::from_secs(1);

/// Everything the thread owns.
pub(super) struct Inference {
    pub(super) engine: Engine,
    pub(super) streams: Vec<Stream>,
    /// Index in `streams` of each stream number of the engine.
    pub(super) of_number: Vec<usize>,
    pub(super) event_builder: EventBuilder,
    pub(super) sender: EventSender,
    /// Sound can wait for the publisher (replays); live sound cannot.
    pub(super) patient: bool,
    /// Frames between two score documents of a stream; 0 for none.
    pub(super) score_every: u32,
    pub(super) embedder: Embedder,
    pub(super) snapshots: Snapshots,
    pub(super) states: Sender<(String, Box<StreamState>)>,
    /// Interval at which detector states are handed over for storage.
    pub(super) keep_every: Duration,
    /// Its number among the threads of the analysis.
    pub(super) number: usize,
    /// Requests to streams, and the channel of their answers.
    pub(super) requests: Receiver<ThreadRequest>,
    pub(super) answers: Sender<Answer>,
    /// Requests that wait for a pending detector.
    pub(super) held: VecDeque<ThreadRequest>,
    /// Settings of a reloaded configuration.
    pub(super) settings: Receiver<Settings>,
    /// Real-time priority to ask for; 0 for none.
    pub(super) priority: u8,
    pub(super) progress: Arc<ThreadProgress>,
    pub(super) load: Load,
    pub(super) tick: Tick,
    /// A ring still has samples.
    pub(super) behind: bool,
    /// The sender to the page.
    pub(super) feed: UiSender,
    /// From the capture of a hop's last sample to its reading, where sound comes at its own pace.
    pub(super) delays: HopTimes,
}

impl Inference {
    /// Runs until every ring is closed, or its source gone, and read.
    pub(super) fn run(mut self) -> Result<()> {
        let mut piece = vec![0f32; PIECE];
        let (mut refreshed, mut kept) = (Instant::now(), Instant::now());
        let mut stopping: Option<Instant> = None;
        self.publish_anomalies();
        if self.feed.is_on() {
            self.engine.show_spectrograms();
        }
        if let Err(reason) = realtime::promote(self.priority) {
            tracing::warn!("no real-time priority for the analysis: {reason}");
        }
        loop {
            self.progress.rounds.fetch_add(1, Ordering::Relaxed);
            let learning = self.engine.longest_calibration().map_or(0, |since| since.as_secs() + 1);
            self.progress.learning_s.store(learning, Ordering::Relaxed);
            let mut busy = false;
            self.behind = false;
            let begun = Instant::now();
            for index in 0..self.streams.len() {
                busy |= self.take(index, &mut piece)?;
            }
            if busy {
                self.tick.took(begun);
            }
            busy |= self.drive(|engine, sink| engine.run_for(SLICE, sink))?;
            busy |= self.end_finished_streams()?;
            self.take_requests();
            self.take_settings()?;
            let over = self.streams.iter().all(|stream| stream.closed);
            if over || refreshed.elapsed() >= Duration::from_secs(1) {
                self.end_events_of_silence()?;
                self.refresh(over);
                refreshed = Instant::now();
            }
            if over {
                return Ok(());
            }
            if kept.elapsed() >= self.keep_every {
                self.streams.iter().for_each(|stream| self.keep(stream));
                kept = Instant::now();
            }
            if self.progress.sources_gone.load(Ordering::Acquire) {
                let since = *stopping.get_or_insert_with(Instant::now);
                if !busy {
                    (0..self.streams.len()).try_for_each(|index| self.close(index))?;
                }
                if since.elapsed() >= LAST_SOUND {
                    (0..self.streams.len()).try_for_each(|index| self.give_up(index))?;
                }
            }
            if busy && !self.behind {
                // sound of other streams collects meanwhile, so that a step serves many
                self.rest();
            } else if !busy {
                let (engine, patient) = (&self.engine, self.patient);
                let wanted = |s: &&Stream| {
                    !s.closing && s.number.is_none_or(|number| !engine.is_full(number, patient))
                };
                let open: Vec<&RingReader> =
                    self.streams.iter().filter(wanted).map(|s| &s.feed.reader).collect();
                let waits = Instant::now();
                let idle = if self.streams.iter().any(|s| s.shared.is_some()) { SHARED_IDLE } else { IDLE };
                let _ = wait_any(open.iter().copied(), idle);
                self.load.waited(waits.elapsed());
            }
        }
    }

    /// Sleeps for what is left of the tick.
    fn rest(&mut self) {
        let left = self.tick.left(Instant::now());
        if !left.is_zero() {
            let sleeps = Instant::now();
            thread::sleep(left);
            self.load.waited(sleeps.elapsed());
        }
    }

    /// Takes one piece from a ring; true when there was one.
    fn take(&mut self, index: usize, piece: &mut [f32]) -> Result<bool> {
        let Some(stream) = self.streams.get_mut(index).filter(|s| !s.closing) else { return Ok(false) };
        let shared = stream.shared.is_some();
        let (engine, patient) = (&self.engine, self.patient);
        if stream.number.is_some_and(|number| has_enough(engine, number, (patient, shared))) {
            self.behind |= shared;
            return Ok(false);
        }
        if stream.shared.is_some() {
            return self.take_shared(index, piece);
        }
        match (stream.feed.reader.read(piece), stream.number) {
            (Read::Empty, _) => return Ok(false),
            (Read::Samples(count), number) => {
                self.behind |= count == piece.len();
                let rate = stream.feed.reader.rate();
                let number = match number {
                    Some(number) => number,
                    None => self.join(index, rate)?,
                };
                if let Some(stream) = self.streams.get_mut(index) {
                    stream.note_samples(count, rate);
                }
                self.engine.feed(number, piece.get(..count).unwrap_or_default())?;
            }
            (Read::Rate(rate), None) => drop(self.join(index, rate)?),
            (Read::Rate(rate), Some(number)) => {
                tracing::info!("{}: the rate is {rate} Hz now", stream.feed.id);
                self.drive(|engine, sink| engine.gap(number, 0, rate, sink))?;
            }
            (Read::Gap { lost }, Some(number)) => {
                let rate = stream.feed.reader.rate();
                stream.received += lost as f64 / f64::from(rate.max(1));
                self.drive(|engine, sink| engine.gap(number, lost, rate, sink))?;
            }
            (Read::Gap { .. }, None) => {}
            (Read::Closed, _) => self.close(index)?,
        }
        Ok(true)
    }

    /// Runs the engine and publishes its outputs.
    pub(super) fn drive<T>(
        &mut self,
        work: impl FnOnce(&mut Engine, &mut dyn FnMut(EngineOutput)) -> Result<T>,
    ) -> Result<T> {
        let Self {
            engine,
            streams,
            of_number,
            event_builder,
            sender,
            patient,
            score_every,
            embedder,
            snapshots,
            states,
            progress,
            feed,
            delays,
            ..
        } = self;
        let mut calibrated = Vec::new();
        let length = engine.calibration_length();
        let result = work(engine, &mut |output| {
            let number = output.stream();
            let stream = of_number.get(number).and_then(|&at| streams.get_mut(at));
            let Some(stream) = stream.filter(|stream| stream.number == Some(number)) else { return };
            let place = stream.place;
            match output {
                // the daemon does not ask for them
                EngineOutput::Frame { .. } => {}
                EngineOutput::Reading { frame, reading, .. } => {
                    progress.scored.fetch_add(1, Ordering::Relaxed);
                    stream.notes.take(&stream.feed.id, &reading);
                    if let Some(delay) = stream.delay(frame) {
                        delays.push(delay);
                    }
                    let zero = stream.wall_zero();
                    let wanted = stream.zero.map(|_| length);
                    let reported = stream.learned.take(&stream.feed.id, &reading, wanted, SystemTime::now());
                    if let Some(progress) = reported {
                        let stream = stream.feed.id.clone();
                        sender.try_send(Outgoing::Progress { stream, progress });
                    }
                    let until = |state| learning(state, wanted, SystemTime::now());
                    if let Some(score) = stream.summary.take(zero, frame, reading, *score_every, until) {
                        sender.try_send(Outgoing::Score { stream: stream.feed.id.clone(), score });
                    }
                    stream.shown.second(feed, place, (zero, frame, reading), wanted);
                }
                EngineOutput::Calibrated { .. } => {
                    stream.calibrated = Some(Instant::now());
                    calibrated.push(number);
                }
                EngineOutput::Embedding { pooled, .. } => {
                    let embedding = embedder.embedding(*pooled, stream.wall_zero(), stream.embeddings);
                    stream.embeddings = stream.embeddings.wrapping_add(1);
                    let stream = stream.feed.id.clone();
                    sender.try_send(Outgoing::Embedding { stream, embedding: Box::new(embedding) });
                }
                EngineOutput::Column { column, .. } => stream.shown.column(feed, place, column),
                EngineOutput::State { state, .. } => {
                    if let Some(shared) = &mut stream.shared {
                        shared.keep(&state);
                    }
                    if stream.keep {
                        // the last document of the stream: worth a bounded wait
                        let _ = states.send_timeout((stream.feed.id.clone(), state), KEEP_PATIENCE);
                    }
                }
                EngineOutput::Finding { finding, .. } if stream.mute.hides(&finding, Instant::now()) => {}
                EngineOutput::Finding { finding, .. } => {
                    let on = finding.phase != Phase::End;
                    let document = stream.document(*finding, event_builder, snapshots);
                    let Some(mut event) = document else { return };
                    // the documents of a cluster are the same whatever worker made them
                    if stream.shared.is_none() {
                        feed.label(&mut event);
                    }
                    tracing::debug!(
                        stream = stream.feed.id,
                        id = event.id,
                        score = event.finding.score,
                        on,
                        "event"
                    );
                    feed.event(&event);
                    if stream.shared.is_none() {
                        publish(sender, *patient, Outgoing::Event(Box::new(event)));
                    }
                    stream.anomaly.set(on);
                    stream.publish_anomaly(sender, *patient);
                }
                EngineOutput::Clip { excerpt, .. } => snapshots.take(&stream.feed.id, excerpt),
            }
        });
        for number in calibrated {
            self.log_calibrated(number);
        }
        result
    }

    fn log_calibrated(&self, number: usize) {
        let Some(stream) = self.of_number.get(number).and_then(|&at| self.streams.get(at)) else { return };
        let Some(calibration) =
            self.engine.pipeline(number).and_then(|pipeline| pipeline.detector().calibration())
        else {
            return;
        };
        tracing::info!(
            "{}: calibrated on {:.0} s of sound at {:.1} dBFS ({}); watching",
            stream.feed.id,
            calibration.seconds(),
            calibration.background_dbfs(),
            calibration.id()
        );
        self.keep(stream);
        self.show_calibration(number);
    }

    /// Hands the state of a stream to the thread `states`, since a disk may be slow. A full channel only delays it.
    fn keep(&self, stream: &Stream) {
        let pipeline = stream.number.filter(|_| stream.keep).and_then(|number| self.engine.pipeline(number));
        if let Some(shared) = &stream.shared {
            return shared.report_known(stream.number.and_then(|number| self.engine.pipeline(number)));
        }
        if let Some(state) = pipeline.and_then(|pipeline| pipeline.detector().snapshot()) {
            let _ = self.states.try_send((stream.feed.id.clone(), Box::new(state)));
        }
    }

    /// The engine's number of the stream `id`, until it ends.
    pub(super) fn number_of(&self, id: &str) -> Option<usize> {
        self.streams.iter().find(|stream| stream.feed.id == id)?.number
    }

    pub(super) fn refresh(&mut self, last: bool) {
        for stream in &mut self.streams {
            if let Some(pipeline) = stream.number.and_then(|number| self.engine.pipeline(number)) {
                let figures = pipeline.figures();
                stream.figures = PipelineFigures { muted: stream.mute.count, ..figures };
            } else if stream.figures.samples.resampled == 0 {
                // it begins with the budget of all
                stream.figures.budget_per_hour = Some(self.engine.events_per_hour());
            }
        }
        // the supervisor holds this lock for the time of a copy; a missed refresh is repeated a second later, except
        // the last
        let figures = &self.progress.figures;
        if let Some(mut figures) = if last { figures.lock().ok() } else { figures.try_lock().ok() } {
            figures.load = self.load.share(Instant::now());
            figures.hop = self.engine.hop_times().durations();
            figures.step = self.engine.step_times().durations();
            figures.heard = self.delays.durations();
            figures.streams = self.streams.iter().map(|s| (s.feed.id.clone(), s.figures)).collect();
        }
    }
}

/// Whether the next sound of a stream should wait: in its ring, or at the servers of a cluster, so that snapshots, which include what
/// is not scored yet, stay small.
fn has_enough(engine: &Engine, number: usize, (patient, shared): (bool, bool)) -> bool {
    match shared && !engine.learns(number) {
        true => engine.waiting_s(number) > SHARED_WAITING_S,
        false => engine.is_full(number, patient),
    }
}
