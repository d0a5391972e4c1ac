//! The discovery document: every entity with its topics, in the words of Home Assistant.

use serde_json::{Map, Value, json};

use super::DiscoveryConfig;
use crate::event::DayName;
use crate::publish::config::PublishConfig;
use crate::publish::request::Command;
use crate::publish::topics::Topics;

/// Name of the origin, by which a retained document is recognised as ours.
pub(super) const ORIGIN: &str = "cpc-stream";

/// Score documents that may be missing before a sensor is unavailable, and the least such time in seconds.
const MISSED_SCORES: f64 = 5.0;
const SHORTEST_EXPIRY_S: f64 = 10.0;
/// Limits of the budget, events an hour: those of `detect.events_per_hour`.
const BUDGET: [f64; 2] = [0.01, 3600.0];

/// `status` says `stopped` too, which Home Assistant would pass over.
const NODE_IS_THERE: &str = "{{ 'online' if value == 'online' else 'offline' }}";
/// An event entity takes its type from `event_type`, and shows the other fields as attributes.
const EVENT: &str = "{{ dict(value_json, event_type=value_json.phase) | to_json }}";
/// Progress of the calibration in percent; 100 outside of a calibration.
const LEARNT: &str =
    "{{ (100 * (value_json.fraction if value_json.fraction is not none else 1)) | round(0) }}";
/// A sensor of device class `timestamp` is unknown for `None`.
const WATCHING_FROM: &str = "{{ value_json.until }}";
const MUTED: &str = "{{ 'ON' if value | int(0) > 0 else 'OFF' }}";

/// Icons of entities, by what they show or do; others have the icon of their device class.
const ICONS: [(&str, &str); 16] = [
    ("outbox", "mdi:tray-full"),
    ("load", "mdi:gauge"),
    ("event", "mdi:ear-hearing"),
    ("picture", "mdi:waveform"),
    ("learning", "mdi:progress-clock"),
    ("watching_from", "mdi:clock-start"),
    ("score", "mdi:chart-line"),
    ("level", "mdi:volume-high"),
    ("novelty", "mdi:chart-bell-curve"),
    ("surprise", "mdi:chart-bell-curve-cumulative"),
    ("state", "mdi:state-machine"),
    ("events_today", "mdi:calendar-today"),
    ("events_yesterday", "mdi:calendar-arrow-left"),
    ("budget", "mdi:speedometer"),
    ("mute", "mdi:volume-off"),
    ("recalibrate", "mdi:school"),
];
/// The button by which the last event was normal.
const WAS_NORMAL: (&str, &str) = ("last_event_was_normal", "mdi:check-circle-outline");

/// The sensors of score documents: field, unit, decimals, and whether they are enabled by default.
const SENSORS: [(&str, &str, Option<&str>, u32, bool); 4] = [
    ("score", "score", None, 1, true),
    ("level", "level_dbfs", Some("dBFS"), 1, true),
    ("novelty", "novelty", None, 2, false),
    ("surprise", "surprise", None, 2, false),
];

/// Inputs of the document.
pub(super) struct DocumentBuilder<'a> {
    pub(super) topics: &'a Topics,
    pub(super) publish: &'a PublishConfig,
    pub(super) discovery: DiscoveryConfig<'a>,
}

