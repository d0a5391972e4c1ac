//! A connection that comes back by itself, and who listens to what over it.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::link::{self, Link, Message, Options, Told, Travel};
use super::{Letter, Post, Quiet};
use crate::error::{Error, Result};

/// Messages on their way to the thread at most; what is said beyond that is dropped and counted.
const QUEUE: usize = 512;
/// Pauses between connections, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A connection that held this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// A thread with a connection to the broker, for messages of which none is worth keeping: what cannot be sent now is dropped
/// and counted, and what nobody takes in time is dropped too.
///
/// Subscriptions are asked for again after each reconnection, so that what the broker keeps comes again.
#[derive(Debug, Clone)]
pub struct Exchange {
    orders: UnboundedSender<Order>,
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
enum Order {
    Hear { filter: String, listener: Listener },
    Forget(String),
    Say { topic: String, payload: Vec<u8>, travel: Travel },
    Stop,
}

#[derive(Debug)]
struct Listener {
    way: Sender<Post>,
    /// Bytes of a message at most.
    largest: usize,
}

// what is dropped is counted here: callers may ignore what these return
#[allow(clippy::must_use_candidate)]
impl Exchange {
    /// Starts the thread `name`, which connects in the background, for ever. `purpose` is for people.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start(name: &str, purpose: &'static str, options: Options) -> Result<Self> {
        let (orders, taken) = unbounded_channel();
        let shared = Arc::new(Shared::default());
        let (done, ended) = bounded(1);
        let runtime = link::runtime()?;
        let mut post_office = PostOffice {
            options,
            orders: taken,
            shared: Arc::clone(&shared),
            listeners: BTreeMap::new(),
            asked: VecDeque::new(),
            sent: BTreeMap::new(),
            quiet: Quiet::default(),
            purpose,
        };
        let work = move || {
            runtime.block_on(post_office.run());
            // a name lookup that hangs must not hold up the stop
            runtime.shutdown_background();
            drop(done);
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|e| Error::internal(format!("cannot start the thread {name}: {e}")))?;
        Ok(Self { orders, shared, ended })
    }

    /// Brings messages of at most `largest` bytes on topics that `filter` fits to `way`, until it is forgotten; several ways
    /// may ask for the same. A full channel loses them.
    pub fn hear(&self, filter: impl Into<String>, largest: usize, way: Sender<Post>) {
        let listener = Listener { way, largest };
        let _ = self.orders.send(Order::Hear { filter: filter.into(), listener });
    }

    /// Ends a subscription, for all that asked for it.
    pub fn forget(&self, filter: impl Into<String>) {
        let _ = self.orders.send(Order::Forget(filter.into()));
    }

    /// Says what only this moment needs: QoS 0. False where it is dropped.
    pub fn murmur(&self, topic: String, payload: Vec<u8>) -> bool {
        self.say(topic, payload, Travel::Fleeting)
    }

    /// Says what must arrive once: QoS 1, not kept. False where it is dropped.
    pub fn tell(&self, topic: String, payload: Vec<u8>) -> bool {
        self.say(topic, payload, Travel::Event)
    }

    /// Says what the broker keeps: QoS 1, retained. False where it is dropped.
    pub fn keep(&self, topic: String, payload: Vec<u8>) -> bool {
        self.say(topic, payload, Travel::State)
    }

