//! A message to ourselves by way of the broker, a step at a time.
//!
//! It has a client id and a topic of its own, keeps nothing at the broker and opens no outbox, so that a daemon that runs is
//! not disturbed.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::cause::{self, Stage};
use crate::error::{Error, Result};
use crate::mqtt::link::{self, ConnectOptions, Delivery, Link, LinkEvent};
use crate::mqtt::{BrokerAddress, Protocol};
use crate::publish::{PublishConfig, Topics};

/// Time for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time for the first answer of a host.
const REACH: Duration = Duration::from_secs(3);
/// Time for a goodbye.
const LEAVE: Duration = Duration::from_millis(500);
/// Bytes of a document: those of events have some 1000, those of health some 2000.
const DOCUMENT: usize = 2000;
/// A stream that no daemon has.
const STREAM: &str = "test";
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The step that was tried, and its result.
#[derive(Debug)]
pub(in crate::cli) struct Trial {
    /// Whom, and as whom.
    pub(in crate::cli) broker: String,
    /// The finished steps.
    pub(in crate::cli) steps: Vec<Step>,
    /// A configuration or broker error.
    pub(in crate::cli) outcome: Result<()>,
}

/// A step that was done.
#[derive(Debug)]
pub(in crate::cli) struct Step {
    /// In a word.
    pub(in crate::cli) what: &'static str,
    /// How long it took.
    pub(in crate::cli) ms: f64,
    /// More about it.
    pub(in crate::cli) detail: String,
}

impl Trial {
    /// All steps together.
    pub(in crate::cli) fn ms(&self) -> f64 {
        self.steps.iter().map(|step| step.ms).sum()
    }

    /// The same for programs.
    pub(in crate::cli) fn json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| json!({ "step": step.what, "ms": step.ms, "detail": step.detail }))
            .collect();
        let error = self.outcome.as_ref().err();
        json!({
            "broker": self.broker,
            "ok": error.is_none(),
            "steps": steps,
            "cause": error.map(ToString::to_string),
            "fix": error.map(|error| error.fix().to_owned()),
        })
    }
}

/// Connects as `config` says, publishes on a topic of `node` and waits for the message.
pub(in crate::cli) fn try_broker(config: &PublishConfig, node: &str) -> Trial {
    let mut connection_test =
        Trial { broker: config.broker.clone().unwrap_or_default(), steps: Vec::new(), outcome: Ok(()) };
    connection_test.outcome = connection_test.make(config, node);
    connection_test
}

impl Trial {
    fn make(&mut self, config: &PublishConfig, node: &str) -> Result<()> {
        let address = BrokerAddress::parse(&self.broker)?;
        let topics = Topics::new(&config.prefix, node)?;
        let topic = topics.test();
        let all = topic.strip_suffix("test").unwrap_or(&topic).to_owned();
        let login = link::login(&address, config.username.as_deref(), config.password_file.as_deref())?;
        let user = login.as_ref().map(|(user, _)| user.clone());
        let version = match config.protocol {
            Protocol::V3 => "3.1.1",
            Protocol::V5 => "5",
        };
        let place = format!("{}:{}", address.host, address.port);
        self.broker = format!(
            "{place}, MQTT {version}, {}, {}",
            if address.tls { "TLS" } else { "not encrypted" },
            user.as_ref().map_or_else(|| "without a user name".to_owned(), |user| format!("user {user}")),
        );
        let id = format!("cpc-test-{}", ulid::Ulid::generate());
        let mut options = ConnectOptions {
            protocol: config.protocol,
            ..ConnectOptions::new(address.clone(), login, id, KEEP_ALIVE)
        };
        options.encrypt(&config.tls)?;
        self.reach(&place)?;
        let stage = Stage { place, tls: address.tls, user, topic, all };
        let runtime = link::runtime()?;
        let outcome = runtime.block_on(self.travel(options, &stage, &topics));
        runtime.shutdown_background();
        outcome
    }

    fn done(&mut self, what: &'static str, since: &mut Instant, detail: impl Into<String>) {
        let now = Instant::now();
        self.steps.push(Step {
            what,
            ms: 1e3 * now.duration_since(*since).as_secs_f64(),
            detail: detail.into(),
        });
        *since = now;
    }

