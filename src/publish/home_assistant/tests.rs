//! The document against the schemas that Home Assistant checks it with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::DocumentBuilder;
use super::{DiscoveryConfig, HomeAssistant, HomeAssistantConfig, HomeAssistantMessage};
use crate::event::Verdict;
use crate::mqtt::link::Message;
use crate::publish::topics::Topics;
use crate::publish::{Command, PublishConfig, Request, RequestBody};

/// Keys that every entity may have (`MQTT_ENTITY_COMMON_SCHEMA`), as far as they are of use here.
const COMMON: [&str; 9] = [
    "platform",
    "name",
    "unique_id",
    "default_entity_id",
    "availability",
    "availability_mode",
    "entity_category",
    "enabled_by_default",
    "icon",
];

/// Platform, the keys it must have, the keys it may have.
const PLATFORMS: [(&str, &[&str], &[&str]); 7] = [
    ("event", &["state_topic", "event_types"], &["value_template", "device_class", "qos"]),
    (
        "binary_sensor",
        &["state_topic"],
        &["payload_on", "payload_off", "device_class", "value_template", "expire_after"],
    ),
    (
        "sensor",
        &["state_topic"],
        &[
            "value_template",
            "unit_of_measurement",
            "state_class",
            "suggested_display_precision",
            "expire_after",
            "device_class",
            "options",
            "json_attributes_topic",
            "last_reset_value_template",
        ],
    ),
    (
        "number",
        &["command_topic"],
        &["state_topic", "min", "max", "step", "mode", "unit_of_measurement", "value_template"],
    ),
    (
        "switch",
        &["command_topic"],
        &["state_topic", "payload_on", "payload_off", "value_template", "state_on", "state_off"],
    ),
    ("button", &["command_topic"], &["payload_press"]),
    ("image", &["image_topic"], &["content_type"]),
];

const DEVICE: [&str; 11] = [
    "identifiers",
    "connections",
    "manufacturer",
    "model",
    "name",
    "hw_version",
    "serial_number",
    "sw_version",
    "via_device",
    "suggested_area",
    "configuration_url",
];

fn keys(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap().keys().map(String::as_str).collect()
}

fn document(commands: &[Command], streams: &[&str]) -> Value {
    let streams: Vec<String> = streams.iter().map(|&id| id.to_owned()).collect();
    let publish = PublishConfig { commands: commands.to_vec(), ..PublishConfig::default() };
    let config = HomeAssistantConfig { enable: true, ..HomeAssistantConfig::default() };
    let page = Some("http://10.0.0.7:8099/");
    let discovery =
        DiscoveryConfig { config: &config, streams: &streams, page, pictures: !commands.is_empty() };
    DocumentBuilder { topics: &Topics::new("cpc-stream", "Hall-3").unwrap(), publish: &publish, discovery }
        .document()
}