    fn say(&self, topic: String, payload: Vec<u8>, travel: Travel) -> bool {
        let shared = &self.shared;
        let room = shared.up.load(Ordering::Acquire) && shared.queued.load(Ordering::Acquire) < QUEUE;
        let sent = room && {
            shared.queued.fetch_add(1, Ordering::AcqRel);
            self.orders.send(Order::Say { topic, payload, travel }).is_ok()
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

    /// Messages that came and that nobody took in time.
    #[must_use]
    pub fn untaken(&self) -> u64 {
        self.shared.untaken.load(Ordering::Relaxed)
    }

    /// Sends what was said before, takes leave, and ends the thread; waits for that up to `limit`.
    pub fn stop(&self, limit: Duration) {
        let _ = self.orders.send(Order::Stop);
        let _ = self.ended.recv_timeout(limit);
    }
}

enum End {
    Lost(String),
    Stopped,
}

/// What the thread owns.
struct PostOffice {
    options: Options,
    orders: UnboundedReceiver<Order>,
    shared: Arc<Shared>,
    /// By filter, in the order in which they came.
    listeners: BTreeMap<String, Vec<Listener>>,
    /// Filters of subscriptions in the order in which they were asked for, and by packet id.
    asked: VecDeque<String>,
    sent: BTreeMap<u16, String>,
    quiet: Quiet,
    purpose: &'static str,
}

impl PostOffice {
    async fn run(&mut self) {
        let mut pause = PAUSES.0;
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
                self.tell_all(&Post::Down(reason.as_str().into()));
            }
            self.quiet.say(true, format!("{}: the broker is away ({reason})", self.purpose));
            if started.elapsed() >= GOOD_CONNECTION {
                pause = PAUSES.0;
            }
            if self.wait(pause).await {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Takes orders while there is no connection; true when it is to stop.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None | Some(Order::Stop) => return true,
                    Some(order) => drop(self.carry_out(order, None)),
                },
                () = sleep(until.saturating_duration_since(Instant::now())) => {
                    self.quiet.catch_up(Instant::now());
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
                    Some(Ok(Told::Left)) => return End::Stopped,
                    Some(Err(_)) if leaving => return End::Stopped,
                    Some(Err(reason) | Ok(Told::Goodbye(reason))) => return End::Lost(reason),
                    Some(Ok(Told::Connected { .. })) => {
                        up = true;
                        self.quiet.say(false, format!("{}: connected to the broker", self.purpose));
                        (self.asked, self.sent) = (VecDeque::new(), BTreeMap::new());
                        let filters: Vec<String> = self.listeners.keys().cloned().collect();
                        if !filters.into_iter().all(|filter| self.subscribe(filter, &link)) {
                            return End::Lost("no room for a subscription".into());
                        }
                        self.shared.up.store(true, Ordering::Release);
                        self.tell_all(&Post::Up);
                    }
                    Some(Ok(Told::Message(message))) => self.deliver(message),
                    Some(Ok(Told::Asked(id))) => {
                        if let Some(filter) = self.asked.pop_front() {
                            self.sent.insert(id, filter);
                        }
                    }
                    Some(Ok(Told::Subscribed { id, refused })) => self.subscribed(id, refused),
                    Some(Ok(_)) => {}
                },
                order = self.orders.recv(), if !leaving => match order {
                    None | Some(Order::Stop) => {
                        leaving = up && link.client.disconnect();
                        if !leaving {
                            return End::Stopped;
                        }
                    }
                    Some(order) => if let Err(reason) = self.carry_out(order, up.then_some(&link)) {
                        return End::Lost(reason);
                    },
                },
                () = sleep(Duration::from_secs(1)) => { self.quiet.catch_up(Instant::now()); }
            }
        }
    }

    fn carry_out(&mut self, order: Order, link: Option<&Link>) -> Result<(), String> {
        match order {
            Order::Hear { filter, listener } => {
                // who comes when the broker is there already learns it as well, but once
                let known = self.ways().any(|known| known.way.same_channel(&listener.way));
                if link.is_some() && !known {
                    let _ = listener.way.try_send(Post::Up);
                }
                let asked = link.is_none_or(|link| self.subscribe(filter.clone(), link));
                let same = self.listeners.entry(filter).or_default();
                same.retain(|known| !known.way.same_channel(&listener.way));
                same.push(listener);
                if !asked {
                    return Err("no room for a subscription".into());
                }
            }
            Order::Forget(filter) => {
                let known = self.listeners.remove(&filter).is_some();
                if known && link.is_some_and(|link| !link.client.unsubscribe(&filter)) {
                    return Err("no room for the end of a subscription".into());
                }
            }
            Order::Say { topic, payload, travel } => {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                if !link.is_some_and(|link| link.client.publish(travel, &topic, payload)) {
                    self.shared.unsent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Order::Stop => {}
        }
        Ok(())
    }

    fn ways(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.values().flatten()
    }

    fn subscribe(&mut self, filter: String, link: &Link) -> bool {
        let asked = link.client.subscribe(&filter);
        if asked {
            self.asked.push_back(filter);
        }
        asked
    }

    /// A subscription that is refused brings nothing: those who wait for it are told.
    fn subscribed(&mut self, id: u16, refused: Option<String>) {
        let Some((filter, reason)) = self.sent.remove(&id).zip(refused) else { return };
        tracing::error!(
            "{}: the broker refuses the subscription to {filter} ({reason}); allow reading it in its access rules",
            self.purpose
        );
        let post =
            Post::Refused(format!("the broker refuses the subscription to {filter} ({reason})").into());
        for listener in self.listeners.get(&filter).into_iter().flatten() {
            let _ = listener.way.try_send(post.clone());
        }
    }

    fn deliver(&self, message: Message) {
        let Message { topic, payload, retained } = message;
        let letter = |largest: usize| {
            let payload = if payload.len() > largest { Vec::new() } else { payload.clone() };
            Post::Letter(Letter { topic: topic.clone(), payload, retained, at: Instant::now() })
        };
        let exact = self.listeners.get(&topic);
        let wide = self.listeners.iter().filter(|(filter, _)| **filter != topic && fits(filter, &topic));
        for listener in exact.into_iter().chain(wide.map(|(_, listeners)| listeners)).flatten() {
            if listener.way.try_send(letter(listener.largest)).is_err() {
                self.shared.untaken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn tell_all(&self, post: &Post) {
        for listener in self.ways() {
            // who has no room is late anyway
            let _ = listener.way.try_send(post.clone());
        }
    }
}

/// Whether a subscription with `+` in it, shared or not, means `topic`.
fn fits(filter: &str, topic: &str) -> bool {
    let filter = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').map_or("", |(_, filter)| filter),
        None => filter,
    };
    let (mut levels, mut words) = (filter.split('/'), topic.split('/'));
    loop {
        match (levels.next(), words.next()) {
            (None, None) => return true,
            (Some(level), Some(word)) if level == "+" || level == word => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_fits_as_the_broker_sees_it() {
        for (filter, topic, fit) in [
            ("a/mic/porch/audio", "a/mic/porch/audio", true),
            ("a/mic/+/owner", "a/mic/porch/owner", true),
            ("a/mic/+/owner", "a/mic/porch/state", false),
            ("a/mic/+/owner", "a/mic/owner", false),
            ("$share/pool/a/b/mic/+/hello", "a/b/mic/porch/hello", true),
            ("$share/pool/a/b/mic/+/hello", "a/b/mic/porch/hello/more", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(filter, topic), fit, "{filter} {topic}");
        }
    }
}
