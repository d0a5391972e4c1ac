//! The thread `mqtt`: one connection after the other, each a new client, for the records that the publish thread hands
//! in.
//!
//! rumqttc is only the transport: it holds at most a window of messages, and after any error client, event loop and
//! packet ids are discarded. Unconfirmed messages are sent again in order.

mod answers;
mod entry;
mod refused;
mod request_check;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use super::home_assistant::{HomeAssistant, HomeAssistantMessage};
use super::inbound::json;
use super::outbox::Record;
use super::payload::Status;
use super::request_handler::RequestHandler;
use super::selfcheck::SelfCheck;
use super::status::{LinkState, PublisherStatus};
use crate::backoff::Backoff;
use crate::mqtt::LogRateLimiter;
use crate::mqtt::Protocol;
use crate::mqtt::link::{ConnectOptions, Delivery, Link, LinkEvent, Message, is_takeover, is_too_large};
use refused::{GOOD_CONNECTION, Refused};
use request_check::{REQUESTS, RequestCheck};

/// After this long without a receipt the connection is given up.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a packet beside its payload, at most: topic, header and properties.
const OVERHEAD: usize = 512;

/// Commands of the publish thread.
pub(super) enum SessionCommand {
    /// To be confirmed by its number, again after a reconnect.
    Durable(Record),
    /// Retained; only the latest of a topic counts, and all are sent again after a reconnect.
    State { topic: String, payload: Vec<u8> },
    /// QoS 0; nothing where there is no connection.
    Fleeting { topic: String, payload: Vec<u8> },
    /// Connect now, without the pause.
    Hurry,
    /// Publish `stopped` and disconnect, until this time.
    Stop { by: Instant },
}

/// Events of the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SessionEvent {
    /// The broker has confirmed this record.
    Acked(u64),
    /// The broker refuses this record, which is tried again later.
    Refused(u64),
    /// The broker takes no message as large as this record.
    TooLarge(u64),
    /// The connection came or went; the status says which.
    LinkChanged,
    /// The thread is done.
    Stopped,
}

/// Settings of all connections.
pub(super) struct SessionSettings {
    /// The will is added here.
    pub(super) options: ConnectOptions,
    pub(super) status_topic: String,
    /// Home Assistant discovery, or its removal.
    pub(super) home: Option<HomeAssistant>,
    pub(super) window: usize,
    pub(super) backoff: (Duration, Duration),
}

enum Slot {
    Record(Record),
    /// A retained message, by its topic.
    State(String),
    /// The request that asks for nothing.
    Test,
}

enum SessionEnd {
    Lost(String),
    Stopped,
}

pub(super) struct Session {
    settings: SessionSettings,
    commands: UnboundedReceiver<SessionCommand>,
    receipts: Sender<SessionEvent>,
    handler: RequestHandler,
    status: Arc<PublisherStatus>,
    /// Unconfirmed messages at a time, as this broker takes them.
    window: usize,
    /// Largest payload that this broker takes, bytes.
    largest: usize,
    queue: VecDeque<Record>,
    handed: VecDeque<Slot>,
    awaiting: BTreeMap<u16, (Instant, Slot)>,
    retained: BTreeMap<String, Vec<u8>>,
    /// Messages that are published once on a topic before its retained message.
    before: BTreeMap<String, Vec<u8>>,
    dirty: VecDeque<String>,
    stop_by: Option<Instant>,
    log_limiter: LogRateLimiter,
    /// The broker keeps what is retained.
    retains: bool,
    /// Refused topics.
    refused: Refused,
    check: SelfCheck,
    requests: RequestCheck,
    /// Another daemon runs under this node's name.
    duplicate_node: bool,
    /// The last connection had come about.
    was_up: bool,
    /// The topic that was under way alone when it was looked at last.
    alone: Option<String>,
}

impl Session {
    pub(super) fn new(
        mut settings: SessionSettings,
        commands: UnboundedReceiver<SessionCommand>,
        receipts: Sender<SessionEvent>,
        handler: RequestHandler,
        status: Arc<PublisherStatus>,
    ) -> Self {
        settings.options.will = Some((settings.status_topic.clone(), Status::Offline.as_str()));
        status.expect_broker(&settings.options.address);
        let window = settings.window;
        let check = SelfCheck::new(settings.status_topic.clone(), handler.topics.health());
        let test = (!handler.allowed.is_empty()).then(|| handler.topics.request("test"));
        let requests = RequestCheck::new(test, settings.options.protocol == Protocol::V5);
        let mut retained = BTreeMap::from([(settings.status_topic.clone(), Status::Online.as_str().into())]);
        if let Some((home, payload)) = settings.home.as_ref().and_then(|home| Some((home, home.payload()?))) {
            retained.insert(home.topic().to_owned(), payload);
        }
        Self {
            settings,
            commands,
            receipts,
            handler,
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
            log_limiter: LogRateLimiter::default(),
            retains: true,
            refused: Refused::default(),
            check,
            requests,
            duplicate_node: false,
            was_up: false,
            alone: None,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.settings.backoff);
        loop {
            let started = Instant::now();
            self.link(LinkState::Connecting);
            let end = self.connection().await;
            self.requeue();
            self.requests.ended(Instant::now());
            self.link(LinkState::Away);
            let SessionEnd::Lost(reason) = end else { break };
            let was_good = started.elapsed() >= GOOD_CONNECTION;
            if was_good {
                backoff.reset();
            }
            let reason = self.explain(reason, was_good);
            self.status.explain_absence(&reason);
            self.log_limiter.log(true, format!("the broker is away ({reason}); events wait in the outbox; `cpc-stream mqtt test` says why"));
            if self.wait(backoff.jittered()).await {
                break;
            }
        }
        let _ = self.receipts.send(SessionEvent::Stopped);
    }

