//! Brokers that refuse, drop or keep nothing: it is named, the rest goes on. Real ones, by rules × limits × MQTT 3.1.1 and 5.
#![cfg(feature = "mqtt")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::node::{LONG, LOOKED, Node};
use crate::support::broker::{Broker, await_for};
use cpc_stream::internal::publish::Protocol;

/// A broker with these rules of access, as Mosquitto writes them, and more lines.
fn with_rules(folder: &Path, rules: &str, more: &str) -> Broker {
    let path = folder.join("rules");
    std::fs::write(&path, format!("topic readwrite probe/#\n{rules}\n")).unwrap();
    Broker::start_with(&format!("acl_file {}\n{more}", path.display()))
}

/// A limit on queues, as brokers have: without one Mosquitto 2.0.11 ends the connection after what it denies.
const QUEUES: &str = "max_queued_messages 1000";
const ALL: &str = "topic readwrite cpc-stream/#\ntopic readwrite homeassistant/#";

/// What is denied, and what is told of it.
const DENIED: [&str; 5] = [
    "cpc-stream/hall/yard/event",
    "cpc-stream/hall/health",
    "cpc-stream/hall/yard/availability",
    "cpc-stream/hall/status",
    "homeassistant/device/hall/config",
];

#[test]
fn a_topic_that_is_denied_is_named_and_holds_nothing_else_up() {
    for denied in DENIED {
        for protocol in [Protocol::V3, Protocol::V5] {
            let what = format!("{denied} {protocol:?}");
            let folder = tempfile::tempdir().unwrap();
            let broker = with_rules(folder.path(), &format!("{ALL}\ntopic deny {denied}"), QUEUES);
            let seen = broker.subscribe("cpc-stream/hall/#");
            let node = Node::start(&broker.url(), protocol, "A");
            node.events(5);
            let is_event = denied.ends_with("/event");
            match protocol {
                Protocol::V5 => {
                    // refused events wait in the outbox, those of the other stream do not wait for them
                    node.acked(if is_event { 5 } else { 10 });
                    node.fault(&what, &[denied, "refuses", "NotAuthorized"]);
                }
                Protocol::V3 => {
                    node.acked(10);
                    // of what nobody listens to nothing is known, and without the status nothing can be
                    if is_event || denied.ends_with("/health") {
                        node.fault(&what, &[denied, "hands it on to nobody"]);
                    }
                }
            }
            assert!(node.status.connected(), "{what}");
            let faults = node.status.faults();
            assert!(
                faults.iter().all(|fault| fault.contains(denied)),
                "{what}: nothing else is wrong: {faults:?}"
            );
            let heard = seen.settled();
            let of = |end: &str| heard.iter().filter(|heard| heard.topic.ends_with(end)).count();
            assert_eq!(of("porch/event"), 5, "{what}");
            assert_eq!(of("porch/availability"), 1, "{what}: said once");
        }
    }
}

/// Mosquitto 2.0.11 ends the connection after what it denies where its queue has no limit; some hosted brokers always do.
#[test]
fn a_topic_that_ends_the_connection_is_found_and_left_out() {
    for denied in ["cpc-stream/hall/yard/event", "cpc-stream/hall/yard/availability"] {
        let folder = tempfile::tempdir().unwrap();
        let rules = format!("{ALL}\ntopic deny {denied}");
        let broker = with_rules(folder.path(), &rules, "max_queued_messages 0");
        let seen = broker.subscribe("cpc-stream/hall/#");
        let node = Node::start(&broker.url(), Protocol::V3, "A");
        node.events(5);
        node.fault(denied, &[denied, "it ends the connection"]);
        let others = if denied.ends_with("/event") { 5 } else { 10 };
        await_for("the other events", LONG, || (node.status.acked() >= others).then_some(()));
        thread::sleep(LOOKED);
        assert!(node.status.connected(), "{denied}");
        let faults = node.status.faults();
        assert!(
            faults.iter().all(|fault| fault.contains(denied)),
            "{denied}: nothing else is wrong: {faults:?}"
        );
        let porch: BTreeSet<String> = seen
            .settled()
            .into_iter()
            .filter(|heard| heard.topic.ends_with("porch/event"))
            .map(|heard| heard.payload)
            .collect();
        assert_eq!(porch.len(), 5, "{denied}");
    }
}

