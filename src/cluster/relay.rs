//! The relay of stored events from JetStream to the MQTT topics: by one worker at a time, in the order of each stream,
//! acknowledged once the broker has confirmed them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::sleep;

use super::jetstream::{JetStream, RETRY_INTERVAL};
use crate::mqtt::LogRateLimiter;
use crate::mqtt::link::{ConnectOptions, Delivery, Link, LinkEvent};
use crate::publish::Topics;

/// Most documents in flight.
const WINDOW: usize = 16;
/// Documents without a confirmation for so long are sent again by the current relay.
const UNCONFIRMED: Duration = Duration::from_secs(4);
/// The server says that it is there each so often while there is nothing to deliver, within a request of so long.
const HEARTBEATS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15));
/// Name of the consumer that all workers share.
pub(super) const CONSUMER: &str = "mqtt";

/// The connection to the broker.
#[derive(Debug, Clone)]
pub struct RelaySetup {
    pub(super) options: ConnectOptions,
    pub(super) topics: Topics,
}

impl RelaySetup {
    /// By a connection with `options`, to the topics of the cluster.
    #[must_use]
    pub(crate) fn new(options: ConnectOptions, topics: Topics) -> Self {
        Self { options, topics }
    }
}

/// Relays until it is asked to stop.
pub(super) async fn run(jetstream: JetStream, setup: RelaySetup, mut stop: watch::Receiver<bool>) {
    let mut log_limiter = LogRateLimiter::default();
    while !*stop.borrow() {
        let ended = tokio::select! {
            ended = relay(&jetstream, &setup, &mut log_limiter) => ended,
            _ = stop.changed() => return,
        };
        log_limiter.log(true, format!("cluster: events wait for the broker ({ended})"));
        sleep(RETRY_INTERVAL).await;
    }
}

/// Documents between JetStream and the broker.
#[derive(Default)]
struct InFlight {
    /// Given to the connection, in this order, and not sent yet.
    given: VecDeque<Message>,
    /// Sent under this packet id.
    sent: BTreeMap<u16, Message>,
}

/// One connection; returns the reason of its end. Unconfirmed documents are delivered again.
async fn relay(jetstream: &JetStream, setup: &RelaySetup, log_limiter: &mut LogRateLimiter) -> String {
    let consumer = match consumer(jetstream).await {
        Ok(consumer) => consumer,
        Err(reason) => return reason,
    };
    let stream = consumer.stream().max_messages_per_batch(WINDOW);
    let mut messages = match stream.heartbeat(HEARTBEATS.0).expires(HEARTBEATS.1).messages().await {
        Ok(messages) => messages,
        Err(error) => return error.to_string(),
    };
    let mut link = Link::start(&setup.options);
    let (mut up, mut flight) = (false, InFlight::default());
    loop {
        let room = up && flight.given.len() + flight.sent.len() < WINDOW;
        tokio::select! {
            event = link.events.recv() => match event {
                None => return "the connection's task ended".into(),
                Some(Err(reason) | Ok(LinkEvent::Disconnect(reason))) => return reason,
                Some(Ok(LinkEvent::Connected { .. })) => {
                    up = true;
                    log_limiter.log(false, "cluster: events go to the broker".to_owned());
                }
                Some(Ok(LinkEvent::Sent(id))) => {
                    if let Some(message) = flight.given.pop_front() {
                        flight.sent.insert(id, message);
                    }
                }
                Some(Ok(LinkEvent::Acked(id))) => {
                    if let Some(message) = flight.sent.remove(&id)
                        && let Err(error) = message.ack().await
                    {
                        tracing::debug!("cluster: a receipt is lost, so that a document comes twice: {error}");
                    }
                }
                Some(Ok(LinkEvent::Refused { id, reason })) => {
                    if let Some(message) = flight.sent.remove(&id) {
                        tracing::error!("cluster: the broker refuses a document on {} ({reason})", message.subject);
                        let _ = message.ack_with(AckKind::Nak(Some(UNCONFIRMED))).await;
                    }
                }
                Some(Ok(_)) => {}
            },
            message = messages.next(), if room => {
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return error.to_string(),
                    None => return "the documents ended".into(),
                };
                let stream = message.subject.rsplit('.').next().unwrap_or_default();
                let topic = setup.topics.event(stream);
                if !link.client.publish(Delivery::Event, &topic, message.payload.to_vec()) {
                    return "no room in the connection".into();
                }
                flight.given.push_back(message);
            }
        }
    }
}

async fn consumer(jetstream: &JetStream) -> Result<Consumer<pull::Config>, String> {
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: UNCONFIRMED,
        max_ack_pending: WINDOW as i64,
        ..pull::Config::default()
    };
    jetstream.events.get_or_create_consumer(CONSUMER, config).await.map_err(|e| e.to_string())
}
