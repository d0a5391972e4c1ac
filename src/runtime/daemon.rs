//! The supervisor: starts everything, watches it, stops it in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use candle_core::Device;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use sd_notify::NotifyState;

use super::health::HealthDesk;
use super::inference::{Inference, Progress, Stream, score_every};
use super::pool::Embedder;
use super::snapshot::{Keep, Snapshots, Writer};
use super::{CalibrationStore, Engine, Stamp};
use crate::capture::{self, Change, Notice, OpenSource, SourceConfig};
use crate::config::{Config, SnapshotConfig};
use crate::detect::StreamState;
use crate::error::{Error, Result};
use crate::model::{self, Cpc, Manifest};
use crate::publish::{Availability, Outgoing, Publisher};

/// How often the supervisor looks around when nothing calls it.
const ROUND: Duration = Duration::from_millis(100);
/// An inference thread that makes no round for this long hangs; the watchdog is not fed any more.
const HANG: Duration = Duration::from_secs(5);

/// Runs the daemon until `stop` is set, every input has ended, or a part of it fails.
///
/// # Errors
/// When it cannot start: configuration, model, a device name that cannot be, a file that is no audio. A broker or
/// a device that is away is no error.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<()> {
    let mut sources = config.source.clone();
    if sources.is_empty() {
        return Err(Error::config(
            "no source of sound is configured",
            "name one: `--device hw:0`, `--input FILE`, or [[source]] in the config; `cpc-stream devices` lists inputs",
        ));
    }
    capture::assign_ids(&mut sources)?;
    let (manifest, cpc) = model::open(config.model.file(), &Device::Cpu)?;
    tracing::info!("model {} ({})", manifest.name, manifest.short_hash());
    let node = config.node_id();
    let state = config.state_folder()?;
    let mut daemon = Daemon::start(config, &sources, (manifest, cpc), (&node, &state))?;
    let ended = daemon.supervise(stop);
    daemon.stop(ended)
}

/// Why the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Somebody wants it.
    Asked,
    /// Every input has ended.
    OfInput,
}

struct Daemon {
    sources: Vec<OpenSource>,
    notices: Receiver<Notice>,
    states: Receiver<(String, Box<StreamState>)>,
    store: CalibrationStore,
    inference: Option<JoinHandle<Result<()>>>,
    progress: Arc<Progress>,
    publisher: Publisher,
    snapshots: Writer,
    desk: HealthDesk,
    health_every: Duration,
    drain: Duration,
}

impl Daemon {
    fn start(
        config: &Config,
        sources: &[SourceConfig],
        (manifest, cpc): (Manifest, Arc<Cpc>),
        (node, state): (&str, &Path),
    ) -> Result<Self> {
        // the engine warms up before anything listens
        let mut engine = Engine::new(cpc, &manifest, config.detect.clone())?;
        engine.warm_up()?;
        let embeddings = config.publish.embedding;
        if config.publish.broker.is_some() {
            engine.pool_contexts(embeddings.frames());
        } else if embeddings.rate_hz > 0 {
            tracing::warn!("embeddings go to a broker, and none is configured: there are none");
        }
        let SnapshotConfig { spectrogram, clip, pre_roll_s, .. } = config.snapshots;
        if config.snapshots.any() {
            engine.remember(Keep { bands: spectrogram, samples: clip, pre_roll_s });
        }
        let patient = sources.iter().all(|source| source.device.is_none());
        let (snapshots, handle) = Writer::start(&config.snapshots, state, patient)?;
        let stamp = Stamp::new(node, manifest.short_hash());
        let (notify, notices) = bounded(256);
        let mut open = Vec::with_capacity(sources.len());
        for source in sources {
            open.push(capture::open(source, &config.capture, notify.clone())?);
        }
        let publisher = Publisher::start(&config.publish, node, state)?;
        let progress = Arc::new(Progress::default());
        let desk = HealthDesk::new(
            stamp.boot(),
            Arc::clone(&progress),
            publisher.status(),
            snapshots.counts(),
            &open,
        );
        let (keep, states) = bounded(64);
        let store = CalibrationStore::new(state);
        let mut streams = Vec::new();
        for (source, config) in open.iter_mut().zip(sources) {
            let lasting = config.device.is_some();
            for feed in source.feeds.drain(..) {
                let known = if lasting { store.load(&feed.id) } else { None };
                streams.push(Stream::new(feed, known, lasting));
            }
        }
        let inference = Inference {
            engine,
            streams,
            stamp,
            sender: publisher.sender(),
            patient,
            score_every: score_every(config.publish.score_hz),
            embedder: Embedder::new(embeddings, &manifest)?,
            snapshots: Snapshots::new(handle),
            states: keep,
            requests: publisher.requests(),
            progress: Arc::clone(&progress),
        };
        let inference = thread::Builder::new()
            .name("inference".to_owned())
            .spawn(move || inference.run())
            .map_err(|e| Error::internal(format!("cannot start the inference thread: {e}")))?;
        Ok(Self {
            sources: open,
            notices,
            states,
            store,
            inference: Some(inference),
            progress,
            publisher,
            snapshots,
            desk,
            health_every: Duration::from_secs(u64::from(config.publish.health_s)),
            drain: Duration::from_secs_f64(config.publish.drain_timeout_s),
        })
    }