#[test]
fn a_permissive_broker_has_no_fault() {
    for protocol in [Protocol::V3, Protocol::V5] {
        let broker = Broker::start();
        let node = Node::start(&broker.url(), protocol, "A");
        node.events(3);
        node.acked(6);
        thread::sleep(LOOKED);
        assert_eq!(node.status.faults(), Vec::<String>::new(), "{protocol:?}");
    }
}

/// Who may only write knows nothing, and complains of nothing where it takes no requests. Mosquitto grants the subscriptions.
#[test]
fn a_user_that_may_not_read_is_a_fault_where_it_takes_requests() {
    let write = "topic write cpc-stream/#\ntopic write homeassistant/#";
    for protocol in [Protocol::V3, Protocol::V5] {
        let folder = tempfile::tempdir().unwrap();
        let broker = with_rules(folder.path(), write, "");
        let deaf = Node::start(&broker.url(), protocol, "A");
        let other = tempfile::tempdir().unwrap();
        let quiet = with_rules(other.path(), write, "");
        let silent = Node::accepting(&quiet.url(), protocol, "A", Vec::new());
        silent.events(3);
        silent.acked(6);
        deaf.fault(&format!("{protocol:?}"), &["requests do not arrive", "cpc-stream/hall/request/test"]);
        assert_eq!(deaf.status.faults().len(), 1, "{:?}", deaf.status.faults());
        assert_eq!(silent.status.faults(), Vec::<String>::new(), "{protocol:?}");
    }
}

/// By MQTT 5 a broker says what may not be written, so that what is confirmed and does not come back may not be read.
#[test]
fn requests_that_may_not_be_read_are_found_out() {
    let rest = "topic readwrite homeassistant/#\ntopic readwrite cpc-stream/hall/status\ntopic readwrite cpc-stream/hall/health";
    let events = "topic readwrite cpc-stream/hall/+/event\ntopic write cpc-stream/hall/+/availability";
    let nodes: Vec<_> = [("write", true), ("read", false), ("readwrite", false)]
        .into_iter()
        .flat_map(|(may, lost)| [(may, Protocol::V3, false), (may, Protocol::V5, lost)])
        .map(|(may, protocol, lost)| {
            let folder = tempfile::tempdir().unwrap();
            let rules = format!("{rest}\n{events}\ntopic {may} cpc-stream/hall/request/#");
            let broker = with_rules(folder.path(), &rules, QUEUES);
            let node = Node::start(&broker.url(), protocol, "A");
            (format!("{may} {protocol:?}"), lost, node, broker, folder)
        })
        .collect();
    thread::sleep(2 * LOOKED);
    for (what, lost, node, _, _) in &nodes {
        let faults = node.status.faults();
        let told = faults.iter().filter(|fault| fault.contains("requests do not arrive")).count();
        assert_eq!((faults.len(), told), (usize::from(*lost), usize::from(*lost)), "{what}: {faults:?}");
        assert!(node.status.connected(), "{what}");
    }
}

#[test]
fn messages_that_are_too_long_are_found_out() {
    for protocol in [Protocol::V3, Protocol::V5] {
        let what = format!("{protocol:?}");
        // events pass, the health document of many streams does not
        let broker = Broker::start_with(&format!("{QUEUES}\nmessage_size_limit 1500"));
        let node = Node::start(&broker.url(), protocol, "A");
        node.events(1);
        node.acked(2);
        node.say_health("A", &"long".repeat(500));
        node.fault(&what, &["cpc-stream/hall/health"]);
        let broker = Broker::start_with(&format!("{QUEUES}\nmessage_size_limit 300"));
        let node = Node::start(&broker.url(), protocol, "A");
        node.events(1);
        node.fault(&what, &["cpc-stream/hall/yard/event"]);
    }
}

