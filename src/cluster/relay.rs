//! What JetStream has stored of events, to the MQTT topics: by one worker at a time, in the order of each stream, acknowledged once
//! the broker has confirmed it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::sleep;

use super::hub::{AGAIN, Hub};
use crate::mqtt::Quiet;
use crate::mqtt::link::{Link, Options, Told, Travel};
use crate::publish::Topics;

/// Documents on their way at most.
const WINDOW: usize = 16;
/// What was not confirmed for so long is sent again, by whoever relays then.
const UNCONFIRMED: Duration = Duration::from_secs(4);
/// Name of the consumer that all workers share.
pub(super) const CONSUMER: &str = "mqtt";

/// The way to the broker.
#[derive(Debug, Clone)]
pub struct RelaySetup {
    pub(super) options: Options,
    pub(super) topics: Topics,
}

impl RelaySetup {
    /// By a connection with `options`, to the topics of the cluster.
    #[must_use]
    pub(crate) fn new(options: Options, topics: Topics) -> Self {
        Self { options, topics }
    }
}

/// Relays until it is asked to stop.
pub(super) async fn run(hub: Hub, setup: RelaySetup, mut stop: watch::Receiver<bool>) {
    let mut quiet = Quiet::default();
    while !*stop.borrow() {
        let ended = tokio::select! {
            ended = relay(&hub, &setup, &mut quiet) => ended,
            _ = stop.changed() => return,
        };
        quiet.say(true, format!("cluster: events wait for the broker ({ended})"));
        sleep(AGAIN).await;
    }
}

/// What is between JetStream and the broker.
#[derive(Default)]
struct Flight {
    /// Given to the connection, in this order, and not sent yet.
    given: VecDeque<Message>,
    /// Sent under this packet id.
    sent: BTreeMap<u16, Message>,
}

/// One connection; says why it ended. What was not confirmed comes again.
async fn relay(hub: &Hub, setup: &RelaySetup, quiet: &mut Quiet) -> String {
    let consumer = match consumer(hub).await {
        Ok(consumer) => consumer,
        Err(reason) => return reason,
    };
    let mut messages = match consumer.stream().max_messages_per_batch(WINDOW).messages().await {
        Ok(messages) => messages,
        Err(error) => return error.to_string(),
    };
    let mut link = Link::start(&setup.options);
    let (mut up, mut flight) = (false, Flight::default());
    loop {
        let room = up && flight.given.len() + flight.sent.len() < WINDOW;
        tokio::select! {
            event = link.events.recv() => match event {
                None => return "the connection's task ended".into(),
                Some(Err(reason) | Ok(Told::Goodbye(reason))) => return reason,
                Some(Ok(Told::Connected { .. })) => {
                    up = true;
                    quiet.say(false, "cluster: events go to the broker".to_owned());
                }
                Some(Ok(Told::Sent(id))) => {
                    if let Some(message) = flight.given.pop_front() {
                        flight.sent.insert(id, message);
                    }
                }
                Some(Ok(Told::Acked(id))) => {
                    if let Some(message) = flight.sent.remove(&id)
                        && let Err(error) = message.ack().await
                    {
                        tracing::debug!("cluster: a receipt is lost, so that a document comes twice: {error}");
                    }
                }
                Some(Ok(Told::Refused { id, reason })) => {
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
                if !link.client.publish(Travel::Event, &topic, message.payload.to_vec()) {
                    return "no room in the connection".into();
                }
                flight.given.push_back(message);
            }
        }
    }
}

async fn consumer(hub: &Hub) -> Result<Consumer<pull::Config>, String> {
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: UNCONFIRMED,
        max_ack_pending: WINDOW as i64,
        ..pull::Config::default()
    };
    hub.events.get_or_create_consumer(CONSUMER, config).await.map_err(|e| e.to_string())
}