    /// Watches over everything; says what ended it.
    fn supervise(&mut self, stop: &AtomicBool) -> End {
        tell_systemd(&[NotifyState::Ready, NotifyState::Status("listening")]);
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / 3);
        let (mut fed, mut moved, mut rounds) = (Instant::now(), Instant::now(), 0);
        let mut reported = Instant::now();
        self.report();
        while !stop.load(Ordering::Relaxed) {
            match self.notices.recv_timeout(ROUND) {
                Ok(notice) => self.tell(&notice),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(ROUND),
            }
            self.keep_states();
            if self.inference.as_ref().is_none_or(JoinHandle::is_finished) {
                return End::OfInput;
            }
            if self.publisher.status().wants_stop() {
                tracing::info!("nobody reads stdout any more; stopping");
                return End::Asked;
            }
            let now = self.progress.rounds.load(Ordering::Relaxed);
            if now != rounds {
                (rounds, moved) = (now, Instant::now());
            }
            if watchdog.is_some_and(|every| fed.elapsed() >= every) && moved.elapsed() < HANG {
                tell_systemd(&[NotifyState::Watchdog]);
                fed = Instant::now();
            }
            if reported.elapsed() >= self.health_every {
                reported = Instant::now();
                self.report();
            }
        }
        tracing::info!("asked to stop");
        End::Asked
    }

    /// Sources first, so that the rings run dry; then the engine, which ends running events; then the snapshots and
    /// the publisher, which store and deliver them.
    fn stop(mut self, ended: End) -> Result<()> {
        tell_systemd(&[NotifyState::Stopping]);
        for source in &self.sources {
            source.handle.request_stop();
        }
        self.sources.clear();
        self.progress.sources_gone.store(true, Ordering::Release);
        let inference = match self.inference.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(Error::internal("the inference thread panicked")),
        };
        self.snapshots.finish();
        while let Ok(notice) = self.notices.try_recv() {
            self.tell(&notice);
        }
        self.keep_states();
        self.report();
        let health = self.desk.health();
        let report = self.publisher.stop(self.drain);
        tracing::info!(
            "stopped: {} samples scored, {} shed; events accepted {}, acknowledged {}, pending {}, dropped {}",
            health.samples_scored,
            health.samples_shed,
            report.accepted,
            report.acked,
            report.pending,
            report.dropped
        );
        for (stream, figures) in health.streams.iter().filter(|(_, figures)| figures.not_finite > 0) {
            tracing::warn!("{stream}: {} samples were not finite and were taken as 0", figures.not_finite);
        }
        if !report.clean {
            tracing::error!("events that only memory held are lost; the outbox could not take them");
        }
        inference?;
        if ended == End::OfInput && health.samples_in == 0 {
            return Err(Error::device(
                "the input ended before its first sample",
                "check what is written into the pipe, or the file",
            ));
        }
        Ok(())
    }

    fn tell(&self, notice: &Notice) {
        let (availability, source) = match &notice.change {
            Change::Online { description } => {
                tracing::info!("{}: {description}", notice.source);
                (Availability::online(), &notice.source)
            }
            Change::Offline { reason } => {
                tracing::warn!("{}: offline: {reason}", notice.source);
                (Availability::offline(reason.clone()), &notice.source)
            }
            Change::Xrun { count } => {
                tracing::warn!("{}: {count} overruns of the device", notice.source);
                return;
            }
            Change::Ended { frames, failure } => {
                let why = failure.clone().unwrap_or_else(|| "end of the input".to_owned());
                tracing::info!("{}: {why} after {frames} samples", notice.source);
                (Availability::offline(why), &notice.source)
            }
        };
        for stream in notice.streams.iter() {
            let message =
                Outgoing::Availability { stream: stream.clone(), availability: availability.clone() };
            if !self.publisher.sender().try_send(message) {
                tracing::warn!("{source}: the publish queue is full, availability was not sent");
            }
        }
    }

    fn keep_states(&self) {
        while let Ok((stream, state)) = self.states.try_recv() {
            match self.store.save(&stream, &state) {
                Ok(path) => tracing::debug!("{stream}: kept in {}", path.display()),
                Err(error) => tracing::warn!("{stream}: {error}; the next start knows less of it"),
            }
        }
    }

    fn report(&self) {
        self.publisher.sender().try_send(Outgoing::Health(Box::new(self.desk.health())));
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    // without systemd there is nobody to tell
    let _ = sd_notify::notify(state);
}