    fn link(&self, state: LinkState) {
        self.status.set_link(state);
        let _ = self.receipts.send(SessionEvent::LinkChanged);
    }

    /// Takes commands while there is no connection; true when asked to stop.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let wake = self.log_limiter.due().map_or(until, |due| due.min(until));
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(SessionCommand::Stop { .. }) => return true,
                    Some(SessionCommand::Hurry) => return false,
                    Some(command) => { self.absorb(command); }
                },
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    self.log_limiter.flush_due(now);
                    if now >= until {
                        return false;
                    }
                }
            }
        }
    }

    async fn connection(&mut self) -> SessionEnd {
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
                    return SessionEnd::Stopped;
                }
                if !leaving && self.nothing_of_ours_is_out() {
                    let actions = self.check.check_at_stop(Instant::now());
                    self.act(actions, &link);
                    leaving = link.client.disconnect();
                }
            }
            let wake = self.next_check();
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return SessionEnd::Stopped,
                    Some(SessionCommand::Fleeting { topic, payload }) if up && self.stop_by.is_none() => {
                        if !link.client.publish(Delivery::Fleeting, &topic, payload) {
                            self.status.refused.fetch_add(1, Relaxed);
                        }
                    }
                    Some(command) => self.absorb(command),
                },
                event = link.events.recv() => match event {
                    None => return SessionEnd::Lost("the connection's task ended".into()),
                    Some(Err(_)) if leaving => return SessionEnd::Stopped,
                    Some(Err(reason)) => return SessionEnd::Lost(reason),
                    Some(Ok(LinkEvent::Left)) => return SessionEnd::Stopped,
                    Some(Ok(LinkEvent::Connected { confirms: false, .. })) => {
                        return SessionEnd::Lost("it gives no receipts (its highest QoS is 0), which events need".into());
                    }
                    Some(Ok(LinkEvent::Connected { window, largest, retains, .. })) => {
                        (up, self.was_up) = (true, true);
                        self.window = self.settings.window.min(usize::from(window)).max(1);
                        self.enter(retains);
                        self.largest = largest.map_or(usize::MAX, |bytes| bytes as usize).saturating_sub(OVERHEAD);
                        self.send_retained();
                        self.subscribe(&link);
                    }
                    Some(Ok(LinkEvent::Message(message))) => self.handle_message(&message, &link),
                    Some(Ok(reported)) => if let Some(reason) = self.note(&reported) {
                        return SessionEnd::Lost(reason);
                    },
                },
                () = sleep_until(wake.into()) => {
                    let now = Instant::now();
                    self.log_limiter.flush_due(now);
                    if up {
                        self.retry_due(&link, now);
                    }
                    if self.oldest().is_some_and(|sent| now >= sent + RECEIPT_TIMEOUT) {
                        return SessionEnd::Lost("no receipt for a message".into());
                    }
                }
            }
        }
    }

    /// After CONNACK: all retained messages are sent again, the status first.
    fn send_retained(&mut self) {
        self.link(LinkState::Connected);
        self.log_limiter.log(false, "connected to the broker".into());
        self.resend_retained();
    }

    fn resend_retained(&mut self) {
        let status = &self.settings.status_topic;
        self.dirty = std::iter::once(status.clone())
            .chain(self.retained.keys().filter(|&topic| topic != status).cloned())
            .collect();
    }

    fn handle_message(&mut self, message: &Message, link: &Link) {
        if self.requests.takes(message) {
            self.status.clear_fault(REQUESTS);
            return;
        }
        let actions = self.check.received(message, Instant::now());
        self.act(actions, link);
        match self.settings.home.as_ref().map_or(HomeAssistantMessage::Other, |home| home.handle(message)) {
            HomeAssistantMessage::Birth => self.resend_retained(),
            HomeAssistantMessage::Forget(payload) => {
                self.before.insert(message.topic.clone(), payload);
                self.dirty.push_back(message.topic.clone());
            }
            HomeAssistantMessage::TakeBack => self.retain(message.topic.clone(), Vec::new()),
            HomeAssistantMessage::Other => {
                if let Some((topic, answer)) = self.handler.take(message) {
                    self.status.requests_refused.fetch_add(1, Relaxed);
                    // a client that floods requests may repeat the lost ones
                    let _ = link.client.publish(Delivery::Fleeting, &topic, json(&answer));
                }
            }
        }
    }

    fn absorb(&mut self, command: SessionCommand) {
        match command {
            SessionCommand::Durable(record) => self.queue.push_back(record),
            SessionCommand::State { topic, payload } => self.retain(topic, payload),
            SessionCommand::Fleeting { .. } | SessionCommand::Hurry => {}
            SessionCommand::Stop { by } => {
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
                Slot::State(_) | Slot::Test => None,
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
        let due = [
            receipt,
            self.stop_by,
            self.log_limiter.due(),
            self.check.due(),
            self.requests.due(),
            self.refused.due(),
        ];
        due.into_iter().flatten().fold(far, Instant::min)
    }
}
