//! The thread `pool`: messages of the broker go into the lease table, and its actions are executed.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde::Deserialize;
use serde_json::json;

use super::handover::StreamHandover;
use super::lease_table::{Action, LeaseTable};
use super::state_transfer;
use crate::capture::{MicTopic, MqttAudioInput};
use crate::config::PoolConfig;
use crate::detect::StreamState;
use crate::error::{Error, Result};
use crate::mqtt::{Incoming, IncomingMessage, MqttClient};
use crate::publish::check_id;
use crate::runtime::CalibrationStore;
use crate::runtime::progress::ThreadProgress;
use crate::runtime::shard::StreamHandovers;
use crate::runtime::state_writer::Known;

/// Interval of heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(400);
/// Interval of the lease table's timer.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A longer pause between two rounds means that the process was suspended.
const SUSPENDED_AFTER: Duration = Duration::from_secs(1);
/// Timeout of the retained detector state of a microphone.
const STATE_TIMEOUT: Duration = Duration::from_secs(1);
/// After this long without a round of the analysis, its microphones go to other workers.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Messages that wait for the thread at most.
const QUEUE: usize = 4096;
/// Bytes of documents about owners, workers and microphones at most.
const SMALL: usize = 1024;
/// Timeout of leaving the pool.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(800);

/// A shared microphone.
pub(in crate::runtime) struct Shared {
    /// Its stream.
    pub(in crate::runtime) stream: String,
    /// The channel to its source.
    pub(in crate::runtime) way: Sender<Incoming>,
}

/// A started worker.
pub(in crate::runtime) struct Worker {
    done: Receiver<()>,
}

/// Arguments of a worker.
pub(in crate::runtime) struct WorkerConfig {
    pub(in crate::runtime) node: String,
    pub(in crate::runtime) pool: PoolConfig,
    pub(in crate::runtime) air: MqttAudioInput,
    pub(in crate::runtime) client: MqttClient,
    /// By the ids of the microphones.
    pub(in crate::runtime) mics: BTreeMap<String, Shared>,
    /// Detector states to publish. The channel closes after the last one.
    pub(in crate::runtime) states: Receiver<Known>,
    pub(in crate::runtime) handovers: StreamHandovers,
    pub(in crate::runtime) store: CalibrationStore,
    pub(in crate::runtime) progress: Vec<Arc<ThreadProgress>>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(in crate::runtime) fn start(config: WorkerConfig) -> Result<Self> {
        let (ended, done) = bounded(1);
        let (way, posts) = bounded(QUEUE);
        let WorkerConfig { node, pool, air, client, mics, states, handovers, store, progress } = config;
        let topics = &air.topics;
        for filter in [topics.owner("+"), topics.worker("+"), topics.hellos(&pool.name)] {
            client.subscribe(filter, SMALL, way.clone());
        }
        let leases = LeaseTable::new(&node, pool.max_streams, mics.keys().cloned());
        let mics = mics.into_iter().map(|(id, shared)| (id, Mic::new(shared))).collect();
        let moved = (rounds(&progress), Instant::now());
        let mut desk = WorkerLoop {
            node,
            pool,
            air,
            client,
            leases,
            mics,
            way,
            handovers,
            store,
            progress,
            moved,
            warned: false,
        };
        let work = move || {
            desk.run(&posts, &states);
            let _ = ended.send(());
        };
        thread::Builder::new()
            .name("pool".to_owned())
            .spawn(work)
            .map_err(|e| Error::internal(format!("cannot start the thread of the pool: {e}")))?;
        Ok(Self { done })
    }

    /// Waits until all is given back, once nothing more is to be handed on; at most `limit`.
    pub(in crate::runtime) fn finish(&self, limit: Duration) -> bool {
        self.done.recv_timeout(limit).is_ok()
    }
}

fn rounds(progress: &[Arc<ThreadProgress>]) -> Vec<u64> {
    progress.iter().map(|progress| progress.rounds.load(Ordering::Relaxed)).collect()
}

struct Mic {
    shared: Shared,
    /// Since when the retained state is awaited.
    asked: Option<Instant>,
    /// The last published state, for a broker that loses retained messages.
    transfer: Option<Vec<u8>>,
}

impl Mic {
    fn new(shared: Shared) -> Self {
        Self { shared, asked: None, transfer: None }
    }
}