/// Such a broker takes no last will that is to be kept. It is asked for less then, told of, and events go.
#[test]
fn a_broker_without_retained_messages_is_reported_and_gets_events() {
    for protocol in [Protocol::V3, Protocol::V5] {
        let broker = Broker::start_with("retain_available false");
        let seen = broker.subscribe("cpc-stream/hall/#");
        let node = Node::start(&broker.url(), protocol, "A");
        node.fault(&format!("{protocol:?}"), &["retain_available", "keeps no messages"]);
        node.events(3);
        node.acked(6);
        assert_eq!(seen.next("/status", LONG).payload, "online");
        node.stays(&format!("{protocol:?}"));
    }
}

#[test]
fn a_retained_request_that_is_far_too_large_ends_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, topics) in [
        (1_500_000, &["request/mute", "yard/set/budget"][..]),
        (20_000_000, &["request/mute", "yard/set/budget"]),
    ] {
        let file = folder.path().join("large");
        std::fs::write(&file, vec![b'x'; bytes]).unwrap();
        for protocol in [Protocol::V3, Protocol::V5] {
            let broker = Broker::start();
            for topic in topics {
                let port = broker.address().port().to_string();
                let topic = format!("cpc-stream/hall/{topic}");
                let arguments = ["-p", &port, "-r", "-q", "1", "-t", &topic, "-f"];
                let said = Command::new("mosquitto_pub").args(arguments).arg(&file).status();
                assert!(said.unwrap().success());
            }
            let node = Node::start(&broker.url(), protocol, "A");
            node.events(3);
            node.acked(6);
            if protocol == Protocol::V3 && bytes > 16 << 20 {
                node.fault("too large", &["cpc-stream/hall/", "is not heard", "too large"]);
                await_for("a connection that stays", LONG, || node.status.connected().then_some(()));
                node.events(3);
                node.acked(12);
            }
        }
    }
}

#[test]
fn two_nodes_of_one_name_find_each_other() {
    for protocol in [Protocol::V3, Protocol::V5] {
        let broker = Broker::start();
        let one = Node::start(&broker.url(), protocol, "A");
        let other = Node::start(&broker.url(), protocol, "B");
        for (node, boot) in [(&one, "A"), (&other, "B")] {
            node.say_health(boot, "1");
            node.fault(&format!("{protocol:?}"), &["another daemon", "hall"]);
        }
    }
}

/// Mosquitto's plugin refuses subscriptions themselves.
#[test]
fn a_subscription_that_is_refused_is_named() {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let plugin = folders.iter().map(|folder| Path::new(folder).join("mosquitto_dynamic_security.so"));
    let plugin = plugin.into_iter().find(|path| path.exists()).expect("Debian's mosquitto brings its plugin");
    let folder = tempfile::tempdir().unwrap();
    let rules = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false,
        "unsubscribe": true}, "clients": [], "groups": [{"groupname": "all", "roles": [], "clients": []}], "roles": [],
        "anonymousGroup": "all"}"#;
    std::fs::write(folder.path().join("rules.json"), rules).unwrap();
    for protocol in [Protocol::V3, Protocol::V5] {
        let broker = Broker::start_with(&format!(
            "plugin {}\nplugin_opt_config_file {}/rules.json",
            plugin.display(),
            folder.path().display()
        ));
        let node = Node::start(&broker.url(), protocol, "A");
        node.fault(&format!("{protocol:?}"), &["cpc-stream/hall/request/+", "refuses the subscription"]);
        node.events(2);
        node.acked(4);
        let faults = node.status.faults();
        assert!(faults.iter().all(|fault| fault.contains("subscription")), "{faults:?}");
    }
}
