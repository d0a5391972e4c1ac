//! The supervisor: starts everything, watches it, stops it in order.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, bounded, never, select};
use sd_notify::NotifyState;

use super::admission::{Admission, no_source};
use super::cluster::{self, join_cluster};
use super::day_reporter::DayReporter;
use super::dispatch::{DIRECT_REQUESTS, Dispatch};
use super::embedding_averager::Embedder;
use super::failover::start_engine;
use super::health::HealthReporter;
use super::liveness::{LivenessMonitor, MonitoredParts};
use super::lock::{is_in_place, lock};
use super::microphones::open_microphones;
use super::progress::ThreadProgress;
use super::scores::score_every;
use super::shard::{Shard, SharedConfig, engines};
use super::snapshot::{RecentAudioConfig, Writer};
use super::state_writer::{self, QUEUE, StateWriter};
use super::stream::Stream;
use super::{CalibrationStore, EventBuilder};
use crate::capture::{self, MqttAudioInput, Notice, OpenSource, SourceConfig};
use crate::config::{Config, SnapshotConfig};
use crate::error::Result;
use crate::event_store::EventStore;
use crate::publish::{ClusterView, DiscoveryConfig, Outgoing, Publisher};
use crate::realtime;
use crate::serve::{NodeInfo, Review, Server, UiEvent, UiSender};

/// Most calibration threads.
const LEARNERS: usize = 4;
/// Interval of the supervisor's rounds without other work.
const ROUND: Duration = Duration::from_millis(100);
/// Interval of the liveness checks.
const LOOK: Duration = Duration::from_millis(500);
/// Control of a running daemon.
pub struct Control<'a> {
    /// Set to end it.
    pub stop: &'a AtomicBool,
    /// Set to have the configuration read again; it is cleared then.
    pub hang_up: &'a AtomicBool,
    /// Reads the configuration.
    pub load: &'a dyn Fn() -> Result<Config>,
}

/// Runs the daemon until it is stopped, every input has ended, or a part of it fails.
///
/// # Errors
/// When it cannot start: configuration, model, a device name that cannot be, a file that is no audio. A broker or
/// a device that is away is no error.
pub fn run(config: &Config, control: &Control<'_>) -> Result<()> {
    let mut sources = config.source.clone();
    if sources.is_empty() {
        return Err(no_source());
    }
    capture::assign_ids(&mut sources)?;
    if config.capture.lock_memory
        && let Err(reason) = realtime::lock_memory()
    {
        tracing::warn!("the memory cannot be locked: {reason}; raise the limit MEMLOCK");
    }
    let node = config.node_id();
    let state = config.state_folder()?;
    let mut daemon = Daemon::start(config, &sources, &node, &state)?;
    let ended = daemon.supervise(control);
    daemon.stop(ended)
}

/// The reason why the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitReason {
    /// A request to stop.
    Asked,
    /// Every input has ended.
    OfInput,
}

pub(super) struct Daemon {
    pub(super) config: Config,
    pub(super) sources: Vec<OpenSource>,
    pub(super) notices: Receiver<Notice>,
    pub(super) state_writer: StateWriter,
    pub(super) cluster: Option<cluster::Worker>,
    /// Keeps the connection to microphones open.
    _microphones: Option<MqttAudioInput>,
    pub(super) dispatch: Dispatch,
    liveness: LivenessMonitor,
    /// The part that hangs, as reported.
    reported: Option<String>,
    pub(super) patient: bool,
    state: PathBuf,
    /// Holds the state folder.
    lock: Option<File>,
    pub(super) shards: Vec<Shard>,
    pub(super) publisher: Publisher,
    pub(super) snapshots: Writer,
    pub(super) reporter: Arc<HealthReporter>,
    pub(super) feed: UiSender,
    pub(super) days: DayReporter,
    /// The page, if it is enabled.
    _server: Option<Server>,
    pub(super) health_every: Duration,
    pub(super) drain: Duration,
}

