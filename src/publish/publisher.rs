//! The interface of publishing: a channel in, counters out.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::config::PublishConfig;
use super::home_assistant::DiscoveryConfig;
use super::inbound::Inbound;
use super::lines::StdoutLines;
use super::outgoing::Outgoing;
use super::request::Request;
use super::status::PublisherStatus;
use crate::error::{Error, Result};

/// Messages that wait for the publish thread at most.
const QUEUE: usize = 1024;
/// Limit of the queue for QoS 0 messages: the rest is for events.
const QOS0_QUEUE: usize = QUEUE / 2;
/// Requests that wait to be carried out at most.
const REQUESTS: usize = 16;
/// Time beyond its deadline after which a stop gives the publish thread up (a disk that hangs).
const GIVE_UP: Duration = Duration::from_millis(1500);

/// The way in, for any number of threads.
#[derive(Debug, Clone)]
pub struct EventSender {
    inbox: Sender<Inbound>,
    status: Arc<PublisherStatus>,
}

// a refusal is counted here: callers may ignore what these return
#[allow(clippy::must_use_candidate)]
impl EventSender {
    /// Gives `message` to the publish thread without waiting. False where its queue of 1024 is full (for scores and
    /// embeddings: half full) or it has stopped; the message is gone then, and counted as refused.
    pub fn try_send(&self, message: Outgoing) -> bool {
        let fleeting = matches!(message, Outgoing::Score { .. } | Outgoing::Embedding { .. });
        let room = !fleeting || self.inbox.len() < QOS0_QUEUE;
        let sent = room && self.inbox.try_send(Inbound::Out(message)).is_ok();
        self.count(sent)
    }

    /// The same, but waits for room up to `timeout`: for replays, where sound can wait.
    pub fn send_timeout(&self, message: Outgoing, timeout: Duration) -> bool {
        let sent = self.inbox.send_timeout(Inbound::Out(message), timeout).is_ok();
        self.count(sent)
    }

    fn count(&self, sent: bool) -> bool {
        if !sent {
            self.status.refused.fetch_add(1, Relaxed);
        }
        sent
    }
}

/// The result of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReport {
    /// Event documents accepted, over all runs of the outbox.
    pub accepted: u64,
    /// Of these, confirmed.
    pub acked: u64,
    /// Of these, kept in the outbox for the next run.
    pub pending: u64,
    /// Of these, given up.
    pub dropped: u64,
    /// Messages that were never accepted.
    pub refused: u64,
    /// Whether the publish thread ended in time with nothing in memory only.
    pub clean: bool,
}

/// The publish thread, and the `mqtt` thread where a broker is configured.
#[derive(Debug)]
pub struct Publisher {
    sender: EventSender,
    stop: Sender<Instant>,
    done: Receiver<bool>,
    request_sender: Sender<Request>,
    requests: Receiver<Request>,
}

impl Publisher {
    /// Starts to publish. With a broker: opens the outbox in `state_dir` and connects in the background, for
    /// ever; a disk that refuses is not fatal either (see [`PublisherStatus::degraded`]). Without one: event
    /// documents go to stdout, a line each.
    ///
    /// # Errors
    /// A configuration error where a setting or id is wrong, the password file cannot be read, another
    /// process holds the outbox, or the program was built without MQTT.
    pub fn start(config: &PublishConfig, node: &str, state_dir: &Path) -> Result<Self> {
        Self::start_with(config, node, state_dir, None)
    }

    /// The same, with the Home Assistant discovery of the node, or its removal.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        config: &PublishConfig,
        node: &str,
        state_dir: &Path,
        discovery: Option<DiscoveryConfig<'_>>,
    ) -> Result<Self> {
        config.validate(node)?;
        let (inbox, taken) = bounded(QUEUE);
        let (stop, stopped) = bounded(1);
        let status = Arc::new(PublisherStatus::default());
        let (asked, requests) = bounded(REQUESTS);
        let done = if config.broker.is_some() {
            start_outbox_publisher(
                config,
                node,
                state_dir,
                (taken, stopped, status.clone(), asked.clone()),
                discovery,
            )?
        } else {
            let lines = StdoutLines {
                inbox: taken,
                stop: stopped,
                status: status.clone(),
                out: std::io::stdout(),
                text: config.stdout.is_text(std::io::stdout().is_terminal()),
                broken: false,
            };
            spawn("publish", move || lines.run())?
        };
        Ok(Self { sender: EventSender { inbox, status }, stop, done, request_sender: asked, requests })
    }

    /// A way in.
    #[must_use]
    pub fn sender(&self) -> EventSender {
        self.sender.clone()
    }

    /// Requests to the daemon. The receiver of a request answers it ([`Outgoing::Response`]).
    #[must_use]
    pub fn requests(&self) -> Receiver<Request> {
        self.requests.clone()
    }

    /// A sender of requests that do not come over the broker.
    #[must_use]
    pub fn request_sender(&self) -> Sender<Request> {
        self.request_sender.clone()
    }

    /// The counters.
    #[must_use]
    pub fn status(&self) -> Arc<PublisherStatus> {
        self.sender.status.clone()
    }

    /// Waits until everything sent before is on the disk (on stdout: is written); false after `timeout`.
    #[must_use]
    pub fn flush_durable(&self, timeout: Duration) -> bool {
        let by = Instant::now() + timeout;
        let (waiter, woken) = bounded(1);
        self.sender.inbox.send_deadline(Inbound::Flush(waiter), by).is_ok() && woken.recv_deadline(by).is_ok()
    }

    /// Stores what is queued, gives a broker that is there up to `timeout` to confirm what is pending, says
    /// `stopped` and ends. What is not confirmed stays in the outbox. Returns within `timeout` + 2 s.
    #[must_use]
    pub fn stop(self, timeout: Duration) -> StopReport {
        let _ = self.stop.try_send(Instant::now() + timeout);
        let clean = self.done.recv_timeout(timeout + GIVE_UP).unwrap_or(false);
        let status = &self.sender.status;
        StopReport {
            accepted: status.accepted(),
            acked: status.acked(),
            pending: status.pending(),
            dropped: status.dropped(),
            refused: status.refused(),
            clean,
        }
    }
}

