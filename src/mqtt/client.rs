//! An MQTT client that reconnects by itself, and its subscribers.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::link::{self, ConnectOptions, Delivery, Link, LinkEvent, Message};
use super::{Incoming, IncomingMessage, LogRateLimiter};
use crate::backoff::Backoff;
use crate::error::{Error, Result};

/// Most messages in the queue to the thread; others are dropped and counted.
const QUEUE: usize = 512;
/// Pauses between connections, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A connection that held this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// A thread with a connection to the broker, for messages that need no storage: a message that cannot be sent now is
/// dropped and counted, and so is one that its subscriber does not take in time.
///
/// Subscriptions are renewed after each reconnection.
#[derive(Debug, Clone)]
pub struct MqttClient {
    orders: UnboundedSender<ClientCommand>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    up: AtomicBool,
    queued: AtomicUsize,
    unsent: AtomicU64,
    untaken: AtomicU64,
}

#[derive(Debug)]
enum ClientCommand {
    Hear { topic: String, listener: Listener },
    Say { topic: String, payload: Vec<u8> },
    Stop,
}

#[derive(Debug)]
struct Listener {
    way: Sender<Incoming>,
    /// Bytes of a message at most.
    largest: usize,
}

// dropped messages are counted here: callers may ignore the return values
#[allow(clippy::must_use_candidate)]
impl MqttClient {
    /// Starts the thread `name`, which connects in the background, for ever. `purpose` appears in log lines.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start(name: &str, purpose: &'static str, options: ConnectOptions) -> Result<Self> {
        let (orders, taken) = unbounded_channel();
        let shared = Arc::new(Shared::default());
        let (done, ended) = bounded(1);
        let runtime = link::runtime()?;
        let mut post_office = ClientTask {
            options,
            orders: taken,
            shared: Arc::clone(&shared),
            listeners: BTreeMap::new(),
            asked: VecDeque::new(),
            sent: BTreeMap::new(),
            log_limiter: LogRateLimiter::default(),
            purpose,
        };
        let work = move || {
            runtime.block_on(post_office.run());
            // a name lookup that hangs must not hold up the stop
            runtime.shutdown_background();
            drop(done);
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|e| Error::no_thread(name, &e))?;
        Ok(Self { orders, shared, ended })
    }

    /// Subscribes `way` to messages of at most `largest` bytes on `topic`; several channels may subscribe to the same topic. A
    /// full channel loses messages.
    pub fn subscribe(&self, topic: impl Into<String>, largest: usize, way: Sender<Incoming>) {
        let listener = Listener { way, largest };
        let _ = self.orders.send(ClientCommand::Hear { topic: topic.into(), listener });
    }

    /// Publishes with QoS 0. False where the message is dropped.
    pub fn publish_qos0(&self, topic: String, payload: Vec<u8>) -> bool {
        let shared = &self.shared;
        let room = shared.up.load(Ordering::Acquire) && shared.queued.load(Ordering::Acquire) < QUEUE;
        let sent = room && {
            shared.queued.fetch_add(1, Ordering::AcqRel);
            self.orders.send(ClientCommand::Say { topic, payload }).is_ok()
        };
        if !sent {
            shared.unsent.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Whether the broker is there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Messages that could not be sent.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.shared.unsent.load(Ordering::Relaxed)
    }

    /// Messages that arrived and were not taken in time.
    #[must_use]
    pub fn untaken(&self) -> u64 {
        self.shared.untaken.load(Ordering::Relaxed)
    }

    /// Sends the queued messages, disconnects, and ends the thread; waits for that up to `limit`.
    pub fn stop(&self, limit: Duration) {
        let _ = self.orders.send(ClientCommand::Stop);
        let _ = self.ended.recv_timeout(limit);
    }
}

enum End {
    Lost(String),
    Stopped,
}

/// State of the thread.
struct ClientTask {
    options: ConnectOptions,
    orders: UnboundedReceiver<ClientCommand>,
    shared: Arc<Shared>,
    /// By topic, in the order in which they came.
    listeners: BTreeMap<String, Vec<Listener>>,
    /// Topics of subscriptions in the order in which they were asked for, and by packet id.
    asked: VecDeque<String>,
    sent: BTreeMap<u16, String>,
    log_limiter: LogRateLimiter,
    purpose: &'static str,
}

impl ClientTask {
    async fn run(&mut self) {
        let mut backoff = Backoff::new(PAUSES);
        loop {
            let started = Instant::now();
            let end = self.connection().await;
            let was_up = self.shared.up.swap(false, Ordering::AcqRel);
            let End::Lost(mut reason) = end else { return };
            if link::is_takeover(&reason) {
                let id = &self.options.client_id;
                reason = format!(
                    "another client with the id {id} takes this one's place: give each box a node of its own; {reason}"
                );
            }
            if was_up {
                self.broadcast(&Incoming::Disconnected(reason.as_str().into()));
            }
            self.log_limiter.log(true, format!("{}: the broker is away ({reason})", self.purpose));
            if started.elapsed() >= GOOD_CONNECTION {
                backoff.reset();
            }
            if self.wait(backoff.jittered()).await {
                return;
            }
        }
    }