impl Daemon {
    fn start(config: &Config, sources: &[SourceConfig], node: &str, state: &Path) -> Result<Self> {
        let lasting = config.publish.broker.is_some()
            || config.snapshots.any()
            || sources.iter().any(SourceConfig::is_live);
        let held = if lasting { lock(state)? } else { None };
        // the engine warms up before any source opens
        let (mut engine, manifest) = start_engine(config)?;
        tracing::info!("model {} ({})", manifest.name, manifest.short_hash());
        if config.cluster.is_on() {
            engine.step_alone();
        }
        let embeddings = config.publish.embedding;
        if config.publish.broker.is_some() {
            engine.pool_contexts(embeddings.frames());
        } else if embeddings.rate_hz > 0 {
            tracing::warn!("embeddings go to a broker, and none is configured: there are none");
        }
        // the watchdog does not wait for calibrations, so that streams of stdin calibrate in the background too
        if sources.iter().any(|source| source.keeps_pace() || source.stdin.is_some()) {
            let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
            engine.calibrate_on_threads((cores - 1).clamp(1, LEARNERS))?;
        }
        let SnapshotConfig { spectrogram, clip, pre_roll_s, .. } = config.snapshots;
        if config.snapshots.any() {
            engine.remember(RecentAudioConfig { bands: spectrogram, samples: clip, pre_roll_s });
        }
        let paced = sources.iter().all(SourceConfig::keeps_pace);
        let patient = !sources.iter().any(SourceConfig::is_live);
        let count: usize = sources.iter().map(|source| source.stream_ids().len()).sum();
        let mut admission = Admission::new(config, sources, &engine)?;
        let engines = engines(engine, config.model.shards(count))?;
        if engines.len() > 1 {
            tracing::info!("{} threads share {count} streams", engines.len());
        }
        let event_builder = EventBuilder::new(node, manifest.short_hash());
        let (notify, notices) = bounded(256);
        let microphones = open_microphones(config, sources, node)?;
        let mut open = Vec::with_capacity(sources.len());
        for source in sources {
            open.push(match admission.refusal(source) {
                None => capture::open_with(source, &config.capture, notify.clone(), microphones.as_ref())?,
                Some(reason) => capture::refuse(source, &config.capture, notify.clone(), reason)?,
            });
        }
        let ids: Vec<String> =
            open.iter().flat_map(|source| source.feeds.iter().map(|feed| feed.id.clone())).collect();
        let (page, pictures) = (config.page_url(), config.snapshots.publish);
        let discovery =
            DiscoveryConfig { config: &config.homeassistant, streams: &ids, page: page.as_deref(), pictures };
        let mut publish = config.publish.clone();
        if config.cluster.is_on() {
            // a worker knows the events of its own part of a day alone
            publish.day_s = 0;
        }
        let publisher = Publisher::start_with(&publish, node, state, Some(discovery))?;
        let sender = Some(publisher.sender());
        let (snapshots, handle) = Writer::start(&config.snapshots, state, patient, sender)?;
        if config.homeassistant.enable && config.publish.broker.is_none() {
            tracing::warn!(
                "Home Assistant is reached through a broker, and none is configured: it hears nothing"
            );
        }
        let progress: Vec<_> = engines.iter().map(|_| Arc::new(ThreadProgress::default())).collect();
        let view = config.cluster.is_on().then(ClusterView::default);
        let reporter = HealthReporter::new(
            event_builder.boot(),
            progress.clone(),
            publisher.status(),
            snapshots.counts(),
            &open,
            view.clone(),
        );
        let reporter = Arc::new(reporter);
        let about = NodeInfo {
            node: node.to_owned(),
            model: format!("{} ({})", manifest.name, manifest.short_hash()),
            state: state.to_owned(),
            pictures: spectrogram,
            clips: clip,
            broker: config.publish.broker.is_some(),
            streams: reporter.streams().map(str::to_owned).collect(),
        };
        let of_health = Arc::clone(&reporter);
        let (store, recorder) = EventStore::start(config.events, lasting.then_some(state))?;
        let (direct_requests, asked) = bounded(DIRECT_REQUESTS);
        let days =
            DayReporter::new(&publish, &ids, recorder.clone(), publisher.sender(), Arc::clone(&reporter));
        let review = Review {
            store,
            recorder: recorder.clone(),
            request_sender: publisher.request_sender(),
            direct_requests,
        };
        let (server, feed) =
            Server::start(&config.http, about, (Arc::new(move || of_health.health()), review))?;
        let feed = feed.with_recorder(recorder.clone());
        if let Some(server) = &server {
            tracing::info!("the page is at http://{}/", server.address());
        }
        let store = CalibrationStore::new(state);
        let (cluster, parts) = join_cluster(config, (&open, sources), manifest.short_hash(), view)?;
        let mut parts: HashMap<_, _> = parts.into_iter().collect();
        // the channel has room for a state of each stream, so that none is refused every time
        let (state_writer, keep) = StateWriter::start(store.clone(), QUEUE.max(2 * ids.len()))?;
        let mut streams = Vec::new();
        for (source, config) in open.iter_mut().zip(sources) {
            let lasting = config.is_live();
            for feed in source.feeds.drain(..) {
                let place = streams.len();
                if let Some(part) = parts.remove(&feed.id) {
                    streams.push(Stream::clustered(place, feed, part));
                    continue;
                }
                let known = if lasting { store.load(&feed.id) } else { None };
                let mut stream = Stream::new(place, feed, known, lasting);
                stream.live |= config.stdin.is_some();
                streams.push(stream);
            }
        }
        let (dispatch, answers) = Dispatch::new(publisher.requests(), asked, publisher.sender(), recorder);
        let wished = config.capture.realtime_priority;
        let common = SharedConfig {
            event_builder,
            sender: publisher.sender(),
            patient,
            score_every: score_every(config.publish.score_hz),
            embedder: Embedder::new(embeddings, &manifest)?,
            snapshots: handle,
            states: keep,
            keep_every: state_writer::every(cluster.is_some()),
            // what is read as fast as it goes is not slowed
            tick: if paced { config.model.tick() } else { Duration::ZERO },
            priority: wished.saturating_sub(1).max(wished.min(1)),
            feed: feed.clone(),
        };
        let shards = Shard::start_all(engines, progress, streams, &common, &answers)?;
        Ok(Self {
            config: config.clone(),
            sources: open,
            notices,
            state_writer,
            cluster,
            _microphones: microphones,
            dispatch,
            liveness: LivenessMonitor::new(),
            reported: None,
            patient,
            state: state.to_owned(),
            lock: held,
            shards,
            publisher,
            snapshots,
            reporter,
            feed,
            days,
            _server: server,
            health_every: Duration::from_secs(u64::from(config.publish.health_s)),
            drain: Duration::from_secs_f64(config.publish.drain_timeout_s),
        })
    }