type ThreadEnds = (Receiver<Inbound>, Receiver<Instant>, Arc<PublisherStatus>, Sender<Request>);

fn spawn(name: &str, work: impl FnOnce() -> bool + Send + 'static) -> Result<Receiver<bool>> {
    let (done, ended) = bounded(1);
    let run = move || {
        let clean = work();
        let _ = done.send(clean);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| Error::internal(format!("cannot start the {name} thread: {error}")))?;
    Ok(ended)
}

#[cfg(not(feature = "mqtt"))]
fn start_outbox_publisher(
    _: &PublishConfig,
    _: &str,
    _: &Path,
    _: ThreadEnds,
    _: Option<DiscoveryConfig<'_>>,
) -> Result<Receiver<bool>> {
    Err(Error::config(
        "a broker is configured, but this program was built without MQTT",
        "build it with the feature `mqtt`, or leave the broker out: events then go to stdout",
    ))
}

#[cfg(feature = "mqtt")]
fn start_outbox_publisher(
    config: &PublishConfig,
    node: &str,
    state_dir: &Path,
    ends: ThreadEnds,
    discovery: Option<DiscoveryConfig<'_>>,
) -> Result<Receiver<bool>> {
    use super::home_assistant::HomeAssistant;
    use super::outbox::{Outbox, OutboxLimits};
    use super::outbox_publisher::OutboxPublisher;
    use super::request_handler::RequestHandler;
    use super::session::{Session, SessionSettings};
    use super::topics::Topics;
    use crate::error::ErrorKind;
    use crate::event::EVENT_SCHEMA;
    use crate::mqtt::link::{self, ConnectOptions};

    let topics = Topics::new(&config.prefix, node)?;
    let options = ConnectOptions {
        protocol: config.protocol,
        session_expiry_s: config.session_expiry_s,
        message_expiry_s: config.message_expiry_s,
        user_properties: vec![
            ("node".to_owned(), node.to_owned()),
            ("schema".to_owned(), EVENT_SCHEMA.to_string()),
        ],
        ..config.options(format!("cpc-stream-{node}"))?
    };
    let caps = OutboxLimits {
        max_bytes: config.outbox_max_bytes,
        max_age: Duration::from_secs(u64::from(config.outbox_max_age_h) * 3600),
    };
    let outbox = match Outbox::open(state_dir, caps) {
        Err(error) if error.kind() == ErrorKind::Config => return Err(error),
        Err(error) => {
            tracing::error!(fix = error.fix(), "{error}; events wait in memory");
            ends.2.degraded.store(true, Relaxed);
            Outbox::closed(state_dir, caps)
        }
        Ok(outbox) => outbox,
    };
    ends.2.set_tally(outbox.tally(), outbox.corrupt_files());

    let settings = SessionSettings {
        options,
        status_topic: topics.status(),
        home: discovery.map(|discovery| HomeAssistant::new(&topics, config, discovery)),
        window: usize::from(config.window),
        backoff: (
            Duration::from_secs_f64(config.backoff_min_s),
            Duration::from_secs_f64(config.backoff_max_s),
        ),
    };
    let (inbox, stop, status, request_sender) = ends;
    let handler = RequestHandler { topics: topics.clone(), allowed: config.commands.clone(), request_sender };
    let (wire, commands) = tokio::sync::mpsc::unbounded_channel();
    let (receipts_in, receipts) = crossbeam_channel::unbounded();
    let session = Session::new(settings, commands, receipts_in, handler, status.clone());
    let runtime = link::runtime()?;
    let _ended = spawn("mqtt", move || {
        runtime.block_on(session.run());
        // a name lookup that hangs must not delay the stop
        runtime.shutdown_background();
        true
    })?;
    let outbox_publisher = OutboxPublisher { outbox, topics, inbox, stop, wire, receipts, status };
    spawn("publish", move || outbox_publisher.run())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Embedding, EmbeddingSource, EmbeddingType};

    fn embedding() -> Outgoing {
        let embedding = Embedding {
            dtype: EmbeddingType::F32,
            source: EmbeddingSource::C,
            model: [0; 6],
            first_frame: 0,
            time_ns: 0,
            frames: 1,
            seq: 0,
            values: vec![0.0; 4],
        };
        Outgoing::Embedding { stream: "mic".into(), embedding: Box::new(embedding) }
    }

    #[test]
    fn embeddings_leave_room_for_events() {
        let (inbox, taken) = bounded(QUEUE);
        let sender = EventSender { inbox, status: Arc::default() };
        let sent = (0..QUEUE).filter(|_| sender.try_send(embedding())).count();
        assert_eq!((sent, sender.status.refused()), (QOS0_QUEUE, (QUEUE - QOS0_QUEUE) as u64));
        let event = || Outgoing::Event(Box::new(crate::event::samples::event("mic", 0)));
        let sent = (0..QUEUE).filter(|_| sender.try_send(event())).count();
        assert_eq!((sent, taken.len()), (QUEUE - QOS0_QUEUE, QUEUE));
    }
}
