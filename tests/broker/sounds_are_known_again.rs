//! An event that an operator has labelled is known again: by later documents over MQTT, on HTTP, after a kill, and on another node that
//! was given the labels as a file. What sounds otherwise has no label. The counts of the day over MQTT follow.
#![cfg(all(feature = "mqtt", feature = "http"))]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::broker::{Broker, Subscriber, await_for};
use crate::support::daemon::{Daemon, program, run};
use crate::support::http::{Answer, address, get, post};
use crate::support::sound::{bytes, room_with};

const LIMIT: Duration = Duration::from_secs(60);
const OPERATOR: &str = "operators-0123456789";
/// Seconds without events at the start.
const QUIET: u32 = 16;

struct Node {
    daemon: Daemon,
    at: String,
    stdin: ChildStdin,
    events: Subscriber,
    /// This run: documents of the one before may come once more.
    boot: Value,
}

impl Node {
    fn start(home: &Path, broker: &Broker, name: &str) -> Self {
        fs::write(home.join("operators"), format!("{OPERATOR}\n")).unwrap();
        let events = broker.subscribe(&format!("cpc-stream/{name}/+/event"));
        let mut command = program(home);
        command
            .args(["--input", "-", "--http", "127.0.0.1:0", "--node", name, "--broker", &broker.url()])
            .args(["--events-per-hour", "60", "--calibrate-seconds", "12"])
            .env("CPC_STREAM_HTTP__OPERATOR_TOKEN_FILE", home.join("operators"))
            .env("CPC_STREAM_DETECT__REPEAT_AFTER_S", "0")
            .env("CPC_STREAM_PUBLISH__COMMANDS", r#"["label"]"#)
            .env("CPC_STREAM_PUBLISH__DAY_S", "1")
            .env("TZ", format!("NOON{:+}", *MIDNIGHT))
            .stdin(Stdio::piped());
        let mut daemon = Daemon::start(&mut command);
        let (at, stdin) = (address(&daemon), daemon.stdin());
        let boot = get(&at, "/api/v1/overview").json()["health"]["boot"].clone();
        Self { daemon, at, stdin, events, boot }
    }

    /// Sends a room with these sounds, 4 s each, and gives the end documents of their events.
    fn hear(&mut self, quiet_s: u32, sounds: &str) -> Vec<Value> {
        self.stdin.write_all(&bytes(&room_with(quiet_s, sounds))).unwrap();
        sounds.chars().map(|_| self.next_end()).collect()
    }

    fn next_end(&self) -> Value {
        loop {
            let event: Value = serde_json::from_str(&self.events.next("/event", LIMIT).payload).unwrap();
            if event["phase"] == "end" && event["boot"] == self.boot {
                return event;
            }
        }
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        post(&self.at, path, &[("Authorization", &format!("Bearer {OPERATOR}"))], body)
    }

    fn labels(&self) -> Value {
        get(&self.at, "/api/v1/labels").json()["labels"].clone()
    }
}

/// Hours after midnight in UTC at which days begin here: it is noon now, far from the end of a day.
static MIDNIGHT: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    now % 86_400 / 3600 - 12
});

/// Waits for the counts of a day with so many events, so many of them with the label.
fn next_day(days: &Subscriber, events: u64, (label, labelled): (&str, u64)) -> Value {
    await_for("the counts of the day", LIMIT, || {
        let day: Value = serde_json::from_str(&days.next("/day/today", LIMIT).payload).unwrap();
        (day["events"] == events && day["labels"][label] == labelled).then_some(day)
    })
}

fn has(event: &Value, label: &str, heard: u64) {
    assert_eq!((event["label"].as_str(), event["heard"].as_u64()), (Some(label), Some(heard)), "{event}");
    let similarity = event["similarity"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&similarity), "{event}");
}

fn has_none(event: &Value) {
    assert!(["label", "similarity", "heard"].iter().all(|key| event.get(key).is_none()), "{event}");
}

