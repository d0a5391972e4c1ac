//! The streams of this worker: leases, fair shares, and a task for each stream.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::kv::Watch;
use crossbeam_channel::Sender;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::figures::{Counts, Figures, Lag, StreamOwner, WorkerPresence};
use super::jetstream::JetStream;
use super::keys::{STREAM, WORKER, now_ms};
use super::lease::{Lease, LeaseTable};
use super::relay::{self, RelaySetup};
use super::setup::{SharedStream, WorkerSetup};
use super::stream_channel::TaskPort;
use super::stream_task::StreamTask;
use super::{ClusterConfig, shares};
use crate::mqtt::Incoming;
use crate::publish::{ClusterHealth, ClusterStreamHealth, ClusterView};

const RELAY: &str = "relay";
/// Renewals within the length of a lease.
const RENEWALS: u32 = 4;

/// A stream as this worker sees it.
struct StreamSlot {
    mic: String,
    channel: Option<u16>,
    way: Option<Sender<Incoming>>,
    lag: Arc<Lag>,
    state: State,
    /// Its owner, as reported to its source.
    informed: Option<Option<String>>,
}

enum State {
    Free(TaskPort),
    HeldStream(HeldStream),
    /// Only while it changes.
    Between,
}

struct HeldStream {
    lease: Lease,
    stop: watch::Sender<bool>,
    task: JoinHandle<TaskPort>,
}

pub(super) struct Member {
    jetstream: JetStream,
    config: ClusterConfig,
    prefix: String,
    node: String,
    model: String,
    slots: BTreeMap<String, StreamSlot>,
    table: LeaseTable,
    counts: Arc<Counts>,
    relay: Option<RelaySetup>,
    relaying: Option<(Lease, watch::Sender<bool>, JoinHandle<()>)>,
    lease: Duration,
    view: ClusterView,
}

