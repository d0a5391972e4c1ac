//! The thread `pool`: what the broker tells goes into the books, and what follows from them is done.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde::Deserialize;
use serde_json::json;

use super::hands::Hand;
use super::ledger::{Deed, Ledger};
use super::parcel;
use crate::capture::{Air, MicTopic};
use crate::config::PoolConfig;
use crate::detect::StreamState;
use crate::error::{Error, Result};
use crate::mqtt::{Exchange, Letter, Post};
use crate::publish::check_id;
use crate::runtime::CalibrationStore;
use crate::runtime::keeper::Known;
use crate::runtime::progress::Progress;
use crate::runtime::shard::Hands;

/// How often the worker says that it is there.
const BEAT: Duration = Duration::from_millis(400);
/// How often it looks at its books.
const LOOK: Duration = Duration::from_millis(100);
/// Who did nothing for so long was stopped, and knows nothing of what the others did meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the broker may take to tell what is known of a microphone.
const ASK: Duration = Duration::from_secs(1);
/// An analysis that stands still for so long hears nothing: whoever waits for it is better served by another worker.
const STILL: Duration = Duration::from_secs(1);
/// Messages that wait for the thread at most.
const QUEUE: usize = 4096;
/// Bytes of documents about owners, workers and microphones at most.
const SMALL: usize = 1024;
/// How long leave-taking may last.
const FAREWELL: Duration = Duration::from_millis(800);

/// A microphone that is shared, on this side.
pub(in crate::runtime) struct Shared {
    /// The stream that it becomes here.
    pub(in crate::runtime) stream: String,
    /// The way to its source.
    pub(in crate::runtime) way: Sender<Post>,
}

/// A started worker.
pub(in crate::runtime) struct Worker {
    done: Receiver<()>,
}