/// What the schemas refuse.
fn check(document: &Value) {
    for key in ["device", "components", "origin"] {
        assert!(document[key].is_object(), "{key} is missing");
    }
    let allowed = ["device", "components", "origin", "qos", "availability", "availability_mode", "encoding"];
    assert!(keys(document).iter().all(|key| allowed.contains(key)), "{:?}", keys(document));
    assert!(keys(&document["device"]).iter().all(|key| DEVICE.contains(key)));
    assert!(!document["device"]["identifiers"].as_array().unwrap().is_empty());
    assert!(document["origin"]["name"].is_string());
    assert!(keys(&document["origin"]).iter().all(|key| ["name", "sw_version", "support_url"].contains(key)));
    let (mut unique, mut entities) = (BTreeSet::new(), BTreeSet::new());
    for (key, entity) in document["components"].as_object().unwrap() {
        let platform = entity["platform"].as_str().unwrap();
        let (_, must, may) = PLATFORMS.iter().find(|(name, ..)| *name == platform).unwrap();
        let has = keys(entity);
        assert!(must.iter().all(|key| has.contains(key)), "{key}: {has:?}");
        for name in &has {
            assert!(COMMON.contains(name) || must.contains(name) || may.contains(name), "{key}: {name}");
        }
        assert!(unique.insert(entity["unique_id"].as_str().unwrap()), "{key} stands twice");
        let id = entity["default_entity_id"].as_str().unwrap();
        let rest = id.strip_prefix(platform).unwrap().strip_prefix('.').unwrap();
        assert!(rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{id}");
        assert!(entities.insert(id), "{id} stands twice");
        assert!(entity["name"].is_string());
        let topics = entity.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_topic"));
        assert!(
            topics.map(|(_, topic)| topic.as_str().unwrap()).all(|t| t.starts_with("cpc-stream/Hall-3/"))
        );
        if let Some(category) = entity.get("entity_category") {
            assert!(["config", "diagnostic"].contains(&category.as_str().unwrap()));
            // what only shows something has no category `config`
            assert!(category == "diagnostic" || ["number", "switch", "button"].contains(&platform));
        }
        if entity["device_class"] == "enum" {
            assert!(entity["options"].is_array() && entity.get("state_class").is_none());
            assert!(entity.get("unit_of_measurement").is_none());
        }
        for source in entity.get("availability").and_then(Value::as_array).into_iter().flatten() {
            assert!(source["topic"].is_string() && source["value_template"].is_string());
        }
        assert!(entity.get("object_id").is_none(), "Home Assistant takes default_entity_id instead");
    }
}

#[test]
fn the_document_is_one_that_home_assistant_takes() {
    let all = document(&Command::ALL, &["kitchen", "kitchen_score", "yard-2"]);
    check(&all);
    // two of the node, sixteen of each stream
    assert_eq!(keys(&all["components"]).len(), 2 + 3 * 16);
    for (key, entity) in all["components"].as_object().unwrap() {
        let icon = entity["icon"].as_str().unwrap_or_default();
        assert!(icon.starts_with("mdi:") || entity["device_class"] == "sound", "{key}: {icon:?}");
    }
    assert_eq!(all["device"]["configuration_url"], "http://10.0.0.7:8099/");
    assert_eq!(all["components"]["yard-2_picture"]["image_topic"], "cpc-stream/Hall-3/yard-2/picture");
    let press = all["components"]["yard-2_last_event_was_normal"]["payload_press"].as_str().unwrap();
    let asked = Request::parse(Command::AckEvent, None, press.as_bytes()).unwrap().ask;
    let RequestBody::AckEvent(asked) = asked else { panic!("{asked:?}") };
    assert_eq!((asked.stream.as_deref(), asked.last, asked.verdict), (Some("yard-2"), true, Verdict::Normal));
    let today = &all["components"]["kitchen_events_today"];
    assert_eq!(today["json_attributes_topic"], "cpc-stream/Hall-3/kitchen/day/today");
    assert!(today["availability"].is_null() && today["state_class"] == "total", "{today}");
    assert_eq!(all["device"]["identifiers"], json!(["cpc-stream-Hall-3"]));
    let budget = &all["components"]["yard-2_budget"];
    assert_eq!(budget["command_topic"], "cpc-stream/Hall-3/yard-2/set/budget");
    assert_eq!(budget["default_entity_id"], "number.hall_3_yard_2_budget");
    let press = all["components"]["kitchen_recalibrate"]["payload_press"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(press).unwrap(), json!({"stream": "kitchen"}));
    let learning = &all["components"]["kitchen_learning"];
    assert_eq!(learning["state_topic"], "cpc-stream/Hall-3/kitchen/state");
    assert_eq!(all["components"]["kitchen_watching_from"]["device_class"], "timestamp");
    assert_eq!(all["components"]["kitchen_watching_from"]["name"], "kitchen watching from");
    assert!(all["components"]["kitchen_score"]["expire_after"].as_u64().unwrap() >= 5);
}

#[test]
fn a_command_that_is_not_allowed_has_no_entity() {
    for allowed in [&[][..], &[Command::Mute], &[Command::AckEvent, Command::Budget, Command::Recalibrate]] {
        let document = document(allowed, &["mic"]);
        check(&document);
        for (command, what) in [
            (Command::Budget, "budget"),
            (Command::Mute, "mute"),
            (Command::Recalibrate, "recalibrate"),
            (Command::AckEvent, "last_event_was_normal"),
        ] {
            let key = format!("mic_{what}");
            assert_eq!(document["components"].get(&key).is_some(), allowed.contains(&command), "{key}");
        }
        assert_eq!(document["components"].get("mic_picture").is_some(), !allowed.is_empty());
    }
}

const PICTURES: &str = "cpc-stream/hall/+/picture";

fn home(enable: bool, streams: &[String]) -> HomeAssistant {
    with_pictures(enable, streams, false)
}

fn with_pictures(enable: bool, streams: &[String], pictures: bool) -> HomeAssistant {
    let config = HomeAssistantConfig { enable, ..HomeAssistantConfig::default() };
    let discovery = DiscoveryConfig { config: &config, streams, page: None, pictures };
    HomeAssistant::new(&Topics::new("cpc-stream", "hall").unwrap(), &PublishConfig::default(), discovery)
}

fn says(topic: &str, payload: &[u8], retained: bool) -> Message {
    Message { retained, topic: topic.into(), payload: payload.into() }
}

#[test]
fn removed_entities_and_disabled_discovery_are_cleaned_up() {
    const TOPIC: &str = "homeassistant/device/hall/config";
    let both = home(true, &["a".into(), "b".into()]);
    let kept = both.payload().unwrap();
    let one = home(true, &["a".into()]);
    assert_eq!(
        one.handle(&says(TOPIC, &one.payload().unwrap(), true)),
        HomeAssistantMessage::Other,
        "nothing has changed"
    );
    assert_eq!(one.handle(&says(TOPIC, &kept, false)), HomeAssistantMessage::Other, "our own, on its way");
    let HomeAssistantMessage::Forget(payload) = one.handle(&says(TOPIC, &kept, true)) else {
        panic!("b is gone")
    };
    let document: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(document["components"]["b_anomaly"], json!({"platform": "binary_sensor"}));
    assert!(document["components"]["a_anomaly"]["unique_id"].is_string());
    // the same again, should the link have been lost in between
    assert_eq!(one.handle(&says(TOPIC, &payload, true)), HomeAssistantMessage::Forget(payload.clone()));

    let off = home(false, &["a".into()]);
    assert_eq!((off.payload(), off.filters().collect::<Vec<_>>()), (None, vec![TOPIC, PICTURES]));
    assert_eq!(off.handle(&says(TOPIC, &kept, true)), HomeAssistantMessage::TakeBack);
    let foreign = json!({"origin": {"name": "another"}, "components": {"x": {"platform": "sensor"}}});
    for stays in [foreign.to_string().as_bytes(), b"", b"no json"] {
        assert_eq!(off.handle(&says(TOPIC, stays, true)), HomeAssistantMessage::Other);
        assert_eq!(one.handle(&says(TOPIC, stays, true)), HomeAssistantMessage::Other);
    }
}

#[test]
fn pictures_that_are_no_longer_published_are_taken_back() {
    let (off, on) = (home(false, &["a".into()]), with_pictures(true, &["a".into()], true));
    assert!(off.only_cleans(PICTURES) && !on.filters().any(|filter| filter == PICTURES));
    let picture = says("cpc-stream/hall/gone/picture", b"PNG", true);
    assert_eq!(off.handle(&picture), HomeAssistantMessage::TakeBack);
    assert_eq!(on.handle(&picture), HomeAssistantMessage::Other);
    for (topic, payload, retained) in [
        ("cpc-stream/hall/a/picture", &b""[..], true),
        ("cpc-stream/hall/a/picture", b"PNG", false),
        ("cpc-stream/hall/a/b/picture", b"PNG", true),
        ("cpc-stream/hall/a/event", b"{}", true),
        ("cpc-stream/barn/a/picture", b"PNG", true),
    ] {
        assert_eq!(off.handle(&says(topic, payload, retained)), HomeAssistantMessage::Other, "{topic}");
    }
}

#[test]
fn only_a_fresh_birth_counts() {
    let home = home(true, &["a".into()]);
    assert_eq!(home.handle(&says("homeassistant/status", b"online", false)), HomeAssistantMessage::Birth);
    assert_eq!(home.handle(&says("homeassistant/status", b"offline", false)), HomeAssistantMessage::Other);
    assert_eq!(home.handle(&says("homeassistant/status", b"online", true)), HomeAssistantMessage::Other);
}

#[test]
fn wrong_settings_name_their_key() {
    for (text, key) in [
        ("prefix = 'a/#'", "homeassistant.prefix"),
        ("mute_s = 0", "homeassistant.mute_s"),
        ("page_url = 'ear:8099'", "homeassistant.page_url"),
    ] {
        let error = toml::from_str::<HomeAssistantConfig>(text).unwrap().validate().unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}