impl DocumentBuilder<'_> {
    /// The document.
    pub(super) fn document(&self) -> Value {
        let mut components = Map::new();
        self.add_node(&mut components);
        for stream in self.discovery.streams {
            self.add_stream(stream, &mut components);
        }
        let (node, version) = (self.topics.node(), env!("CARGO_PKG_VERSION"));
        let mut device = json!({
            "identifiers": [format!("{ORIGIN}-{node}")],
            "name": node,
            "manufacturer": ORIGIN,
            "model": "audio anomaly detector",
            "sw_version": version,
        });
        if let Some(page) = self.discovery.page {
            device["configuration_url"] = json!(page);
        }
        json!({
            "device": device,
            "origin": { "name": ORIGIN, "sw_version": version },
            "qos": 1,
            "availability": [self.node_is_there()],
            "components": components,
        })
    }

    fn node_is_there(&self) -> Value {
        json!({ "topic": self.topics.status(), "value_template": NODE_IS_THERE })
    }

    fn add_node(&self, components: &mut Map<String, Value>) {
        let expiry = 3 * self.publish.health_s + 5;
        for (key, template, unit) in [
            ("outbox", "{{ value_json.outbox.pending }}", "events"),
            ("load", "{{ value_json.load_percent }}", "%"),
        ] {
            let entity = json!({
                "platform": "sensor",
                "name": key,
                "state_topic": self.topics.health(),
                "value_template": template,
                "unit_of_measurement": unit,
                "state_class": "measurement",
                "entity_category": "diagnostic",
                "expire_after": expiry,
            });
            components.insert(key.to_owned(), self.named(key, key, entity));
        }
    }

    fn add_stream(&self, stream: &str, components: &mut Map<String, Value>) {
        let mut add = |what: &str, mut entity: Value| {
            let key = format!("{stream}_{what}");
            entity["name"] = json!(format!("{stream} {}", what.replace('_', " ")));
            // a day has its counts, and an event its picture and verdict, also while no sound comes
            if !what.starts_with("events_") && what != "picture" && what != WAS_NORMAL.0 {
                entity["availability_mode"] = json!("all");
                entity["availability"] = json!([
                    self.node_is_there(),
                    { "topic": self.topics.availability(stream), "value_template": "{{ value_json.state }}" },
                ]);
            }
            let entity = self.named(&key, what, entity);
            components.insert(key, entity);
        };
        add(
            "event",
            json!({
                "platform": "event",
                "state_topic": self.topics.event(stream),
                "event_types": ["new", "update", "end", "gap"],
                "value_template": EVENT,
            }),
        );
        add(
            "anomaly",
            json!({
                "platform": "binary_sensor",
                "state_topic": self.topics.anomaly(stream),
                "payload_on": "ON",
                "payload_off": "OFF",
                "device_class": "sound",
            }),
        );
        for (what, mut entity) in [
            ("learning", json!({ "value_template": LEARNT, "unit_of_measurement": "%" })),
            ("watching_from", json!({ "value_template": WATCHING_FROM, "device_class": "timestamp" })),
        ] {
            entity["platform"] = json!("sensor");
            entity["state_topic"] = json!(self.topics.progress(stream));
            entity["entity_category"] = json!("diagnostic");
            add(what, entity);
        }
        if self.publish.score_hz > 0.0 {
            let expiry = (MISSED_SCORES / self.publish.score_hz).ceil().max(SHORTEST_EXPIRY_S);
            for (what, field, unit, decimals, shown) in SENSORS {
                add(what, self.sensor(stream, (field, unit, decimals, shown), expiry));
            }
            add(
                "state",
                json!({
                    "platform": "sensor",
                    "state_topic": self.topics.score(stream),
                    "value_template": "{{ value_json.state }}",
                    "device_class": "enum",
                    "options": ["calibrating", "provisional", "watching", "relearning"],
                    "entity_category": "diagnostic",
                    "expire_after": expiry as u64,
                }),
            );
        }
        if self.publish.day_s > 0 {
            for day in [DayName::Today, DayName::Yesterday] {
                add(&format!("events_{}", day.as_str()), self.day(stream, day));
            }
        }
        if self.discovery.pictures {
            let (platform, topic) = ("image", self.topics.picture(stream));
            add(
                "picture",
                json!({ "platform": platform, "image_topic": topic, "content_type": "image/png" }),
            );
        }
        for (command, what) in [
            (Command::AckEvent, WAS_NORMAL.0),
            (Command::Budget, "budget"),
            (Command::Mute, "mute"),
            (Command::Recalibrate, "recalibrate"),
        ] {
            if self.publish.commands.contains(&command) {
                add(what, self.command(stream, command));
            }
        }
    }

    fn sensor(&self, stream: &str, figure: (&str, Option<&str>, u32, bool), expiry: f64) -> Value {
        let (field, unit, decimals, shown) = figure;
        let mut entity = json!({
            "platform": "sensor",
            "state_topic": self.topics.score(stream),
            "value_template": format!("{{{{ value_json.{field} }}}}"),
            "state_class": "measurement",
            "suggested_display_precision": decimals,
            "enabled_by_default": shown,
            "expire_after": expiry as u64,
        });
        if let Some(unit) = unit {
            entity["unit_of_measurement"] = json!(unit);
        }
        entity
    }

    /// The number of events of a day; its other counts are attributes.
    fn day(&self, stream: &str, day: DayName) -> Value {
        let topic = self.topics.day(stream, day);
        let mut entity = json!({
            "platform": "sensor",
            "state_topic": topic,
            "value_template": "{{ value_json.events }}",
            "json_attributes_topic": topic,
            "unit_of_measurement": "events",
        });
        if day == DayName::Today {
            entity["state_class"] = json!("total");
            entity["last_reset_value_template"] = json!("{{ value_json.since }}");
        }
        entity
    }

    fn command(&self, stream: &str, command: Command) -> Value {
        let (set, state) =
            (self.topics.set(stream, command.as_str()), self.topics.state(stream, command.as_str()));
        match command {
            Command::Budget => json!({
                "platform": "number",
                "command_topic": set,
                "state_topic": state,
                "min": BUDGET[0],
                "max": BUDGET[1],
                "step": 0.01,
                "mode": "box",
                "unit_of_measurement": "events/h",
                "entity_category": "config",
            }),
            Command::Mute => json!({
                "platform": "switch",
                "command_topic": set,
                "state_topic": state,
                "payload_on": self.discovery.config.mute_s.to_string(),
                "payload_off": "0",
                "value_template": MUTED,
                "state_on": "ON",
                "state_off": "OFF",
            }),
            Command::AckEvent => json!({
                "platform": "button",
                "command_topic": self.topics.request(command.as_str()),
                "payload_press":
                    json!({ "stream": stream, "last": true, "verdict": "normal" }).to_string(),
            }),
            other => json!({
                "platform": "button",
                "command_topic": self.topics.request(other.as_str()),
                "payload_press": json!({ "stream": stream }).to_string(),
                "entity_category": "config",
            }),
        }
    }

    /// Adds the unique id of Home Assistant, the default entity id and the icon.
    fn named(&self, key: &str, what: &str, mut entity: Value) -> Value {
        if let Some((_, icon)) = ICONS.iter().chain([&WAS_NORMAL]).find(|(of, _)| *of == what) {
            entity["icon"] = json!(icon);
        }
        let node = self.topics.node();
        let platform = entity["platform"].as_str().unwrap_or_default();
        let id = format!("{platform}.{node}_{key}").to_ascii_lowercase().replace('-', "_");
        entity["default_entity_id"] = json!(id);
        entity["unique_id"] = json!(format!("{ORIGIN}.{node}.{key}"));
        entity
    }
}