impl Member {
    pub(super) fn new(jetstream: JetStream, setup: WorkerSetup) -> Self {
        let slot = |shared: SharedStream| {
            let SharedStream { stream, mic, channel, outlet, way } = shared;
            let state = State::Free(outlet);
            (stream, StreamSlot { mic, channel, way, lag: Arc::default(), state, informed: None })
        };
        Self {
            jetstream,
            lease: Duration::from_secs_f64(setup.config.lease_s),
            config: setup.config,
            prefix: setup.prefix,
            node: setup.node,
            model: setup.model,
            slots: setup.streams.into_iter().map(slot).collect(),
            table: LeaseTable::default(),
            counts: Arc::default(),
            relay: setup.relay,
            relaying: None,
            view: setup.view,
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(self.lease / RENEWALS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news: Option<Watch> = None;
        let mut settled = Instant::now();
        loop {
            let next = async {
                match &mut news {
                    Some(news) => news.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                entry = next => match entry {
                    Some(Ok(entry)) => self.table.apply(entry, Instant::now()),
                    Some(Err(_)) | None => news = None,
                },
                _ = ticks.tick() => {
                    let connected = self.announce().await;
                    self.show(connected);
                    self.renew().await;
                    self.give_back().await;
                    if !connected {
                        // what servers keep in memory alone may be gone, and the watch over it says nothing
                        news = None;
                    }
                    if news.is_none() {
                        match self.jetstream.renew(&self.config).await {
                            Ok(()) => news = self.jetstream.leases.watch_with_history(">").await.ok(),
                            Err(reason) => tracing::debug!("cluster: {reason}"),
                        }
                        settled = Instant::now();
                    }
                    // a live worker announces itself within a renewal
                    if news.is_some() && settled.elapsed() >= self.lease / 2 {
                        self.share().await;
                        self.keep_relay().await;
                    }
                    self.tell_sources();
                }
            }
        }
        self.leave().await;
    }

    fn held(&self) -> usize {
        self.slots.values().filter(|slot| matches!(slot.state, State::HeldStream(_))).count()
    }

    /// Announces this worker; false where the servers do not answer.
    async fn announce(&self) -> bool {
        let held = self.slots.iter().filter(|(_, slot)| matches!(slot.state, State::HeldStream(_)));
        let now_ms = now_ms();
        let streams = held.map(|(stream, slot)| (stream.clone(), slot.lag.presence(now_ms)));
        let presence = WorkerPresence {
            max_streams: self.config.max_streams,
            model: self.model.clone(),
            figures: self.counts.figures(self.held()),
            streams: streams.collect(),
        };
        let text = serde_json::to_vec(&presence).unwrap_or_default();
        let answer = self.jetstream.leases.put(format!("{WORKER}{}", self.node), text.into()).await;
        if let Err(error) = &answer {
            tracing::debug!("cluster: the servers do not answer this worker: {error}");
        }
        answer.is_ok()
    }

    /// Shows the state in the health document.
    fn show(&self, connected: bool) {
        let Figures { stored, repeated, fenced, taken, lost, inexact, snapshots, snapshot_bytes, .. } =
            self.counts.figures(self.held());
        let now_ms = now_ms();
        let of = |(stream, slot): (&String, &StreamSlot)| {
            let held = matches!(slot.state, State::HeldStream(_)).then(|| slot.lag.presence(now_ms));
            let health = ClusterStreamHealth {
                owner: held.map(|_| self.node.clone()).or_else(|| self.owner(stream)),
                lag_s: held.map(|presence| presence.lag_s),
                snapshot_age_s: held.and_then(|presence| presence.snapshot_age_s),
            };
            (stream.clone(), health)
        };
        let streams = self.slots.iter().map(of).collect();
        let health = ClusterHealth {
            connected,
            stored,
            repeated,
            fenced,
            taken,
            lost,
            inexact,
            snapshots,
            snapshot_bytes,
            streams,
        };
        if let Ok(mut view) = self.view.lock() {
            *view = health;
        }
    }

    /// The worker of a stream, as reported by the servers.
    fn owner(&self, stream: &str) -> Option<String> {
        let key = format!("{STREAM}{stream}");
        let (_, value) = self.table.alive(&key, self.lease).find(|(rest, _)| rest.is_empty())?;
        Some(serde_json::from_slice::<StreamOwner>(value).ok()?.node)
    }

    async fn renew(&mut self) {
        let (store, after) = (&self.jetstream.leases, self.lease);
        let held = self.slots.iter_mut().filter_map(|(stream, slot)| match &mut slot.state {
            State::HeldStream(held) => Some((stream, held)),
            _ => None,
        });
        let renewals = held.map(|(stream, held)| async move {
            let before = held.lease.lost;
            held.lease.renew(store, after).await;
            if held.lease.lost && !before {
                tracing::warn!(
                    "cluster: {stream}: its lease ran out; who takes it goes on from its last snapshot"
                );
                let _ = held.stop.send(true);
                return 1;
            }
            0
        });
        let lost: u64 = join_all(renewals).await.into_iter().sum();
        self.counts.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// Releases the leases of streams that the analysis has given up.
    async fn give_back(&mut self) {
        for (stream, slot) in &mut self.slots {
            if !matches!(&slot.state, State::HeldStream(held) if held.task.is_finished()) {
                continue;
            }
            let State::HeldStream(held) = std::mem::replace(&mut slot.state, State::Between) else {
                continue;
            };
            match held.task.await {
                Ok(outlet) => slot.state = State::Free(outlet),
                Err(error) => {
                    tracing::error!("cluster: {stream}: its task is gone ({error}); restart this worker");
                }
            }
            held.lease.release(&self.jetstream.leases).await;
        }
    }

    /// Takes streams up to the fair share, and gives back what is above it.
    async fn share(&mut self) {
        let mut workers: BTreeMap<&str, usize> = BTreeMap::new();
        for (node, value) in self.table.alive(WORKER, self.lease) {
            let presence: WorkerPresence = serde_json::from_slice(value).unwrap_or_default();
            if presence.model == self.model {
                workers.insert(node, presence.max_streams);
            }
        }
        workers.insert(&self.node, self.config.max_streams);
        let capacities: Vec<usize> = workers.values().copied().collect();
        let place = workers.keys().position(|node| *node == self.node).unwrap_or_default();
        let share = shares(self.slots.len(), &capacities).get(place).copied().unwrap_or_default();
        let mut held = self.held();
        for slot in self.slots.values_mut().rev() {
            if held <= share {
                break;
            }
            if let State::HeldStream(running) = &slot.state {
                let _ = running.stop.send(true);
                held -= 1;
            }
        }
        let mut order: Vec<String> = self.slots.keys().cloned().collect();
        let mut hash = DefaultHasher::new();
        self.node.hash(&mut hash);
        let turn = usize::try_from(hash.finish() % (order.len().max(1) as u64)).unwrap_or_default();
        order.rotate_left(turn);
        for stream in order {
            if held >= share {
                break;
            }
            held += usize::from(self.take(&stream).await);
        }
    }

    /// Takes a free stream; true where that worked.
    async fn take(&mut self, stream: &str) -> bool {
        let key = format!("{STREAM}{stream}");
        let free = self.slots.get(stream).is_some_and(|slot| matches!(slot.state, State::Free(_)));
        if !free || self.table.is_taken(&key, self.lease) {
            return false;
        }
        let owner = serde_json::to_vec(&StreamOwner { node: self.node.clone() }).unwrap_or_default();
        let Some(lease) = Lease::take(&self.jetstream.leases, key, owner).await else { return false };
        let Some(slot) = self.slots.get_mut(stream) else { return false };
        let State::Free(outlet) = std::mem::replace(&mut slot.state, State::Between) else { return false };
        tracing::info!("cluster: {stream}: analysed here from now on");
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        let (stop, stopped) = watch::channel(false);
        let feed = StreamTask {
            jetstream: self.jetstream.clone(),
            stream: stream.to_owned(),
            mic: slot.mic.clone(),
            channel: slot.channel,
            prefix: self.prefix.clone(),
            model: self.model.clone(),
            node: self.node.clone(),
            snapshot_every: Duration::from_secs_f64(self.config.snapshot_s),
            outlet,
            way: slot.way.clone(),
            stop: stopped,
            revision: lease.revision(),
            lag: Arc::clone(&slot.lag),
            counts: Arc::clone(&self.counts),
        };
        slot.state = State::HeldStream(HeldStream { lease, stop, task: tokio::spawn(feed.run()) });
        slot.informed = None;
        true
    }

    /// One worker carries events to the broker.
    async fn keep_relay(&mut self) {
        if let Some((lease, stop, _)) = &mut self.relaying {
            lease.renew(&self.jetstream.leases, self.lease).await;
            if lease.lost {
                let _ = stop.send(true);
                self.relaying = None;
            }
            return;
        }
        let Some(setup) = self.relay.clone().filter(|_| !self.table.is_taken(RELAY, self.lease)) else {
            return;
        };
        let owner = serde_json::to_vec(&StreamOwner { node: self.node.clone() }).unwrap_or_default();
        if let Some(lease) = Lease::take(&self.jetstream.leases, RELAY.to_owned(), owner).await {
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(relay::run(self.jetstream.clone(), setup, stopped));
            self.relaying = Some((lease, stop, task));
        }
    }

    /// Tells the sources of streams that are not analysed here who analyses them.
    fn tell_sources(&mut self) {
        for (stream, slot) in &mut self.slots {
            if matches!(slot.state, State::HeldStream(_)) {
                continue;
            }
            let key = format!("{STREAM}{stream}");
            let owner = self.table.alive(&key, self.lease).find(|(rest, _)| rest.is_empty());
            let node = owner.and_then(|(_, value)| serde_json::from_slice::<StreamOwner>(value).ok());
            let node = node.map(|owner| owner.node).filter(|node| *node != self.node);
            if slot.informed.as_ref() != Some(&node) {
                if let Some(way) = &slot.way {
                    let _ = way.try_send(Incoming::Elsewhere(node.as_deref().map(Into::into)));
                }
                slot.informed = Some(node);
            }
        }
    }

    /// Gives everything back.
    async fn leave(&mut self) {
        for slot in self.slots.values() {
            if let State::HeldStream(held) = &slot.state {
                let _ = held.stop.send(true);
            }
        }
        for slot in self.slots.values_mut() {
            if let State::HeldStream(held) = std::mem::replace(&mut slot.state, State::Between) {
                let _ = held.task.await;
                held.lease.release(&self.jetstream.leases).await;
            }
        }
        if let Some((lease, stop, task)) = self.relaying.take() {
            let _ = stop.send(true);
            let _ = task.await;
            lease.release(&self.jetstream.leases).await;
        }
        let _ = self.jetstream.leases.delete(format!("{WORKER}{}", self.node)).await;
    }
}