struct WorkerLoop {
    node: String,
    pool: PoolConfig,
    air: MqttAudioInput,
    client: MqttClient,
    leases: LeaseTable,
    mics: BTreeMap<String, Mic>,
    way: Sender<Incoming>,
    handovers: StreamHandovers,
    store: CalibrationStore,
    progress: Vec<Arc<ThreadProgress>>,
    /// Rounds of the analysis threads, and the last time at which all of them had changed.
    moved: (Vec<u64>, Instant),
    /// Invalid messages on the topics of the pool were logged.
    warned: bool,
}

#[derive(Deserialize)]
struct Owner {
    node: Option<String>,
}

impl WorkerLoop {
    fn run(&mut self, posts: &Receiver<Incoming>, states: &Receiver<Known>) {
        let (mut beaten, mut looked, mut woken) = (None::<Instant>, Instant::now(), Instant::now());
        loop {
            select! {
                recv(posts) -> post => if let Ok(post) = post { self.take(post); },
                recv(states) -> known => match known {
                    Ok((stream, state)) => self.hand_on(&stream, &state),
                    Err(_) => return self.leave(),
                },
                default(POLL_INTERVAL) => {}
            }
            let now = Instant::now();
            if now >= woken + SUSPENDED_AFTER {
                self.leases.woke(now);
            }
            woken = now;
            if beaten.is_none_or(|last| now >= last + HEARTBEAT_INTERVAL) && self.send_heartbeat(now) {
                beaten = Some(now);
            }
            if now >= looked + POLL_INTERVAL {
                looked = now;
                for action in self.leases.tick(now) {
                    self.execute(action, now);
                }
                self.stop_asking(now);
            }
        }
    }

    fn client(&self) -> &MqttClient {
        &self.client
    }

    /// Publishes a heartbeat, while the analysis makes rounds.
    fn send_heartbeat(&mut self, now: Instant) -> bool {
        let rounds = rounds(&self.progress);
        if rounds.iter().zip(&self.moved.0).all(|(rounds, before)| rounds != before) {
            self.moved = (rounds, now);
        }
        if now >= self.moved.1 + STALLED_AFTER {
            return false;
        }
        let streams: Vec<&str> = self.leases.held().collect();
        let document = json!({ "streams": streams, "max_streams": self.pool.max_streams });
        self.client().publish_retained(self.air.topics.worker(&self.node), document.to_string().into_bytes())
    }

    fn take(&mut self, post: Incoming) {
        let now = Instant::now();
        match post {
            Incoming::Connected => self.leases.up(now),
            Incoming::Disconnected(_) => self.leases.down(),
            Incoming::Elsewhere(_) | Incoming::Refused(_) | Incoming::ByOtherPath => {}
            Incoming::Message(message) => self.read(&message, now),
        }
    }

    fn read(&mut self, message: &IncomingMessage, now: Instant) {
        let topics = self.air.topics.clone();
        let Some(about) = topics.read(&message.topic) else { return };
        let action = match about {
            MicTopic::Hello(id) => self.leases.hello(id, now),
            MicTopic::Worker(node) => {
                match message.payload.is_empty() {
                    true => self.leases.gone(node),
                    false => self.leases.send_heartbeat(node, now),
                }
                None
            }
            MicTopic::Owner(id) => match self.owner(&message.payload) {
                Some(node) => self.leases.owner(id, node.as_deref(), now),
                None => None,
            },
            MicTopic::State(id) => {
                if self.mics.get(id).is_some_and(|mic| mic.asked.is_some()) {
                    self.begin(id, Some(&message.payload));
                }
                None
            }
        };
        if let Some(action) = action {
            self.execute(action, now);
        }
    }

