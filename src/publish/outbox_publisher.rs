//! The thread `publish` where there is a broker: first into the outbox, then onto the wire.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select};
use tokio::sync::mpsc::UnboundedSender;

use super::inbound::{Inbound, json};
use super::outbox::{MAX_PAYLOAD, Message, Outbox};
use super::outgoing::Outgoing;
use super::payload::anomaly;
use super::request::ResponseStatus;
use super::session::{SessionCommand, SessionEvent};
use super::status::PublisherStatus;
use super::topics::Topics;

/// Messages taken from the channel for one commit.
const BATCH: usize = 256;
/// Most records handed to the session at a time: it refills its window from these.
const ON_THE_WIRE: usize = 64;
/// Records that the broker refuses, at most, for which others go out.
const REFUSED: usize = 1024;
/// Confirmations are brought to the disk after this many or this long.
const FLUSH_EVERY: usize = 256;
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Interval at which records that are too old are dropped, also without other work.
const TIDY_AFTER: Duration = Duration::from_secs(60);
/// Pause after the disk has refused.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Connection attempts at the stop for unconfirmed records: one attempt may have begun while the broker was still away.
const LAST_TRIES: u32 = 2;
/// Bytes that wait in memory at most while the disk refuses.
const MEMORY_BYTES: usize = 8 << 20;

pub(super) struct OutboxPublisher {
    pub(super) outbox: Outbox,
    pub(super) topics: Topics,
    pub(super) inbox: Receiver<Inbound>,
    pub(super) stop: Receiver<Instant>,
    pub(super) wire: UnboundedSender<SessionCommand>,
    pub(super) receipts: Receiver<SessionEvent>,
    pub(super) status: Arc<PublisherStatus>,
}

struct State {
    outbox_publisher: OutboxPublisher,
    memory: VecDeque<Message>,
    /// When the first of them came.
    waiting_since: Option<Instant>,
    memory_bytes: usize,
    waiters: Vec<crossbeam_channel::Sender<()>>,
    flush_at: Option<Instant>,
    tidy_at: Instant,
    retry_at: Option<Instant>,
    wire_gone: bool,
    /// Records that the broker refuses for now.
    refused: BTreeSet<u64>,
}

impl OutboxPublisher {
    /// Runs until it is stopped; true where nothing is left in memory only.
    pub(super) fn run(self) -> bool {
        let mut running = State {
            outbox_publisher: self,
            memory: VecDeque::new(),
            waiting_since: None,
            memory_bytes: 0,
            waiters: Vec::new(),
            flush_at: None,
            tidy_at: Instant::now() + TIDY_AFTER,
            retry_at: None,
            wire_gone: false,
            refused: BTreeSet::new(),
        };
        let by = loop {
            running.work();
            if let Some(by) = running.wait() {
                break by;
            }
        };
        running.leave(by)
    }
}

impl State {
    /// Sleeps until there is something to do; the deadline where that is to stop.
    fn wait(&mut self) -> Option<Instant> {
        let wake = [self.flush_at, self.retry_at].into_iter().flatten().fold(self.tidy_at, Instant::min);
        let timer = after(wake.saturating_duration_since(Instant::now()));
        let OutboxPublisher { inbox, receipts, stop, .. } = &self.outbox_publisher;
        select! {
            recv(stop) -> by => return Some(by.unwrap_or_else(|_| Instant::now())),
            recv(receipts) -> receipt => self.receipt(&receipt.unwrap_or(SessionEvent::Stopped)),
            recv(inbox) -> first => match first {
                Ok(first) => self.take_in(first),
                Err(_) => return Some(Instant::now()),
            },
            recv(timer) -> _ => {}
        }
        None
    }

