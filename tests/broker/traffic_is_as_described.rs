//! `docs/asyncapi.yaml` against what a daemon really says and takes.
#![cfg(feature = "mqtt")]

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use crate::support::broker::{Broker, ReceivedMessage};
use crate::support::daemon::{Daemon, run};
use crate::support::schema::Document;
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::publish::{Gap, GapReason};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_health_document_is_consistent() {
    let document = Document::read();
    let root = document.root();
    assert_eq!(root["asyncapi"], "3.0.0");
    assert!(root["info"]["title"].is_string());
    assert_eq!(root["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut found = Vec::new();
    references(root, &mut found);
    for reference in &found {
        document.follow(&json!({ "$ref": reference }));
    }
    // every channel has somebody who speaks there, and every message and schema somebody who uses it
    for (kind, under) in [
        ("channels", ""),
        ("messages", "/components"),
        ("schemas", "/components"),
        ("parameters", "/components"),
    ] {
        for name in root.pointer(&format!("{under}/{kind}")).unwrap().as_object().unwrap().keys() {
            let place = format!("#{under}/{kind}/{name}");
            assert!(found.contains(&place.as_str()), "nobody uses {place}");
        }
    }
    for operation in root["operations"].as_object().unwrap().values() {
        assert!(operation["action"] == "send" || operation["action"] == "receive", "{operation}");
    }
}

#[test]
fn the_schema_check_detects_faults() {
    let document = Document::read();
    let topic = "cpc-stream/hall/mic/availability";
    assert_eq!(document.faults(topic, r#"{"state":"online","reason":null}"#), Vec::<String>::new());
    for wrong in [
        r#"{"state":"online"}"#,
        r#"{"state":"gone","reason":null}"#,
        r#"{"state":"online","reason":3}"#,
        r#"{"state":"online","reason":null,"more":1}"#,
        "online",
    ] {
        assert_ne!(document.faults(topic, wrong), Vec::<String>::new(), "{wrong}");
    }
    assert_ne!(document.faults("cpc-stream/hall/mic/state/colour", "1"), Vec::<String>::new());
    let gap =
        Gap::new("mic", 3, "2026-01-02T03:04:05Z".into(), "2026-01-02T03:04:06.5Z".into(), GapReason::Size);
    let gap = serde_json::to_value(gap).unwrap();
    assert_eq!(document.check(document.schema("Gap"), &gap, "gap"), Vec::<String>::new());
    assert_ne!(document.check(document.schema("Event"), &gap, "gap"), Vec::<String>::new());
}

#[test]
fn all_topics_are_described_in_asyncapi() {
    let document = Document::read();
    let scene = Scene::machine_room(40.0, 8.0, 1).unwrap();
    let broker = Broker::start();
    let all = broker.subscribe("#");
    let (ends, answers) = (broker.subscribe("+/+/+/event"), broker.subscribe("+/+/response/+"));
    let home = tempfile::tempdir().unwrap();
    let config = "[publish]\ncommands = [\"ack-event\", \"mute\", \"budget\", \"recalibrate\", \"snapshot\", \"label\", \"reload\"]\n\
                  health_s = 1\nday_s = 1\n[snapshots]\nclip = true\n[detect]\ncalibrate_seconds = 30.0\n\
                  events_per_hour = 20.0\n[homeassistant]\nenable = true\n";
    let mut daemon = Daemon::of_a_pipe(home.path(), config, &broker.url());
    let mut pipe = daemon.stdin();
    let bytes: Vec<u8> = scene.samples.iter().copied().flat_map(f32::to_le_bytes).collect();
    pipe.write_all(&bytes).unwrap();
    daemon.await_log(&["calibrated"], LONG);
    let id = loop {
        let event: Value = serde_json::from_str(&ends.next("/event", LONG).payload).unwrap();
        if event["phase"] == "end" {
            break event["id"].as_str().unwrap().to_owned();
        }
    };
    broker.publish("cpc-stream/hall/stdin/set/budget", "12.5");
    answers.next("/budget", SOON);
    for (command, request) in [
        ("ack-event", json!({"id": id, "verdict": "normal", "transaction": "a"})),
        ("label", json!({"id": id, "label": "bench"})),
        ("mute", json!({"stream": "stdin", "seconds": 60})),
        ("mute", json!({"seconds": 0})),
        ("budget", json!({"events_per_hour": 7.5})),
        ("snapshot", json!({"stream": "stdin", "seconds": 3})),
        ("recalibrate", json!({"stream": "stdin"})),
        ("reload", json!({})),
    ] {
        broker.publish(&format!("cpc-stream/hall/request/{command}"), &request.to_string());
        let answer = answers.next(&format!("/{command}"), SOON).payload;
        assert!(answer.contains(r#""status":"ok""#), "{command}: {answer}");
    }
    // one that is refused is answered in the same form
    broker.publish("cpc-stream/hall/stdin/set/mute", "100000");
    assert!(answers.next("/mute", SOON).payload.contains(r#""status":"error""#));
    broker.publish("homeassistant/status", "online");
    let tried = run(home.path(), &["mqtt", "test", "--broker", &broker.url(), "--node", "hall"], SOON);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    drop(pipe);
    daemon.stop(SOON);

    let mut channels = BTreeSet::new();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last: &ReceivedMessage| last.payload != "stopped") {
        heard.push(all.next("", SOON));
    }
    // `mqtt test` tries the ways of events and availability with documents of its own, for a stream that nobody has
    for message in heard.iter().filter(|heard| !heard.topic.starts_with("cpc-stream/hall/test/")) {
        let faults = document.faults(&message.topic, &message.payload);
        assert_eq!(faults, Vec::<String>::new(), "{}: {}", message.topic, message.payload);
        channels.insert(document.channel(&message.topic).unwrap().0);
    }
    let described: BTreeSet<&str> =
        document.root()["channels"].as_object().unwrap().keys().map(String::as_str).collect();
    // embeddings and pictures are no text; tests of their own read them
    let no_text = |name: &&&str| **name == "embedding" || **name == "picture";
    let missing: Vec<&&str> = described.difference(&channels).filter(|name| !no_text(name)).collect();
    assert!(missing.is_empty(), "never heard: {missing:?} in {} messages", heard.len());

    // the broker keeps what the document says it keeps, and nothing else
    let kept = broker.subscribe("#").rest();
    let kept: BTreeSet<&str> = kept.iter().map(|kept| document.channel(&kept.topic).unwrap().0).collect();
    let operations = document.root()["operations"].as_object().unwrap();
    let retained = operations.values().filter(|operation| operation["bindings"]["mqtt"]["retain"] == true);
    let retained: BTreeSet<&str> = retained
        .map(|operation| operation["channel"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap())
        .filter(|name| *name != "picture")
        .collect();
    assert_eq!(kept, retained);
}