    /// The node in an owner document; `None` where it is no such document.
    fn owner(&mut self, payload: &[u8]) -> Option<Option<String>> {
        if payload.is_empty() {
            return Some(None);
        }
        let owner = serde_json::from_slice::<Owner>(payload).ok();
        let owner =
            owner.filter(|owner| owner.node.as_ref().is_none_or(|node| check_id("node", node).is_ok()));
        if owner.is_none() && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "invalid messages arrive on the topics of the pool; check the access rules of the broker"
            );
        }
        owner.map(|owner| owner.node)
    }

    fn execute(&mut self, action: Action, now: Instant) {
        match action {
            Action::Claim(id) => drop(self.claim(&id, Some(&self.node))),
            Action::Take(id) => {
                if let Some(mic) = self.mics.get_mut(&id) {
                    mic.asked = Some(now);
                    self.client.subscribe(
                        self.air.topics.state(&id),
                        state_transfer::LARGEST,
                        self.way.clone(),
                    );
                }
            }
            Action::Leave(id) => {
                let topics = self.air.topics.clone();
                self.client().unsubscribe(topics.audio(&id));
                if let Some(mic) = self.mics.get_mut(&id) {
                    (mic.asked, mic.transfer) = (None, None);
                    let stream = mic.shared.stream.clone();
                    tracing::info!("{stream}: another worker has taken it");
                    self.hand(StreamHandover::Leave { stream });
                    self.client().unsubscribe(topics.state(&id));
                }
            }
            Action::Tell(id, node) => {
                if let Some(mic) = self.mics.get(&id) {
                    let _ =
                        mic.shared.way.send_timeout(Incoming::Elsewhere(node.map(Into::into)), POLL_INTERVAL);
                }
            }
            Action::Again(id) => {
                self.claim(&id, Some(&self.node));
                if let Some(transfer) = self.mics.get(&id).and_then(|mic| mic.transfer.clone()) {
                    self.client().publish_retained(self.air.topics.state(&id), transfer);
                }
            }
        }
    }

    /// Sends a handover to the thread of the stream.
    fn hand(&self, hand: StreamHandover) {
        let (StreamHandover::Take { stream, .. } | StreamHandover::Leave { stream }) = &hand;
        if let Some(way) = self.handovers.get(stream) {
            let _ = way.send(hand);
        }
    }

    fn claim(&self, id: &str, node: Option<&str>) -> bool {
        self.client()
            .publish_retained(self.air.topics.owner(id), json!({ "node": node }).to_string().into_bytes())
    }

    /// Starts without a detector state where the broker has none.
    fn stop_asking(&mut self, now: Instant) {
        let late = |mic: &Mic| mic.asked.is_some_and(|asked| now >= asked + STATE_TIMEOUT);
        let late: Vec<String> =
            self.mics.iter().filter(|(_, mic)| late(mic)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.begin(&id, None);
        }
    }

    /// Starts the analysis of a microphone.
    fn begin(&mut self, id: &str, transfer: Option<&[u8]>) {
        self.client().unsubscribe(self.air.topics.state(id));
        let Some(mic) = self.mics.get_mut(id) else { return };
        mic.asked = None;
        let stream = mic.shared.stream.clone();
        let brought =
            transfer.filter(|transfer| !transfer.is_empty()).and_then(|transfer| match state_transfer::open(
                transfer,
                SystemTime::now(),
            ) {
                Ok(state) => {
                    mic.transfer = Some(transfer.to_vec());
                    Some(state)
                }
                Err(why) => {
                    tracing::warn!("{stream}: the retained detector state is refused: {why}");
                    None
                }
            });
        let how = if brought.is_some() { "with its detector state" } else { "without a detector state" };
        tracing::info!("{stream}: analysed here from now on, {how}");
        let known = brought.or_else(|| self.store.load(&stream)).map(Box::new);
        let way = mic.shared.way.clone();
        self.hand(StreamHandover::Take { stream, known });
        let _ = way.send_timeout(Incoming::Connected, POLL_INTERVAL);
        self.air.subscribe(id, &way);
    }

    /// Publishes the detector state of a stream, for its next worker.
    fn hand_on(&mut self, stream: &str, state: &StreamState) {
        let found = self.mics.iter_mut().find(|(_, mic)| mic.shared.stream == stream);
        let Some((id, mic)) = found.filter(|(id, mic)| self.leases.holds(id) && mic.asked.is_none()) else {
            return;
        };
        let Some(transfer) = state_transfer::pack(state, SystemTime::now()) else {
            tracing::warn!("{stream}: its detector state is too large to be published");
            return;
        };
        mic.transfer = Some(transfer.clone());
        let topic = self.air.topics.state(id);
        self.client().publish_retained(topic, transfer);
    }

    /// Gives everything back.
    fn leave(&mut self) {
        let held: Vec<String> = self.leases.held().map(str::to_owned).collect();
        for id in held {
            self.claim(&id, None);
        }
        self.client().publish_retained(self.air.topics.worker(&self.node), Vec::new());
        self.client().stop(LEAVE_TIMEOUT);
    }
}
