//! Home Assistant's part, played on a real broker: it finds the device, reads every state by its template, uses every
//! command, comes back, and forgets what is gone. The schemas are held by a unit test beside the document.
#![cfg(feature = "mqtt")]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::{Broker, Subscriber, await_for};
use crate::support::daemon::{Daemon, program};
use cpc_stream::internal::cli::demo::Scene;
use minijinja::{Environment, context};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);
const CONFIG: &str = "homeassistant/device/hall/config";

/// What `template` makes of a payload, as Home Assistant renders it.
fn render(template: &str, payload: &str) -> String {
    let mut jinja = Environment::new();
    jinja.add_filter("to_json", |value: minijinja::Value| serde_json::to_string(&value).unwrap());
    jinja.add_filter("int", |value: String, other: i64| value.parse::<i64>().unwrap_or(other));
    let value_json: minijinja::Value = serde_json::from_str(payload).unwrap_or_default();
    jinja.render_str(template, context! { value => payload.to_owned(), value_json }).unwrap()
}

/// An entity as the document describes it.
struct Entity(Value);

impl Entity {
    fn of(document: &Value, key: &str) -> Self {
        let entity = &document["components"][key];
        assert!(entity.is_object(), "{key} is missing in {document}");
        Self(entity.clone())
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} of {}", self.0))
    }

    /// Its state after a payload on its topic.
    fn state(&self, payload: &str) -> String {
        self.0["value_template"].as_str().map_or_else(|| payload.to_owned(), |text| render(text, payload))
    }

    /// Waits until its state is `wanted`.
    fn await_state(&self, heard: &Subscriber, wanted: &str) {
        await_for(wanted, SOON, || {
            (self.state(&heard.next(self.text("state_topic"), SOON).payload) == wanted).then_some(())
        });
    }

    /// Asks for something on its command topic.
    fn command(&self, broker: &Broker, payload: &str) {
        broker.publish(self.text("command_topic"), payload);
    }
}

fn start(home: &Path, broker: &Broker, config: &str) -> Daemon {
    std::fs::write(home.join("c.toml"), config).unwrap();
    let mut command = program(home);
    command
        .args(["--config", "c.toml", "--node", "hall", "--broker", &broker.url(), "--state-dir", "state"])
        .stdin(Stdio::piped());
    Daemon::start(&mut command)
}

fn discovery(of: &Subscriber) -> Value {
    serde_json::from_str(&of.next(CONFIG, SOON).payload).unwrap()
}