/// What a worker is started with.
pub(in crate::runtime) struct Outfit {
    pub(in crate::runtime) node: String,
    pub(in crate::runtime) pool: PoolConfig,
    pub(in crate::runtime) air: Air,
    pub(in crate::runtime) exchange: Exchange,
    /// By the ids of the microphones.
    pub(in crate::runtime) mics: BTreeMap<String, Shared>,
    /// What is to be handed on of streams. It closes when the last of it is in.
    pub(in crate::runtime) states: Receiver<Known>,
    pub(in crate::runtime) hands: Hands,
    pub(in crate::runtime) store: CalibrationStore,
    pub(in crate::runtime) progress: Vec<Arc<Progress>>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(in crate::runtime) fn start(outfit: Outfit) -> Result<Self> {
        let (ended, done) = bounded(1);
        let (way, posts) = bounded(QUEUE);
        let Outfit { node, pool, air, exchange, mics, states, hands, store, progress } = outfit;
        let topics = &air.topics;
        for filter in [topics.owner("+"), topics.worker("+"), topics.hellos(&pool.name)] {
            exchange.hear(filter, SMALL, way.clone());
        }
        let ledger = Ledger::new(&node, pool.max_streams, mics.keys().cloned());
        let mics = mics.into_iter().map(|(id, shared)| (id, Mic::new(shared))).collect();
        let moved = (rounds(&progress), Instant::now());
        let mut desk = Desk {
            node,
            pool,
            air,
            exchange,
            ledger,
            mics,
            way,
            hands,
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

fn rounds(progress: &[Arc<Progress>]) -> Vec<u64> {
    progress.iter().map(|progress| progress.rounds.load(Ordering::Relaxed)).collect()
}

struct Mic {
    shared: Shared,
    /// Since when the broker is asked what is known.
    asked: Option<Instant>,
    /// What was handed on last, for a broker that forgets.
    parcel: Option<Vec<u8>>,
}

impl Mic {
    fn new(shared: Shared) -> Self {
        Self { shared, asked: None, parcel: None }
    }
}

struct Desk {
    node: String,
    pool: PoolConfig,
    air: Air,
    exchange: Exchange,
    ledger: Ledger,
    mics: BTreeMap<String, Mic>,
    way: Sender<Post>,
    hands: Hands,
    store: CalibrationStore,
    progress: Vec<Arc<Progress>>,
    /// Rounds of the threads of the analysis, and when all of them had changed last.
    moved: (Vec<u64>, Instant),
    /// Somebody writes nonsense on the topics of the pool, and it was said.
    warned: bool,
}

#[derive(Deserialize)]
struct Owner {
    node: Option<String>,
}

impl Desk {
    fn run(&mut self, posts: &Receiver<Post>, states: &Receiver<Known>) {
        let (mut beaten, mut looked, mut woken) = (None::<Instant>, Instant::now(), Instant::now());
        loop {
            select! {
                recv(posts) -> post => if let Ok(post) = post { self.take(post); },
                recv(states) -> known => match known {
                    Ok((stream, state)) => self.hand_on(&stream, &state),
                    Err(_) => return self.farewell(),
                },
                default(LOOK) => {}
            }
            let now = Instant::now();
            if now >= woken + PAUSE {
                self.ledger.woke(now);
            }
            woken = now;
            if beaten.is_none_or(|last| now >= last + BEAT) && self.beat(now) {
                beaten = Some(now);
            }
            if now >= looked + LOOK {
                looked = now;
                for deed in self.ledger.tick(now) {
                    self.carry_out(deed, now);
                }
                self.stop_asking(now);
            }
        }
    }

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Says that this worker is there, while its analysis is.
    fn beat(&mut self, now: Instant) -> bool {
        let rounds = rounds(&self.progress);
        if rounds.iter().zip(&self.moved.0).all(|(rounds, before)| rounds != before) {
            self.moved = (rounds, now);
        }
        if now >= self.moved.1 + STILL {
            return false;
        }
        let streams: Vec<&str> = self.ledger.held().collect();
        let document = json!({ "streams": streams, "max_streams": self.pool.max_streams });
        self.exchange().keep(self.air.topics.worker(&self.node), document.to_string().into_bytes())
    }

    fn take(&mut self, post: Post) {
        let now = Instant::now();
        match post {
            Post::Up => self.ledger.up(now),
            Post::Down(_) => self.ledger.down(),
            Post::Rest(_) | Post::Refused(_) | Post::Here => {}
            Post::Letter(letter) => self.read(&letter, now),
        }
    }

    fn read(&mut self, letter: &Letter, now: Instant) {
        let topics = self.air.topics.clone();
        let Some(about) = topics.read(&letter.topic) else { return };
        let deed = match about {
            MicTopic::Hello(id) => self.ledger.hello(id, now),
            MicTopic::Worker(node) => {
                match letter.payload.is_empty() {
                    true => self.ledger.gone(node),
                    false => self.ledger.beat(node, now),
                }
                None
            }
            MicTopic::Owner(id) => match self.owner(&letter.payload) {
                Some(node) => self.ledger.owner(id, node.as_deref(), now),
                None => None,
            },
            MicTopic::State(id) => {
                if self.mics.get(id).is_some_and(|mic| mic.asked.is_some()) {
                    self.begin(id, Some(&letter.payload));
                }
                None
            }
        };
        if let Some(deed) = deed {
            self.carry_out(deed, now);
        }
    }

    /// The node in a document of an owner; none where it is no such document.
    fn owner(&mut self, payload: &[u8]) -> Option<Option<String>> {
        if payload.is_empty() {
            return Some(None);
        }
        let owner = serde_json::from_slice::<Owner>(payload).ok();
        let owner =
            owner.filter(|owner| owner.node.as_ref().is_none_or(|node| check_id("node", node).is_ok()));
        if owner.is_none() && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "somebody writes what cannot be read on the topics of the pool; check the access rules"
            );
        }
        owner.map(|owner| owner.node)
    }

    fn carry_out(&mut self, deed: Deed, now: Instant) {
        match deed {
            Deed::Claim(id) => drop(self.claim(&id, Some(&self.node))),
            Deed::Take(id) => {
                if let Some(mic) = self.mics.get_mut(&id) {
                    mic.asked = Some(now);
                    self.exchange.hear(self.air.topics.state(&id), parcel::LARGEST, self.way.clone());
                }
            }
            Deed::Leave(id) => {
                let topics = self.air.topics.clone();
                self.exchange().forget(topics.audio(&id));
                if let Some(mic) = self.mics.get_mut(&id) {
                    (mic.asked, mic.parcel) = (None, None);
                    let stream = mic.shared.stream.clone();
                    tracing::info!("{stream}: another worker has taken it");
                    self.hand(Hand::Leave { stream });
                    self.exchange().forget(topics.state(&id));
                }
            }
            Deed::Tell(id, node) => {
                if let Some(mic) = self.mics.get(&id) {
                    let _ = mic.shared.way.send_timeout(Post::Rest(node.map(Into::into)), LOOK);
                }
            }
            Deed::Again(id) => {
                self.claim(&id, Some(&self.node));
                if let Some(parcel) = self.mics.get(&id).and_then(|mic| mic.parcel.clone()) {
                    self.exchange().keep(self.air.topics.state(&id), parcel);
                }
            }
        }
    }

    /// Tells the thread that hears the stream.
    fn hand(&self, hand: Hand) {
        let (Hand::Take { stream, .. } | Hand::Leave { stream }) = &hand;
        if let Some(way) = self.hands.get(stream) {
            let _ = way.send(hand);
        }
    }

    fn claim(&self, id: &str, node: Option<&str>) -> bool {
        self.exchange().keep(self.air.topics.owner(id), json!({ "node": node }).to_string().into_bytes())
    }

    /// Begins without the broker's knowledge where it does not answer.
    fn stop_asking(&mut self, now: Instant) {
        let late = |mic: &Mic| mic.asked.is_some_and(|asked| now >= asked + ASK);
        let late: Vec<String> =
            self.mics.iter().filter(|(_, mic)| late(mic)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.begin(&id, None);
        }
    }

    /// Hears a microphone from here on.
    fn begin(&mut self, id: &str, parcel: Option<&[u8]>) {
        self.exchange().forget(self.air.topics.state(id));
        let Some(mic) = self.mics.get_mut(id) else { return };
        mic.asked = None;
        let stream = mic.shared.stream.clone();
        let brought = parcel.filter(|parcel| !parcel.is_empty()).and_then(|parcel| {
            match parcel::open(parcel, SystemTime::now()) {
                Ok(state) => {
                    mic.parcel = Some(parcel.to_vec());
                    Some(state)
                }
                Err(why) => {
                    tracing::warn!("{stream}: what the broker keeps of it is refused: {why}");
                    None
                }
            }
        });
        let how = if brought.is_some() { "with what is known of it" } else { "nothing came with it" };
        tracing::info!("{stream}: heard here from now on, {how}");
        let known = brought.or_else(|| self.store.load(&stream)).map(Box::new);
        let way = mic.shared.way.clone();
        self.hand(Hand::Take { stream, known });
        let _ = way.send_timeout(Post::Up, LOOK);
        self.air.hear(id, &way);
    }

    /// Hands on what is known of a stream, for whoever hears it next.
    fn hand_on(&mut self, stream: &str, state: &StreamState) {
        let found = self.mics.iter_mut().find(|(_, mic)| mic.shared.stream == stream);
        let Some((id, mic)) = found.filter(|(id, mic)| self.ledger.holds(id) && mic.asked.is_none()) else {
            return;
        };
        let Some(parcel) = parcel::pack(state, SystemTime::now()) else {
            tracing::warn!("{stream}: what is known of it is too large to be handed on");
            return;
        };
        mic.parcel = Some(parcel.clone());
        let topic = self.air.topics.state(id);
        self.exchange().keep(topic, parcel);
    }

    /// Gives everything back.
    fn farewell(&mut self) {
        let held: Vec<String> = self.ledger.held().map(str::to_owned).collect();
        for id in held {
            self.claim(&id, None);
        }
        self.exchange().keep(self.air.topics.worker(&self.node), Vec::new());
        self.exchange().stop(FAREWELL);
    }
}
