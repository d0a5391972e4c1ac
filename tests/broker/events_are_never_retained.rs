//! State is retained and told again; events never are; a daemon that dies leaves `offline` behind.
#![cfg(feature = "mqtt")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use crate::support::broker::{Broker, Gate, ReceivedMessage, Subscriber, await_for};
use crate::support::events::{event, this_binary};
use cpc_stream::internal::publish::{
    Availability, Health, Outgoing, PublishConfig, Publisher, PublisherStatus, Score, Watching,
};

const BROKER: &str = "CPC_TEST_BROKER";
const LONG: Duration = Duration::from_secs(20);

fn config(url: String) -> PublishConfig {
    PublishConfig { broker: Some(url), ..PublishConfig::default() }
}

fn score() -> Score {
    Score {
        t_s: 1.0,
        time: "2026-01-02T03:04:05Z".into(),
        surprise: Some(1.0),
        novelty: Some(1.0),
        level_dbfs: -50.0,
        p: None,
        score: None,
        state: Watching::Calibrating,
        learning: None,
    }
}

/// One message of each kind, once connected; returns when the broker has confirmed the event.
fn say_everything(publisher: &Publisher, status: &PublisherStatus) {
    await_for("a connection", LONG, || status.connected().then_some(()));
    let sender = publisher.sender();
    let stream = || "mic".to_owned();
    for message in [
        Outgoing::Availability { stream: stream(), availability: Availability::online() },
        Outgoing::Anomaly { stream: stream(), on: true },
        Outgoing::Health(Box::new(Health { uptime_s: 7.5, ..Health::default() })),
        Outgoing::Score { stream: stream(), score: score() },
        Outgoing::Event(Box::new(event("mic", 0))),
    ] {
        assert!(sender.try_send(message));
    }
    await_for("the receipt", LONG, || (status.acked() > 0 && status.pending() == 0).then_some(()));
}

/// What the broker has kept: topic to payload.
fn retained(broker: &Broker) -> BTreeMap<String, String> {
    let subscriber = broker.subscribe("cpc-stream/#");
    let heard = subscriber.rest();
    assert!(heard.iter().all(|heard| heard.retained));
    heard.into_iter().map(|heard| (heard.topic, heard.payload)).collect()
}

fn until(subscriber: &Subscriber, suffix: &str, payload: &str) -> ReceivedMessage {
    await_for(payload, LONG, || Some(subscriber.next(suffix, LONG)).filter(|heard| heard.payload == payload))
}

#[test]
fn child() {
    let Ok(url) = std::env::var(BROKER) else { return };
    let dir = tempfile::tempdir().unwrap();
    let publisher = Publisher::start(&config(url), "node", dir.path()).unwrap();
    say_everything(&publisher, &publisher.status());
    writeln!(std::io::stdout(), "\nsaid").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn state_is_kept_events_are_not_and_a_kill_leaves_offline() {
    let broker = Broker::start();
    let live = broker.subscribe("cpc-stream/#");
    let mut child =
        this_binary("events_are_never_retained::child").env(BROKER, broker.url()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "said"));

    let mut heard = BTreeMap::new();
    while heard.len() < 6 {
        let message = live.next("", LONG);
        assert!(!message.retained, "a live subscriber gets fresh messages");
        heard.insert(message.topic.trim_start_matches("cpc-stream/node/").to_owned(), message.payload);
    }
    assert!(heard["mic/event"].contains(r#""id":"mic-0""#) && heard["mic/score"].contains("calibrating"));

    let kept = retained(&broker);
    let topics: Vec<_> = kept.keys().map(|topic| topic.trim_start_matches("cpc-stream/node/")).collect();
    assert_eq!(topics, ["health", "mic/anomaly", "mic/availability", "status"]);
    assert_eq!(kept["cpc-stream/node/status"], "online");
    assert_eq!(kept["cpc-stream/node/mic/anomaly"], "ON");
    assert_eq!(kept["cpc-stream/node/mic/availability"], r#"{"state":"online","reason":null}"#);
    assert!(kept["cpc-stream/node/health"].contains(r#""uptime_s":7.5"#));

    child.kill().unwrap();
    child.wait().unwrap();
    until(&live, "node/status", "offline");
    assert_eq!(retained(&broker)["cpc-stream/node/status"], "offline");
}

#[test]
fn a_stop_says_stopped_and_no_will_follows() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let live = broker.subscribe("cpc-stream/node/status");
    let publisher = Publisher::start(&config(broker.url()), "node", dir.path()).unwrap();
    say_everything(&publisher, &publisher.status());
    let report = publisher.stop(Duration::from_secs(2));
    assert!(report.clean && report.pending == 0);
    assert_eq!(live.next("status", LONG).payload, "online");
    assert_eq!(live.next("status", LONG).payload, "stopped");
    assert_eq!(retained(&broker)["cpc-stream/node/status"], "stopped");
    assert!(live.rest().is_empty());
}

#[test]
fn states_are_repeated_to_a_broker_that_lost_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start();
    let gate = Gate::to(broker.address());
    let publisher = Publisher::start(&config(gate.url()), "node", dir.path()).unwrap();
    let status = publisher.status();
    say_everything(&publisher, &status);
    broker.kill();
    await_for("the loss to be noticed", LONG, || (!status.connected()).then_some(()));
    assert!(publisher.sender().try_send(Outgoing::Anomaly { stream: "mic".into(), on: false }));
    assert!(publisher.sender().try_send(Outgoing::Score { stream: "mic".into(), score: score() }));
    assert!(publisher.flush_durable(LONG));
    gate.shut();
    broker.start_again();
    let live = broker.subscribe("cpc-stream/#");
    gate.open();
    let heard: Vec<_> = (0..4).map(|_| live.next("", LONG)).collect();
    assert_eq!((heard[0].topic.as_str(), heard[0].payload.as_str()), ("cpc-stream/node/status", "online"));
    let topics: Vec<_> = heard[1..].iter().map(|heard| heard.topic.rsplit('/').next().unwrap()).collect();
    assert_eq!(topics, ["health", "anomaly", "availability"]);
    assert_eq!(heard[2].payload, "OFF", "the latest, not the one before the loss");
    assert!(publisher.stop(Duration::from_secs(2)).clean);
    let after: Vec<_> = live.rest().into_iter().filter(|heard| !heard.topic.ends_with("/status")).collect();
    assert!(after.is_empty(), "no stale score and no confirmed event: {after:?}");
}
