//! A NATS server as the broker (its MQTT 3.1.1 over JetStream): events arrive, states are kept, the last will is said, and
//! nothing is lost when the server is killed.
#![cfg(feature = "mqtt")]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::node::{LONG, Node};
use crate::support::broker::{Broker, await_for};
use crate::support::daemon::{Daemon, run};
use cpc_stream::internal::publish::Protocol;

/// What a new subscriber is told that is kept. The server keeps it some time after it has passed it on, so that the first one may
/// come too early.
fn kept_by(broker: &Broker) -> BTreeMap<String, String> {
    let late = broker.subscribe("cpc-stream/hall/#");
    std::thread::sleep(Duration::from_millis(300));
    let kept = late.rest().into_iter().filter(|heard| heard.retained);
    kept.map(|heard| (heard.topic, heard.payload)).collect()
}

#[test]
fn events_arrive_and_states_are_kept() {
    let Some(broker) = Broker::nats() else { return };
    let seen = broker.subscribe("cpc-stream/hall/+/event");
    let node = Node::start(&broker.url(), Protocol::V3, "A");
    node.events(20);
    node.acked(40);
    (0..40).for_each(|_| assert!(!seen.next("/event", LONG).retained));
    // who comes later is told
    let mut kept = BTreeMap::new();
    await_for("what is kept", LONG, || {
        kept.extend(kept_by(&broker));
        let has = |topic: &str, word: &str| {
            kept.get(&format!("cpc-stream/hall/{topic}"))
                .is_some_and(|payload: &String| payload.contains(word))
        };
        (has("status", "online") && has("yard/availability", "online") && has("health", "\"boot\":\"A\""))
            .then_some(())
    });
    node.stays("NATS");
    assert_eq!(node.status.faults(), Vec::<String>::new());
}

#[test]
fn a_server_that_is_killed_loses_no_event() {
    let Some(mut broker) = Broker::nats() else { return };
    let node = Node::start(&broker.url(), Protocol::V3, "A");
    node.events(3);
    node.acked(6);
    broker.kill();
    await_for("the loss of the connection", LONG, || (!node.status.connected()).then_some(()));
    node.events(5);
    broker.start_again();
    node.acked(16);
    await_for("the availability", LONG, || {
        let kept = kept_by(&broker);
        let online = "{\"state\":\"online\",\"reason\":null}";
        kept.get("cpc-stream/hall/porch/availability").is_some_and(|payload| payload == online).then_some(())
    });
    node.stays("NATS, once it is back");
    assert_eq!(node.status.faults(), Vec::<String>::new());
}

#[test]
fn the_last_will_is_published_and_mqtt_test_passes() {
    let Some(broker) = Broker::nats() else { return };
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &["mqtt", "test", "--broker", &broker.url(), "--node", "hall"], LONG);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    let seen = broker.subscribe("cpc-stream/hall/status");
    let daemon = Daemon::of_a_pipe(home.path(), "", &broker.url());
    assert_eq!(seen.next("/status", LONG).payload, "online");
    daemon.kill();
    assert_eq!(seen.next("/status", LONG).payload, "offline");
    await_for("the kept will", LONG, || {
        kept_by(&broker)
            .get("cpc-stream/hall/status")
            .is_some_and(|payload| payload == "offline")
            .then_some(())
    });
}