    /// All work that is due: store, confirm, hand on, report.
    fn work(&mut self) {
        for _ in 0..BATCH {
            let Ok(next) = self.outbox_publisher.inbox.try_recv() else { break };
            self.take_in(next);
        }
        while let Ok(receipt) = self.outbox_publisher.receipts.try_recv() {
            self.receipt(&receipt);
        }
        let now = Instant::now();
        if self.retry_at.is_none_or(|at| now >= at) {
            self.retry_at = None;
            if !self.memory.is_empty() || self.flush_is_due(now) {
                self.store();
            }
            self.hand_on();
        }
        let OutboxPublisher { outbox, status, .. } = &self.outbox_publisher;
        status.set_tally(outbox.tally(), outbox.corrupt_files());
        if self.memory.is_empty() {
            for waiter in self.waiters.drain(..) {
                let _ = waiter.try_send(());
            }
        }
    }

    fn flush_is_due(&self, now: Instant) -> bool {
        self.outbox_publisher.outbox.unflushed() >= FLUSH_EVERY
            || self.flush_at.is_some_and(|at| now >= at)
            || now >= self.tidy_at
    }

    fn take_in(&mut self, inbound: Inbound) {
        let topics = &self.outbox_publisher.topics;
        match inbound {
            Inbound::Flush(waiter) => self.waiters.push(waiter),
            Inbound::Out(Outgoing::Event(event)) => {
                let message = Message {
                    topic: topics.event(&event.stream),
                    payload: json(event.as_ref()),
                    stream: event.stream,
                };
                self.remember(message);
            }
            Inbound::Out(Outgoing::Anomaly { stream, on }) => {
                self.state(topics.anomaly(&stream), anomaly(on).into());
            }
            Inbound::Out(Outgoing::Availability { stream, availability }) => {
                self.state(topics.availability(&stream), json(&availability));
            }
            Inbound::Out(Outgoing::Progress { stream, progress }) => {
                self.state(topics.progress(&stream), json(&progress));
            }
            Inbound::Out(Outgoing::Day { stream, day, summary }) => {
                self.state(topics.day(&stream, day), json(summary.as_ref()));
            }
            Inbound::Out(Outgoing::Health(health)) => self.state(topics.health(), json(health.as_ref())),
            Inbound::Out(Outgoing::Setting { stream, key, value }) => {
                self.state(topics.state(&stream, key.as_str()), value.into());
            }
            Inbound::Out(Outgoing::Picture { stream, png }) => self.state(topics.picture(&stream), png),
            Inbound::Out(Outgoing::Response { command, response }) => {
                let status = &self.outbox_publisher.status;
                match response.status {
                    ResponseStatus::Ok => status.requests_done.fetch_add(1, Relaxed),
                    ResponseStatus::Error => status.requests_refused.fetch_add(1, Relaxed),
                };
                let topic = topics.response(command.as_str());
                self.send(SessionCommand::Fleeting { topic, payload: json(&response) });
            }
            Inbound::Out(Outgoing::Score { stream, score }) => {
                if self.outbox_publisher.status.connected() {
                    let topic = topics.score(&stream);
                    self.send(SessionCommand::Fleeting { topic, payload: json(&score) });
                }
            }
            Inbound::Out(Outgoing::Embedding { stream, embedding }) => {
                let status = &self.outbox_publisher.status;
                match embedding.to_bytes() {
                    _ if !status.connected() => {}
                    Ok(payload) => {
                        let topic = topics.embedding(&stream);
                        self.send(SessionCommand::Fleeting { topic, payload });
                    }
                    Err(_) => drop(status.refused.fetch_add(1, Relaxed)),
                }
            }
        }
    }