#[test]
fn a_label_is_known_again_and_what_is_unknown_stays_unknown() {
    let broker = Broker::start();
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), &broker, "hall");
    let answers = broker.subscribe("cpc-stream/hall/response/label");
    let days = broker.subscribe("cpc-stream/hall/stdin/day/today");
    let events = node.hear(QUIET, "wr");
    events.iter().for_each(has_none);

    let id = events[0]["id"].as_str().unwrap().to_owned();
    let ask = |request: &str| -> Value {
        broker.publish("cpc-stream/hall/request/label", request);
        serde_json::from_str(&answers.next("/label", LIMIT).payload).unwrap()
    };
    let done = ask(&format!(r#"{{"id":"{id}","label":" whistle ","transaction":"t"}}"#));
    assert_eq!((done["status"].as_str(), done["transaction"].as_str()), (Some("ok"), Some("t")), "{done}");
    for (request, why) in [
        (r#"{"id":"01J00000000000000000000000","label":"x"}"#, "no such event"),
        (r#"{"label":"horn","delete":true}"#, "no label"),
        (r#"{"label":"whistle"}"#, "not one of id, rename and delete"),
    ] {
        let refused = ask(request);
        assert!(refused["error"].as_str().unwrap_or_default().contains(why), "{request}: {refused}");
    }
    let again = node.hear(0, "wr");
    has(&again[0], "whistle", 2);
    has_none(&again[1]);

    // whoever may look finds what sounds like it, most similar first, and nothing else
    let (asked, first) = (&again[0]["id"], &events[0]["id"]);
    let path = format!("/api/v1/events/{}/similar", asked.as_str().unwrap());
    let similar = get(&node.at, &path).json();
    let found: Vec<&Value> = similar["events"].as_array().unwrap().iter().map(|event| &event["id"]).collect();
    assert_eq!((found, similar["compared"].as_u64()), (vec![first], Some(3)), "{similar}");
    let known = &similar["events"][0];
    assert_eq!((&known["label"], &known["stream"]), (&"whistle".into(), &"stdin".into()), "{similar}");
    assert!(known["similarity"].as_f64() >= similar["least"].as_f64(), "{similar}");
    assert_eq!(get(&node.at, &format!("{path}?limit=0")).code, 400);
    assert_eq!(get(&node.at, "/api/v1/events/01J00000000000000000000000/similar").code, 404);

    let day = next_day(&days, 4, ("whistle", 2));
    println!("{day}");
    let start = format!("T{:02}:00:00.000Z", MIDNIGHT.rem_euclid(24));
    assert!(day["since"].as_str().unwrap().ends_with(&start), "{start}: {day}");
    assert_eq!(day["verdicts"], serde_json::json!({ "normal": 0, "anomaly": 0, "none": 4 }));
    assert_eq!((&day["first"], &day["last"]), (&events[0]["onset"], &again[1]["onset"]));
    let reported: Vec<&Value> = events.iter().chain(&again).collect();
    let highest = reported.iter().map(|event| event["severity"].as_u64()).max().unwrap();
    let worst = reported.iter().rev().find(|event| event["severity"].as_u64() == highest).unwrap();
    for field in ["id", "onset", "severity", "kind", "summary"] {
        assert_eq!(day["worst"][field], worst[field], "{field}: {day}");
    }
    for counts in ["kinds", "severities", "hours"] {
        let counts = match &day[counts] {
            Value::Array(hours) => hours.iter().filter_map(Value::as_u64).sum(),
            counts => counts.as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(),
        };
        assert_eq!(counts, 4, "{day}");
    }
    assert!(day["analysed_s"].as_f64().unwrap() > 12.0, "{day}");

    // the same by its store, and there is a filter for it
    let found = get(&node.at, "/api/v1/events?label=whistle").json()["events"].clone();
    let sources: Vec<&str> =
        found.as_array().unwrap().iter().map(|event| event["label_source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["similarity", "operator"], "{found}");
    assert_eq!(node.labels(), serde_json::json!([{ "label": "whistle", "examples": 1, "heard": 2 }]));

    node.daemon.kill();
    let mut node = Node::start(home.path(), &broker, "hall");
    let after = node.hear(QUIET, "rw");
    has_none(&after[0]);
    has(&after[1], "whistle", 3);
    next_day(&days, 6, ("whistle", 3));

    // an operator corrects it, and names the other sound
    let other = after[0]["id"].as_str().unwrap();
    let reviewed = node.post(&format!("/api/v1/events/{other}/review"), r#"{"label":"rattle"}"#);
    assert_eq!(reviewed.json()["event"]["label_source"], "operator", "{}", reviewed.body);
    let mixed = node.hear(0, "wr");
    has(&mixed[0], "whistle", 4);
    has(&mixed[1], "rattle", 2);
    let renamed = node.post("/api/v1/request/label", r#"{"label":"whistle","rename":"kettle"}"#);
    assert_eq!((renamed.code, renamed.json()["examples"].as_u64()), (200, Some(1)), "{}", renamed.body);
    let file = get(&node.at, "/api/v1/labels/export").body;
    assert_eq!(node.post("/api/v1/labels/import", &file).json()["known"], 2, "what is there stays");
    let refused = post(&node.at, "/api/v1/labels/import", &[], &file);
    assert_eq!(refused.code, 403, "{}", refused.body);
    node.daemon.signal("TERM");
    drop(node.stdin);
    node.daemon.finish(LIMIT);

    // another node takes the labels, by the command while it does not run, and knows the sounds
    let (there, labels) = (tempfile::tempdir().unwrap(), home.path().join("labels.json"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let exported = run(home.path(), &["labels", "export", "--out", &path(&labels)], LIMIT);
    assert!(exported.stdout.starts_with("2 examples in "), "{}{}", exported.stdout, exported.stderr);
    assert_eq!(
        serde_json::from_str::<Value>(&file).unwrap(),
        serde_json::from_slice::<Value>(&fs::read(&labels).unwrap()).unwrap()
    );
    let other = Node::start(there.path(), &broker, "yard");
    assert_eq!(other.labels(), serde_json::json!([]));
    other.daemon.kill();
    let said = |arguments: &[&str]| {
        let outcome = run(there.path(), &[&["labels"], arguments].concat(), LIMIT);
        format!("{}{}", outcome.stdout, outcome.stderr)
    };
    assert_eq!(said(&["import", &path(&labels)]), "2 examples added, 0 known before");
    assert_eq!(said(&["list"]), "kettle: 1 example, heard 0 times\nrattle: 1 example, heard 0 times");
    assert!(said(&["delete", "horn"]).contains("there is no label \"horn\""));
    let mut other = Node::start(there.path(), &broker, "yard");
    let heard = other.hear(QUIET, "wr");
    has(&heard[0], "kettle", 1);
    has(&heard[1], "rattle", 1);
    assert!(said(&["list"]).contains("stop the daemon first"));
    assert_eq!(other.post("/api/v1/request/label", r#"{"label":"rattle","delete":true}"#).code, 200);
    let last = other.hear(0, "rw");
    has_none(&last[0]);
    has(&last[1], "kettle", 2);
    await_for("the counts on the disk", LIMIT, || {
        (other.labels() == serde_json::json!([{ "label": "kettle", "examples": 1, "heard": 2 }]))
            .then_some(())
    });
    other.daemon.kill();
}