    /// The name, and whether anybody listens: rumqttc would say less of what is wrong.
    fn reach(&mut self, place: &str) -> Result<()> {
        let mut since = Instant::now();
        let addresses = resolve(place.to_owned()).map_err(|e| cause::unknown_name(place, &e))?;
        let Some(first) = addresses.first() else { return Err(cause::unknown_name(place, "no address")) };
        let others = addresses.len() - 1;
        let more = if others > 0 { format!(" and {others} more") } else { String::new() };
        self.done("resolved", &mut since, format!("{}{more}", first.ip()));
        let mut failure = None;
        for address in &addresses {
            match TcpStream::connect_timeout(address, REACH) {
                Ok(_) => {
                    self.done("reached", &mut since, format!("TCP to {address}"));
                    return Ok(());
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let failure = failure.unwrap_or_else(|| io::Error::other("no address"));
        Err(cause::unreachable(place, &failure))
    }

    async fn travel(&mut self, mut options: ConnectOptions, stage: &Stage, topics: &Topics) -> Result<()> {
        let mut since = Instant::now();
        let mut link = Link::start(&options);
        let payload = ulid::Ulid::generate().to_string();
        self.enter(&mut link, stage, &mut since).await?;
        self.there_and_back(&mut link, stage, payload.clone(), ["subscribed", "confirmed", "came back"])
            .await?;

        // the same on the way of events, as long as they are: rules and limits may differ
        let event = Stage { topic: topics.event(STREAM), ..stage.clone() };
        let document = json!({ "test": payload, "padding": "x".repeat(DOCUMENT) }).to_string();
        self.there_and_back(&mut link, &event, document, ["event path", "confirmed", "came back"]).await?;
        let kept = Stage { topic: topics.availability(STREAM), ..stage.clone() };
        self.keep(&mut link, &kept, &payload).await?;
        leave(&mut link).await;

        since = Instant::now();
        let last = Stage { topic: topics.availability(STREAM), ..stage.clone() };
        options.will = Some((last.topic.clone(), "a last will, of a test"));
        let mut link = Link::start(&options);
        match next(&mut link, |event| matches!(event, LinkEvent::Connected { .. })).await {
            StepEnd::Event(_) => self.done("last will", &mut since, last.topic.clone()),
            StepEnd::Silent => return Err(last.no_will("no answer within 5 s")),
            StepEnd::Lost(reason) => return Err(last.no_will(&reason)),
        }
        leave(&mut link).await;
        Ok(())
    }

    /// Waits until the broker has taken us in.
    async fn enter(&mut self, link: &mut Link, stage: &Stage, since: &mut Instant) -> Result<()> {
        match next(link, |event| matches!(event, LinkEvent::Connected { .. })).await {
            StepEnd::Event(LinkEvent::Connected { confirms: false, .. }) => {
                return Err(stage.no_receipts());
            }
            StepEnd::Event(LinkEvent::Connected { largest: Some(largest), .. })
                if (largest as usize) < DOCUMENT =>
            {
                return Err(stage.too_small(largest));
            }
            StepEnd::Event(LinkEvent::Connected { retains: false, .. }) => return Err(stage.not_kept()),
            StepEnd::Event(_) => {}
            StepEnd::Silent => return Err(stage.not_let_in("Network timeout")),
            StepEnd::Lost(reason) => return Err(stage.not_let_in(&reason)),
        }
        self.done("let in", since, if stage.tls { "TLS, then CONNECT" } else { "CONNECT" });
        Ok(())
    }

    /// Listens on the topic of `stage`, publishes there and waits for that.
    async fn there_and_back(
        &mut self,
        link: &mut Link,
        stage: &Stage,
        payload: String,
        names: [&'static str; 3],
    ) -> Result<()> {
        let mut since = Instant::now();
        subscribe(link, stage).await?;
        self.done(names[0], &mut since, stage.topic.clone());
        if !link.client.publish(Delivery::Event, &stage.topic, payload.clone().into_bytes()) {
            return Err(closed());
        }
        self.come_back(link, stage, &payload, since).await
    }

    /// Publishes what is to be kept, looks whether it is, and removes it.
    async fn keep(&mut self, link: &mut Link, stage: &Stage, payload: &str) -> Result<()> {
        let mut since = Instant::now();
        let said = payload.as_bytes();
        if !link.client.publish(Delivery::State, &stage.topic, said.to_vec()) {
            return Err(closed());
        }
        match next(link, |event| matches!(event, LinkEvent::Acked(_) | LinkEvent::Refused { .. })).await {
            StepEnd::Event(LinkEvent::Refused { reason, .. }) => return Err(stage.not_taken(&reason)),
            // what is not kept was taken on a topic like this one
            StepEnd::Lost(_) => return Err(stage.not_kept()),
            StepEnd::Silent => return Err(stage.not_taken("no receipt within 5 s")),
            StepEnd::Event(_) => {}
        }
        if !link.client.subscribe(&stage.topic) {
            return Err(closed());
        }
        // it may come before the answer to the subscription
        let kept = |event: &LinkEvent| match event {
            LinkEvent::Message(message) => message.retained && message.payload == said,
            LinkEvent::Subscribed { refused, .. } => refused.is_some(),
            _ => false,
        };
        let found = next(link, kept).await;
        let _ = link.client.publish(Delivery::State, &stage.topic, Vec::new());
        match found {
            StepEnd::Event(LinkEvent::Message(_)) => {}
            StepEnd::Event(_) => return Err(stage.not_subscribed("it refuses the subscription")),
            StepEnd::Silent => return Err(stage.not_kept()),
            StepEnd::Lost(reason) => return Err(stage.not_taken(&reason)),
        }
        self.done("kept", &mut since, format!("{} (removed again)", stage.topic));
        Ok(())
    }

    /// Waits for the receipt and for the message, which come in any order.
    async fn come_back(
        &mut self,
        link: &mut Link,
        stage: &Stage,
        payload: &str,
        mut since: Instant,
    ) -> Result<()> {
        let (mut confirmed, mut back) = (false, false);
        while !(confirmed && back) {
            let ours = |event: &LinkEvent| match event {
                LinkEvent::Acked(_) | LinkEvent::Refused { .. } => true,
                LinkEvent::Message(message) => !message.retained && message.payload == payload.as_bytes(),
                _ => false,
            };
            match next(link, ours).await {
                StepEnd::Event(LinkEvent::Refused { reason, .. }) => return Err(stage.not_taken(&reason)),
                StepEnd::Event(LinkEvent::Acked(_)) => {
                    confirmed = true;
                    self.done("confirmed", &mut since, "the broker has taken the message");
                }
                StepEnd::Event(_) => {
                    back = true;
                    self.done("came back", &mut since, "the message to ourselves");
                }
                StepEnd::Silent if confirmed => return Err(stage.not_back()),
                StepEnd::Silent => return Err(stage.not_taken("no receipt within 5 s")),
                StepEnd::Lost(reason) => return Err(stage.not_taken(&reason)),
            }
        }
        Ok(())
    }
}

fn closed() -> Error {
    Error::broker("the connection closed", "try again, and see the broker's log")
}

async fn subscribe(link: &mut Link, stage: &Stage) -> Result<()> {
    if !link.client.subscribe(&stage.topic) {
        return Err(closed());
    }
    match next(link, |event| matches!(event, LinkEvent::Subscribed { .. })).await {
        StepEnd::Event(LinkEvent::Subscribed { refused: Some(_), .. }) => {
            Err(stage.not_subscribed("it refuses the subscription"))
        }
        StepEnd::Event(_) => Ok(()),
        StepEnd::Silent => Err(stage.not_subscribed("no answer within 5 s")),
        StepEnd::Lost(reason) => Err(stage.not_subscribed(&reason)),
    }
}

async fn leave(link: &mut Link) {
    if link.client.disconnect() {
        let by = Instant::now() + LEAVE;
        while let Ok(Some(Ok(event))) = timeout_at(by.into(), link.events.recv()).await {
            if matches!(event, LinkEvent::Left) {
                break;
            }
        }
    }
}

enum StepEnd {
    Event(LinkEvent),
    Silent,
    Lost(String),
}

/// The first event that is `wanted`.
async fn next(link: &mut Link, wanted: impl Fn(&LinkEvent) -> bool) -> StepEnd {
    let by = Instant::now() + PATIENCE;
    loop {
        match timeout_at(by.into(), link.events.recv()).await {
            Err(_) => return StepEnd::Silent,
            Ok(None) => return StepEnd::Lost("the connection's task ended".into()),
            Ok(Some(Err(reason)) | Some(Ok(LinkEvent::Disconnect(reason)))) => return StepEnd::Lost(reason),
            Ok(Some(Ok(event))) if wanted(&event) => return StepEnd::Event(event),
            Ok(Some(Ok(_))) => {}
        }
    }
}

/// The addresses of HOST:PORT. Name servers that do not answer are not waited for.
fn resolve(place: String) -> Result<Vec<SocketAddr>, String> {
    let (sender, found) = mpsc::channel();
    let ask = move || {
        let addresses = place.to_socket_addrs().map(Iterator::collect).map_err(|e| e.to_string());
        // the receiver may be gone
        let _ = sender.send(addresses);
    };
    thread::Builder::new().name("resolve".into()).spawn(ask).map_err(|e| e.to_string())?;
    found.recv_timeout(PATIENCE).unwrap_or_else(|_| Err("no name server answers within 5 s".into()))
}
