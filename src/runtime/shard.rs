//! Threads of the analysis. Each has a fixed set of streams, and runs them through all stages: ring, resampler, model,
//! detector. They share the immutable weights, and no lock on the path of the sound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::embedding_averager::Embedder;
use super::inference::Inference;
use super::progress::{Load, ThreadProgress};
use super::settings::Settings;
use super::snapshot::{Snapshots, WriterHandle};
use super::state_writer::Known;
use super::stream::Stream;
use super::thread_request::{Answer, ThreadRequest};
use super::tick::Tick;
use super::{Engine, EventBuilder};
use crate::error::{Error, Result};
use crate::publish::EventSender;
use crate::ring::RingCounters;
use crate::serve::UiSender;
use crate::telemetry::HopTimes;

/// Requests that wait for a thread at most.
const REQUESTS: usize = 16;

/// Arguments that all threads share.
pub(super) struct SharedConfig {
    pub(super) event_builder: EventBuilder,
    pub(super) sender: EventSender,
    pub(super) patient: bool,
    pub(super) score_every: u32,
    pub(super) embedder: Embedder,
    pub(super) snapshots: Option<WriterHandle>,
    pub(super) states: Sender<Known>,
    pub(super) keep_every: Duration,
    /// Real-time priority to ask for; 0 for none.
    pub(super) priority: u8,
    /// Time between two rounds over all streams.
    pub(super) tick: Duration,
    pub(super) feed: UiSender,
}

/// Which of `count` threads analyses the stream at `place`.
fn shard_of(place: usize, count: usize) -> usize {
    place % count.max(1)
}

/// `first` and copies of it, warmed up, `count` in all, or `first` alone where the device of its model allows no other.
///
/// # Errors
/// When one cannot start.
pub(super) fn engines(first: Engine, count: usize) -> Result<Vec<Engine>> {
    let mut all = vec![first];
    while all.len() < count {
        let next = all.first().map(Engine::with_same_weights).transpose()?.flatten();
        let Some(mut next) = next else { break };
        next.warm_up()?;
        all.push(next);
    }
    Ok(all)
}

/// The handle of a started thread.
pub(super) struct Shard {
    /// Its name in reports of hangs: `the thread inference`.
    pub(super) shown: String,
    pub(super) progress: Arc<ThreadProgress>,
    pub(super) settings: Sender<Settings>,
    pub(super) requests: Sender<ThreadRequest>,
    rings: Vec<Arc<RingCounters>>,
    thread: Option<JoinHandle<Result<()>>>,
    outcome: Result<()>,
}

impl Shard {
    /// Starts a thread for each of `engines` with its share of `streams`, which reports to its `progress`; answers to requests go
    /// to `answers`.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start_all(
        engines: Vec<Engine>,
        progress: Vec<Arc<ThreadProgress>>,
        streams: Vec<Stream>,
        common: &SharedConfig,
        answers: &Sender<Answer>,
    ) -> Result<Vec<Self>> {
        let count = engines.len();
        let mut shares: Vec<Vec<Stream>> = (0..count).map(|_| Vec::new()).collect();
        for (place, stream) in streams.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(shard_of(place, count)) {
                share.push(stream);
            }
        }
        let all = engines.into_iter().zip(progress).zip(shares).enumerate();
        all.map(|(number, ((engine, progress), streams))| {
            Self::start(number, engine, progress, streams, common, answers.clone())
        })
        .collect()
    }

    fn start(
        number: usize,
        engine: Engine,
        progress: Arc<ThreadProgress>,
        streams: Vec<Stream>,
        common: &SharedConfig,
        answers: Sender<Answer>,
    ) -> Result<Self> {
        let (settings, new_settings) = bounded(1);
        let (requests, asked) = bounded(REQUESTS);
        let name = if number == 0 { "inference".to_owned() } else { format!("inference {number}") };
        let rings = streams.iter().map(|stream| stream.feed.reader.counters()).collect();
        let inference = Inference {
            engine,
            of_number: Vec::new(),
            streams,
            event_builder: common.event_builder.for_another_thread(),
            sender: common.sender.clone(),
            patient: common.patient,
            score_every: common.score_every,
            embedder: common.embedder,
            snapshots: Snapshots::new(common.snapshots.clone()),
            states: common.states.clone(),
            keep_every: common.keep_every,
            number,
            requests: asked,
            answers,
            held: VecDeque::new(),
            settings: new_settings,
            priority: common.priority,
            progress: Arc::clone(&progress),
            load: Load::new(Instant::now()),
            tick: Tick::new(common.tick),
            behind: false,
            feed: common.feed.clone(),
            delays: HopTimes::default(),
        };
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || inference.run())
            .map_err(|e| Error::no_thread(&name, &e))?;
        Ok(Self {
            shown: format!("the thread {name}"),
            progress,
            settings,
            requests,
            rings,
            thread: Some(thread),
            outcome: Ok(()),
        })
    }

    /// Whether samples wait in a ring.
    pub(super) fn waiting(&self) -> bool {
        self.rings.iter().any(|ring| ring.pushed() > ring.read())
    }

    /// Whether all its streams have ended, or it has failed.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether it has ended with an error, or by a panic.
    pub(super) fn has_failed(&mut self) -> bool {
        if self.has_ended() {
            self.join();
        }
        self.outcome.is_err()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let panicked = || Err(Error::internal(format!("{} panicked", self.shown)));
            self.outcome = thread.join().unwrap_or_else(|_| panicked());
        }
    }

    /// Waits until its streams have ended, at most until `by`; returns its result.
    pub(super) fn finish(mut self, by: Option<Instant>) -> Result<()> {
        let rounds = self.progress.rounds.load(Ordering::Relaxed);
        while let Some(by) = by.filter(|_| !self.has_ended()) {
            if Instant::now() > by {
                if self.progress.rounds.load(Ordering::Relaxed) > rounds + 1 {
                    tracing::warn!(
                        "the stop does not wait for {}, which has more to do: the last sound is lost",
                        self.shown
                    );
                    return Ok(());
                }
                let what = format!("{} hangs; the last seconds of sound are lost", self.shown);
                return Err(Error::internal(what));
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.join();
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_dealt_out_evenly() {
        let mut shares = [0; 3];
        (0..7).for_each(|place| shares[shard_of(place, 3)] += 1);
        assert_eq!(shares, [3, 2, 2]);
    }
}