    /// Supervises all threads; returns the reason of the end.
    fn supervise(&mut self, control: &Control<'_>) -> ExitReason {
        notify_systemd(&[NotifyState::Ready, NotifyState::Status("listening")]);
        self.feed.send(UiEvent::Ready);
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / 3);
        let (mut fed, mut looked, mut moves) = (Instant::now(), Instant::now(), true);
        let mut reported = Instant::now();
        self.report();
        while !control.stop.load(Ordering::Relaxed) {
            self.await_something();
            if self.shards.iter_mut().any(Shard::has_failed) || self.shards.iter().all(Shard::has_ended) {
                return ExitReason::OfInput;
            }
            if self.publisher.status().wants_stop() {
                tracing::info!("nobody reads stdout any more; stopping");
                return ExitReason::Asked;
            }
            self.take_reloads(control);
            if looked.elapsed() >= LOOK {
                self.look_at_state_folder();
                moves = self.everything_moves();
                self.days.look(SystemTime::now());
                looked = Instant::now();
            }
            if watchdog.is_some_and(|every| fed.elapsed() >= every) && moves {
                notify_systemd(&[NotifyState::Watchdog]);
                fed = Instant::now();
            }
            if reported.elapsed() >= self.health_every {
                reported = Instant::now();
                self.report();
            }
        }
        tracing::info!("asked to stop");
        ExitReason::Asked
    }

    /// Handles the next notice, request or answer; waits for a round at most.
    fn await_something(&mut self) {
        select! {
            recv(self.notices) -> notice => match notice {
                Ok(notice) => self.report_notice(&notice),
                Err(_) => self.notices = never(),
            },
            recv(self.dispatch.requests) -> request => match request {
                Ok(request) => self.dispatch.ask(request, &self.shards),
                Err(_) => self.dispatch.requests = never(),
            },
            recv(self.dispatch.direct_requests) -> direct => match direct {
                Ok(direct) => self.dispatch.ask_directly(direct, &self.shards),
                Err(_) => self.dispatch.direct_requests = never(),
            },
            recv(self.dispatch.answers) -> answer => match answer {
                Ok(answer) => self.dispatch.take(answer),
                Err(_) => self.dispatch.answers = never(),
            },
            default(ROUND) => {}
        }
        self.dispatch.settle(&self.shards);
    }

    /// Detects that the state folder was removed. The new one is locked, so that no second daemon starts there.
    fn look_at_state_folder(&mut self) {
        let Some(held) = &self.lock else { return };
        if is_in_place(held, &self.state) {
            return;
        }
        let state = self.state.display();
        tracing::error!(
            "the state folder {state} was removed or replaced: events and calibrations that are kept from now on are lost when \
             the daemon ends; start it again"
        );
        self.publisher.status().set_orphaned(true);
        self.lock = match lock(&self.state) {
            Ok(held) => held,
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
        self.report();
    }

    /// Whether every thread makes progress; logs once which one does not.
    fn everything_moves(&mut self) -> bool {
        let seen = MonitoredParts {
            shards: &self.shards,
            sources: &self.sources,
            publisher: &self.publisher,
            broker: self.config.publish.broker.is_some(),
        };
        let found = self.liveness.check(&seen, Instant::now());
        if found.call_link {
            self.report();
        }
        if found.hangs != self.reported {
            match &found.hangs {
                Some(who) => {
                    tracing::error!("{who} hangs; the service manager is asked for a restart by silence");
                }
                None => tracing::info!("everything moves again"),
            }
            self.feed.send(UiEvent::Hangs(found.hangs.clone()));
            self.reported.clone_from(&found.hangs);
        }
        found.hangs.is_none()
    }

    pub(super) fn report(&self) {
        self.publisher.sender().try_send(Outgoing::Health(Box::new(self.reporter.health())));
    }
}

pub(super) fn notify_systemd(state: &[NotifyState<'_>]) {
    // without systemd there is no service manager
    let _ = sd_notify::notify(state);
}