#[test]
fn discovery_entities_appear_work_and_disappear() {
    // sounds in the second part; normal is learnt in the first
    let scene = Scene::machine_room(40.0, 8.0, 1).unwrap();
    let broker = Broker::start();
    let house = broker.subscribe("homeassistant/#");
    let listen = |what: &str| broker.subscribe(&format!("cpc-stream/hall/{what}"));
    let (settings, scores, healths) = (listen("+/state/+"), listen("+/score"), listen("health"));
    let (events, anomalies) = (listen("+/event"), listen("+/anomaly"));
    let days = listen("+/day/today");
    let pictures = broker.subscribe_hex("cpc-stream/hall/+/picture");
    let (statuses, sources) = (listen("status"), listen("+/availability"));
    let home = tempfile::tempdir().unwrap();
    let base = "[[source]]\nid = \"mill\"\nstdin = { format = \"f32le\" }\n[detect]\ncalibrate_seconds = 30.0\n\
                events_per_hour = 20.0\n[publish]\nhealth_s = 1\nday_s = 1\n";
    let all = "commands = [\"ack-event\", \"budget\", \"mute\", \"recalibrate\"]\n\
               [snapshots]\nspectrogram = true\npublish = true\n";
    let on = "[homeassistant]\nenable = true\nmute_s = 120\npage_url = \"http://hall.lan:8099/\"\n";
    let mut daemon = start(home.path(), &broker, &format!("{base}{all}{on}"));

    // it is found
    let document = discovery(&house);
    let entity = |what: &str| Entity::of(&document, &format!("mill_{what}"));
    assert_eq!(document["device"]["name"], "hall");
    assert_eq!(document["device"]["configuration_url"], "http://hall.lan:8099/");
    let kept = broker.subscribe(CONFIG).next(CONFIG, SOON);
    assert!(kept.retained && serde_json::from_str::<Value>(&kept.payload).unwrap() == document);

    // it is there: the node, and the stream
    let mut pipe = daemon.stdin();
    let bytes: Vec<u8> = scene.samples.iter().copied().flat_map(f32::to_le_bytes).collect();
    let (quiet, loud) = bytes.split_at(31 * 16_000 * 4);
    pipe.write_all(quiet).unwrap();
    let there = entity("score").0["availability"].clone();
    assert_eq!(there[0], document["availability"][0]);
    for (source, heard) in [(&there[0], &statuses), (&there[1], &sources)] {
        let payload = heard.next(source["topic"].as_str().unwrap(), SOON).payload;
        assert_eq!(render(source["value_template"].as_str().unwrap(), &payload), "online");
    }
    daemon.await_log(&["calibrated"], LONG);

    // its settings are read, and changed
    let (budget, mute) = (entity("budget"), entity("mute"));
    budget.await_state(&settings, "20");
    mute.await_state(&settings, "OFF");
    budget.command(&broker, "12.5");
    budget.await_state(&settings, "12.5");
    mute.command(&broker, mute.text("payload_on"));
    mute.await_state(&settings, mute.text("state_on"));
    mute.command(&broker, mute.text("payload_off"));
    mute.await_state(&settings, mute.text("state_off"));

    // what is heard
    pipe.write_all(loud).unwrap();
    let event = entity("event");
    let told: Value = serde_json::from_str(&event.state(&events.next("/event", LONG).payload)).unwrap();
    assert!(event.0["event_types"].as_array().unwrap().contains(&told["event_type"]), "{told}");
    assert_eq!((&told["event_type"], &told["stream"]), (&json!("new"), &json!("mill")));
    let anomaly = entity("anomaly");
    anomaly.await_state(&anomalies, anomaly.text("payload_on"));
    anomaly.await_state(&anomalies, anomaly.text("payload_off"));
    let today = entity("events_today");
    let since = await_for("an event today", SOON, || {
        let payload = days.next(today.text("state_topic"), SOON).payload;
        let counted = today.state(&payload).parse::<u64>().unwrap();
        (counted > 0).then(|| render(today.text("last_reset_value_template"), &payload))
    });
    assert!(since.ends_with('Z'), "{since}");
    let score = await_for("a score that is known", SOON, || {
        let payload = scores.next("/score", SOON).payload;
        (entity("state").state(&payload) == "watching").then_some(payload)
    });
    for what in ["score", "level", "novelty", "surprise"] {
        let state = entity(what).state(&score);
        assert!(state.parse::<f64>().is_ok(), "{what}: {state} of {score}");
    }
    let health = healths.next("/health", SOON).payload;
    for key in ["outbox", "load"] {
        let state = Entity::of(&document, key).state(&health);
        assert!(state.parse::<f64>().is_ok(), "{key}: {state}");
    }

    // its picture, which the broker keeps, and the verdict of who has seen it
    let picture = entity("picture");
    let png = pictures.next(picture.text("image_topic"), SOON).payload;
    assert!(png.to_ascii_lowercase().starts_with("89504e470d0a1a0a"), "{png:.40}");
    let button = entity("last_event_was_normal");
    button.command(&broker, button.text("payload_press"));
    daemon.await_log(&["somebody asks on cpc-stream/hall/request/ack-event: {", "last"], SOON);
    daemon.await_log(&["mill: event", "was judged: Normal"], SOON);

    let button = entity("recalibrate");
    button.command(&broker, button.text("payload_press"));
    daemon.await_log(&["mill: calibrating again, on request"], SOON);

    // Home Assistant comes back: all is said again
    for heard in [&house, &settings, &statuses] {
        heard.rest();
    }
    broker.publish("homeassistant/status", "online");
    assert_eq!(discovery(&house), document);
    budget.await_state(&settings, "12.5");
    statuses.next("/status", SOON);

    // stopped is as good as gone
    drop(pipe);
    daemon.stop(SOON);
    let payload = await_for("the last word", SOON, || {
        let payload = statuses.next("/status", SOON).payload;
        (payload == "stopped").then_some(payload)
    });
    assert_eq!(render(there[0]["value_template"].as_str().unwrap(), &payload), "offline");

    // the stream has another name and two commands are not allowed: what was is forgotten, then no longer named
    house.rest();
    let config = format!("{}commands = [\"mute\"]\n{on}", base.replace("mill", "saw"));
    let daemon = start(home.path(), &broker, &config);
    let forget = await_for("word of what is gone", SOON, || {
        let document = discovery(&house);
        document["components"].get("mill_event").is_some().then_some(document)
    });
    assert_eq!(forget["components"]["mill_event"], json!({"platform": "event"}));
    assert_eq!(forget["components"]["mill_budget"], json!({"platform": "number"}));
    let last = discovery(&house);
    let named = |what: &str| last["components"].get(what).is_some();
    assert!(named("saw_event") && named("saw_mute") && named("load"));
    assert!(!named("mill_event") && !named("saw_budget") && !named("saw_recalibrate"));
    assert!(!named("saw_picture") && !named("saw_last_event_was_normal"));
    // no picture stays at the broker, of a stream that is gone neither
    await_for("the end of the picture", SOON, || {
        pictures.next("/picture", SOON).payload.is_empty().then_some(())
    });
    assert_eq!(broker.subscribe("cpc-stream/hall/+/picture").rest(), []);
    daemon.stop(SOON);

    // switched off, it is taken out
    house.rest();
    let daemon = start(home.path(), &broker, base);
    assert_eq!(house.next(CONFIG, SOON).payload, "");
    assert_eq!(broker.subscribe(CONFIG).rest(), []);
    daemon.stop(SOON);
}