    /// Executes commands while there is no connection; true when it is to stop.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None | Some(ClientCommand::Stop) => return true,
                    Some(order) => drop(self.execute(order, None)),
                },
                () = sleep(until.saturating_duration_since(Instant::now())) => {
                    self.log_limiter.flush_due(Instant::now());
                    return false;
                }
            }
        }
    }

    async fn connection(&mut self) -> End {
        let mut link = Link::start(&self.options);
        let (mut up, mut leaving) = (false, false);
        loop {
            tokio::select! {
                event = link.events.recv() => match event {
                    None => return End::Lost("the connection's task ended".into()),
                    Some(Ok(LinkEvent::Left)) => return End::Stopped,
                    Some(Err(_)) if leaving => return End::Stopped,
                    Some(Err(reason) | Ok(LinkEvent::Disconnect(reason))) => return End::Lost(reason),
                    Some(Ok(LinkEvent::Connected { .. })) => {
                        up = true;
                        self.log_limiter.log(false, format!("{}: connected to the broker", self.purpose));
                        (self.asked, self.sent) = (VecDeque::new(), BTreeMap::new());
                        let topics: Vec<String> = self.listeners.keys().cloned().collect();
                        if !topics.into_iter().all(|topic| self.subscribe(topic, &link)) {
                            return End::Lost("no room for a subscription".into());
                        }
                        self.shared.up.store(true, Ordering::Release);
                        self.broadcast(&Incoming::Connected);
                    }
                    Some(Ok(LinkEvent::Message(message))) => self.deliver(message),
                    Some(Ok(LinkEvent::Asked(id))) => {
                        if let Some(topic) = self.asked.pop_front() {
                            self.sent.insert(id, topic);
                        }
                    }
                    Some(Ok(LinkEvent::Subscribed { id, refused })) => self.subscribed(id, refused),
                    Some(Ok(_)) => {}
                },
                order = self.orders.recv(), if !leaving => match order {
                    None | Some(ClientCommand::Stop) => {
                        leaving = up && link.client.disconnect();
                        if !leaving {
                            return End::Stopped;
                        }
                    }
                    Some(order) => if let Err(reason) = self.execute(order, up.then_some(&link)) {
                        return End::Lost(reason);
                    },
                },
                () = sleep(Duration::from_secs(1)) => { self.log_limiter.flush_due(Instant::now()); }
            }
        }
    }

    fn execute(&mut self, order: ClientCommand, link: Option<&Link>) -> Result<(), String> {
        match order {
            ClientCommand::Hear { topic, listener } => {
                // a subscriber that arrives while connected gets `Connected`, once
                let known = self.receivers().any(|known| known.way.same_channel(&listener.way));
                if link.is_some() && !known {
                    let _ = listener.way.try_send(Incoming::Connected);
                }
                let asked = link.is_none_or(|link| self.subscribe(topic.clone(), link));
                let same = self.listeners.entry(topic).or_default();
                same.retain(|known| !known.way.same_channel(&listener.way));
                same.push(listener);
                if !asked {
                    return Err("no room for a subscription".into());
                }
            }
            ClientCommand::Say { topic, payload } => {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                if !link.is_some_and(|link| link.client.publish(Delivery::Fleeting, &topic, payload)) {
                    self.shared.unsent.fetch_add(1, Ordering::Relaxed);
                }
            }
            ClientCommand::Stop => {}
        }
        Ok(())
    }

    fn receivers(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.values().flatten()
    }

    fn subscribe(&mut self, topic: String, link: &Link) -> bool {
        let asked = link.client.subscribe(&topic);
        if asked {
            self.asked.push_back(topic);
        }
        asked
    }

    /// Reports a refused subscription to its subscribers.
    fn subscribed(&mut self, id: u16, refused: Option<String>) {
        let Some((topic, reason)) = self.sent.remove(&id).zip(refused) else { return };
        tracing::error!(
            "{}: the broker refuses the subscription to {topic} ({reason}); allow reading it in its access rules",
            self.purpose
        );
        let post =
            Incoming::Refused(format!("the broker refuses the subscription to {topic} ({reason})").into());
        for listener in self.listeners.get(&topic).into_iter().flatten() {
            let _ = listener.way.try_send(post.clone());
        }
    }

    fn deliver(&self, message: Message) {
        let Message { topic, payload, retained } = message;
        let letter = |largest: usize| {
            let payload = if payload.len() > largest { Vec::new() } else { payload.clone() };
            Incoming::Message(IncomingMessage { topic: topic.clone(), payload, retained, at: Instant::now() })
        };
        for listener in self.listeners.get(&topic).into_iter().flatten() {
            if listener.way.try_send(letter(listener.largest)).is_err() {
                self.shared.untaken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn broadcast(&self, post: &Incoming) {
        for listener in self.receivers() {
            // a subscriber with a full channel is late anyway
            let _ = listener.way.try_send(post.clone());
        }
    }
}
