//! The thread `mqtt`: one connection after the other, each made anew, over what the publish thread hands in.
//!
//! rumqttc is only the wire: it holds at most a window of messages, and after any error client, event loop
//! and packet ids are thrown away. What was not confirmed goes out again in order.

mod answers;
mod entry;
mod refused;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use super::desk::Desk;
use super::home::{Home, Word};
use super::outbox::Record;
use super::payload::Status;
use super::publisher::json;
use super::selfcheck::SelfCheck;
use super::status::{Link as LinkState, PublisherStatus};
use crate::mqtt::Quiet;
use crate::mqtt::link::{Link, Message, Options, Told, Travel, is_takeover, is_too_large};
use refused::Refused;

/// A message without a receipt for this long means a broker that will not give one.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that held this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// Bytes of a packet beside its payload, at most: topic, header and properties.
const OVERHEAD: usize = 512;

/// What the publish thread hands in.
pub(super) enum ToWire {
    /// To be confirmed by its number, again after a reconnect.
    Durable(Record),
    /// Retained; only the latest of a topic counts, and all are sent again after a reconnect.
    State { topic: String, payload: Vec<u8> },
    /// QoS 0; nothing where there is no connection.
    Fleeting { topic: String, payload: Vec<u8> },
    /// Try for a connection now, whatever the pause.
    Hurry,
    /// Say `stopped` and leave, until this time.
    Stop { by: Instant },
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromWire {
    /// The broker has confirmed this record.
    Acked(u64),
    /// The broker refuses this record, which is tried again later.
    Refused(u64),
    /// The broker takes no message as large as this record.
    TooLarge(u64),
    /// The link came or went; the status has it.
    LinkChanged,
    /// The thread is done.
    Stopped,
}

/// What does not change from connection to connection.
pub(super) struct Settings {
    /// The will is added here.
    pub(super) options: Options,
    pub(super) status_topic: String,
    /// Where Home Assistant is told of us, or no longer.
    pub(super) home: Option<Home>,
    pub(super) window: usize,
    pub(super) backoff: (Duration, Duration),
}

enum Slot {
    Record(Record),
    /// What is retained, by its topic.
    State(String),
}

enum End {
    Lost(String),
    Stopped,
}

pub(super) struct Session {
    settings: Settings,
    commands: UnboundedReceiver<ToWire>,
    receipts: Sender<FromWire>,
    desk: Desk,
    status: Arc<PublisherStatus>,
    /// Unconfirmed messages at a time, as this broker takes them.
    window: usize,
    /// Largest payload that this broker takes, bytes.
    largest: usize,
    queue: VecDeque<Record>,
    handed: VecDeque<Slot>,
    awaiting: BTreeMap<u16, (Instant, Slot)>,
    retained: BTreeMap<String, Vec<u8>>,
    /// What is said once on a topic before what is retained there.
    before: BTreeMap<String, Vec<u8>>,
    dirty: VecDeque<String>,
    stop_by: Option<Instant>,
    quiet: Quiet,
    /// The broker keeps what is retained.
    retains: bool,
    /// What the broker refuses.
    refused: Refused,
    check: SelfCheck,
    /// Another daemon runs under this node's name.
    rival: bool,
    /// The last connection had come about.
    was_up: bool,
    /// The topic that was under way alone when it was looked at last.
    alone: Option<String>,
}

impl Session {
    pub(super) fn new(
        mut settings: Settings,
        commands: UnboundedReceiver<ToWire>,
        receipts: Sender<FromWire>,
        desk: Desk,
        status: Arc<PublisherStatus>,
    ) -> Self {
        settings.options.will = Some((settings.status_topic.clone(), Status::Offline.as_str()));
        let window = settings.window;
        let check = SelfCheck::new(settings.status_topic.clone(), desk.topics.health());
        let mut retained = BTreeMap::from([(settings.status_topic.clone(), Status::Online.as_str().into())]);
        if let Some((home, payload)) = settings.home.as_ref().and_then(|home| Some((home, home.payload()?))) {
            retained.insert(home.topic().to_owned(), payload);
        }
        Self {
            settings,
            commands,
            receipts,
            desk,
            status,
            window,
            largest: usize::MAX,
            queue: VecDeque::new(),
            handed: VecDeque::new(),
            awaiting: BTreeMap::new(),
            retained,
            before: BTreeMap::new(),
            dirty: VecDeque::new(),
            stop_by: None,
            quiet: Quiet::default(),
            retains: true,
            refused: Refused::default(),
            check,
            rival: false,
            was_up: false,
            alone: None,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let (shortest, longest) = self.settings.backoff;
        let mut pause = shortest;
        loop {
            let started = Instant::now();
            self.link(LinkState::Connecting);
            let end = self.connection().await;
            self.requeue();
            self.link(LinkState::Away);
            let End::Lost(reason) = end else { break };
            let was_good = started.elapsed() >= GOOD_CONNECTION;
            if was_good {
                pause = shortest;
            }
            let reason = self.explain(reason, was_good);
            self.quiet.say(true, format!("the broker is away ({reason}); events wait in the outbox"));
            if self.wait(jittered(pause)).await {
                break;
            }
            pause = (pause * 2).min(longest);
        }
        let _ = self.receipts.send(FromWire::Stopped);
    }

    fn link(&self, state: LinkState) {
        self.status.set_link(state);
        let _ = self.receipts.send(FromWire::LinkChanged);
    }

    /// Takes commands while there is no connection; true when asked to stop.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let wake = self.quiet.due().map_or(until, |due| due.min(until));
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(ToWire::Stop { .. }) => return true,
                    Some(ToWire::Hurry) => return false,
                    Some(command) => { self.absorb(command); }
                },
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    self.quiet.catch_up(now);
                    if now >= until {
                        return false;
                    }
                }
            }
        }
    }

    async fn connection(&mut self) -> End {
        let mut link = Link::start(&self.settings.options);
        let mut up = false;
        let mut leaving = false;
        (self.was_up, self.alone) = (false, None);
        loop {
            if up {
                self.hand_over(&link);
            }
            if let Some(by) = self.stop_by {
                if !up || Instant::now() >= by {
                    return End::Stopped;
                }
                if !leaving && self.nothing_of_ours_is_out() {
                    let actions = self.check.look_last(Instant::now());
                    self.act(actions, &link);
                    leaving = link.client.disconnect();
                }
            }
            let wake = self.next_check();
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return End::Stopped,
                    Some(ToWire::Fleeting { topic, payload }) if up && self.stop_by.is_none() => {
                        if !link.client.publish(Travel::Fleeting, &topic, payload) {
                            self.status.refused.fetch_add(1, Relaxed);
                        }
                    }
                    Some(command) => self.absorb(command),
                },
                event = link.events.recv() => match event {
                    None => return End::Lost("the connection's task ended".into()),
                    Some(Err(_)) if leaving => return End::Stopped,
                    Some(Err(reason)) => return End::Lost(reason),
                    Some(Ok(Told::Left)) => return End::Stopped,
                    Some(Ok(Told::Connected { confirms: false, .. })) => {
                        return End::Lost("it gives no receipts (its highest QoS is 0), which events need".into());
                    }
                    Some(Ok(Told::Connected { window, largest, retains, .. })) => {
                        (up, self.was_up) = (true, true);
                        self.window = self.settings.window.min(usize::from(window)).max(1);
                        self.enter(retains);
                        self.largest = largest.map_or(usize::MAX, |bytes| bytes as usize).saturating_sub(OVERHEAD);
                        self.greet();
                        self.subscribe(&link);
                    }
                    Some(Ok(Told::Message(message))) => self.hear(&message, &link),
                    Some(Ok(told)) => if let Some(reason) = self.note(&told) {
                        return End::Lost(reason);
                    },
                },
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    self.quiet.catch_up(now);
                    if up {
                        self.look(&link, now);
                    }
                    if self.oldest().is_some_and(|sent| now >= sent + RECEIPT_TIMEOUT) {
                        return End::Lost("no receipt for a message".into());
                    }
                }
            }
        }
    }

    /// After CONNACK: everything retained goes out again, the status first.
    fn greet(&mut self) {
        self.link(LinkState::Connected);
        self.quiet.say(false, "connected to the broker".into());
        self.say_again();
    }

    fn say_again(&mut self) {
        let status = &self.settings.status_topic;
        self.dirty = std::iter::once(status.clone())
            .chain(self.retained.keys().filter(|&topic| topic != status).cloned())
            .collect();
    }

    fn hear(&mut self, message: &Message, link: &Link) {
        let actions = self.check.heard(message, Instant::now());
        self.act(actions, link);
        match self.settings.home.as_ref().map_or(Word::Other, |home| home.hear(message)) {
            Word::Birth => self.say_again(),
            Word::Forget(payload) => {
                self.before.insert(message.topic.clone(), payload);
                self.dirty.push_back(message.topic.clone());
            }
            Word::TakeBack => self.retain(message.topic.clone(), Vec::new()),
            Word::Other => {
                if let Some((topic, answer)) = self.desk.take(message) {
                    self.status.requests_refused.fetch_add(1, Relaxed);
                    // who asks so much that there is no room may ask again
                    let _ = link.client.publish(Travel::Fleeting, &topic, json(&answer));
                }
            }
        }
    }

    fn absorb(&mut self, command: ToWire) {
        match command {
            ToWire::Durable(record) => self.queue.push_back(record),
            ToWire::State { topic, payload } => self.retain(topic, payload),
            ToWire::Fleeting { .. } | ToWire::Hurry => {}
            ToWire::Stop { by } => {
                self.stop_by = Some(by);
                self.retain(self.settings.status_topic.clone(), Status::Stopped.as_str().into());
            }
        }
    }

    fn retain(&mut self, topic: String, payload: Vec<u8>) {
        if !self.dirty.contains(&topic) {
            self.dirty.push_back(topic.clone());
        }
        self.retained.insert(topic, payload);
    }

    fn requeue(&mut self) {
        let unconfirmed = std::mem::take(&mut self.awaiting).into_values().map(|(_, slot)| slot);
        let mut records: Vec<Record> = unconfirmed
            .chain(self.handed.drain(..))
            .filter_map(|slot| match slot {
                Slot::Record(record) => Some(record),
                Slot::State(_) => None,
            })
            .chain(self.refused.take_records())
            .chain(self.queue.drain(..))
            .collect();
        records.sort_unstable_by_key(|record| record.seq);
        self.queue = records.into();
    }

    fn nothing_of_ours_is_out(&self) -> bool {
        self.dirty.is_empty()
            && self.handed.is_empty()
            && !self.awaiting.values().any(|(_, s)| matches!(s, Slot::State(_)))
    }

    fn oldest(&self) -> Option<Instant> {
        self.awaiting.values().map(|(sent, _)| *sent).min()
    }

    fn next_check(&self) -> Instant {
        let receipt = self.oldest().map(|sent| sent + RECEIPT_TIMEOUT);
        let far = Instant::now() + Duration::from_secs(3600);
        let due = [receipt, self.stop_by, self.quiet.due(), self.check.due(), self.refused.due()];
        due.into_iter().flatten().fold(far, Instant::min)
    }
}

/// Between three quarters of `pause` and all of it, so that a fleet does not knock at the same moment.
fn jittered(pause: Duration) -> Duration {
    let fraction = (RandomState::new().hash_one(0u8) >> 11) as f64 / (1u64 << 53) as f64;
    pause.mul_f64(0.75 + 0.25 * fraction)
}