    fn remember(&mut self, message: Message) {
        let status = &self.outbox_publisher.status;
        if message.payload.len() > MAX_PAYLOAD {
            status.refused.fetch_add(1, Relaxed);
            return;
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        self.memory_bytes += message.payload.len();
        self.memory.push_back(message);
        while self.memory_bytes > MEMORY_BYTES
            && let Some(oldest) = self.memory.pop_front()
        {
            self.memory_bytes -= oldest.payload.len();
            status.refused.fetch_add(1, Relaxed);
        }
    }

    fn state(&mut self, topic: String, payload: Vec<u8>) {
        self.send(SessionCommand::State { topic, payload });
    }

    fn send(&mut self, command: SessionCommand) {
        self.wire_gone |= self.outbox_publisher.wire.send(command).is_err();
    }

    fn receipt(&mut self, receipt: &SessionEvent) {
        match receipt {
            SessionEvent::Refused(seq) => {
                self.refused.insert(*seq);
            }
            SessionEvent::Acked(seq) => {
                self.refused.remove(seq);
                self.outbox_publisher.outbox.ack(*seq);
                self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
            }
            SessionEvent::TooLarge(seq) => {
                self.refused.remove(seq);
                tracing::error!(
                    "the broker takes no message as large as event {seq} of the outbox; it is given up"
                );
                self.outbox_publisher.outbox.give_up(*seq);
                self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
            }
            SessionEvent::LinkChanged => {}
            SessionEvent::Stopped => self.wire_gone = true,
        }
    }

    fn store(&mut self) {
        let result = self.outbox_publisher.outbox.append(self.memory.make_contiguous());
        if self.disk(result).is_some() {
            self.memory.clear();
            if let Some(since) = self.waiting_since.take() {
                self.outbox_publisher.status.committed(since.elapsed());
            }
            self.memory_bytes = 0;
            self.flush_at = None;
            self.tidy_at = Instant::now() + TIDY_AFTER;
        }
    }

    fn hand_on(&mut self) {
        let refused = self.refused.len().min(REFUSED);
        let room = (ON_THE_WIRE + refused).saturating_sub(self.outbox_publisher.outbox.out());
        if room == 0 || self.retry_at.is_some() || self.outbox_publisher.outbox.waiting() == 0 {
            return;
        }
        let result = self.outbox_publisher.outbox.take(room);
        for record in self.disk(result).unwrap_or_default() {
            self.send(SessionCommand::Durable(record));
        }
    }

    /// Updates the flag, the log (once a change) and the time of the next attempt.
    fn disk<T>(&mut self, result: crate::error::Result<T>) -> Option<T> {
        let status = &self.outbox_publisher.status;
        match result {
            Ok(value) => {
                if status.degraded.swap(false, Relaxed) {
                    tracing::info!("the outbox can be written again");
                }
                Some(value)
            }
            Err(error) => {
                if !status.degraded.swap(true, Relaxed) {
                    tracing::error!(fix = error.fix(), "{error}; new events wait in memory");
                }
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                None
            }
        }
    }

    /// Stores the queued messages, waits until `by` for confirmations, and disconnects. A broker that is away is tried
    /// again at once; unconfirmed records wait in the outbox for the next start.
    fn leave(mut self, by: Instant) -> bool {
        while let Ok(next) = self.outbox_publisher.inbox.try_recv() {
            self.take_in(next);
        }
        self.retry_at = None;
        self.work();
        let (mut tries, mut losses) = (0, 0);
        while self.outbox_publisher.outbox.tally().pending() > 0 && !self.wire_gone {
            let lost = self.outbox_publisher.status.losses();
            if tries == 0 || lost != losses {
                if tries == LAST_TRIES {
                    break;
                }
                (tries, losses) = (tries + 1, lost);
                self.send(SessionCommand::Hurry);
            }
            match self.outbox_publisher.receipts.recv_deadline(by) {
                Ok(receipt) => self.receipt(&receipt),
                Err(_) => break,
            }
            self.work();
        }
        let goodbye = by.max(Instant::now() + Duration::from_millis(500));
        self.send(SessionCommand::Stop { by: goodbye });
        while !self.wire_gone {
            match self.outbox_publisher.receipts.recv_deadline(goodbye + Duration::from_millis(200)) {
                Ok(receipt) => self.receipt(&receipt),
                Err(_) => break,
            }
        }
        self.store();
        let OutboxPublisher { outbox, status, .. } = &self.outbox_publisher;
        status.set_tally(outbox.tally(), outbox.corrupt_files());
        status.refused.fetch_add(self.memory.len() as u64, Relaxed);
        self.memory.is_empty()
    }
}
