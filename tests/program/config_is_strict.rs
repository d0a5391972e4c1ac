//! The documented configuration is the built-in one, and every layer over it counts as the documentation says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program};
use cpc_stream::internal::capture::{CaptureConfig, SourceConfig};
use cpc_stream::internal::config::Config;
use cpc_stream::internal::publish::PublishConfig;
use serde_json::{Value, json};

const DEFAULT: &str = include_str!("../../config/default.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");

/// What `config show` prints with these settings.
fn show(home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = program(home);
    command.args(["config", "show"]).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    let outcome = Daemon::start(&mut command).finish(Duration::from_secs(20));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.stdout
}

fn effective(home: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    toml::from_str(&show(home, arguments, environment)).unwrap()
}

#[test]
fn the_documented_defaults_are_the_built_in_ones() {
    assert_eq!(toml::from_str::<Config>(DEFAULT).unwrap(), Config::default());
    let minimal: Config = toml::from_str(MINIMAL).unwrap();
    minimal.validate().unwrap();
    assert_eq!(minimal.source, [SourceConfig::from_device("default")]);
}

fn keys_of(prefix: &str, value: &toml::Table, keys: &mut BTreeSet<String>) {
    for (key, value) in value {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => keys_of(&path, inner, keys),
            _ => drop(keys.insert(path)),
        }
    }
}

#[test]
fn every_key_is_documented() {
    // every key that a file can have, optional ones set
    let source = SourceConfig {
        file: Some("x".into()),
        stdin: Some(cpc_stream::internal::capture::PcmForm::default()),
        id: Some("x".into()),
        channels: Some(vec![0]),
        mqtt: Some("x".into()),
        ..SourceConfig::from_device("x")
    };
    let full = Config {
        capture: CaptureConfig { rate_hz: Some(48_000), ..CaptureConfig::default() },
        publish: PublishConfig {
            broker: Some("x".into()),
            username: Some("x".into()),
            password_file: Some("x".into()),
            ..PublishConfig::default()
        },
        ..Config::default()
    };
    let mut keys = BTreeSet::new();
    keys_of("", &toml::Table::try_from(&full).unwrap(), &mut keys);
    keys.remove("source");
    keys_of("source", &toml::Table::try_from(&source).unwrap(), &mut keys);
    let documented: BTreeSet<&str> = DEFAULT
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" ="))
        .map(|(key, _)| key.trim())
        .collect();
    for key in keys.iter().filter(|key| !key.starts_with("source.stdin.")) {
        let name = key.rsplit('.').next().unwrap();
        assert!(documented.contains(name), "config/default.toml says nothing of {key}");
    }
}

/// What `config schema` prints takes the documented defaults and every example, and refuses what the program refuses.
#[test]
fn the_schema_takes_every_example() {
    let home = tempfile::tempdir().unwrap();
    let printed =
        crate::support::daemon::run(home.path(), &["config", "schema"], std::time::Duration::from_secs(30));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let schema = crate::support::schema::Document::of(&printed.stdout);
    let faults = |text: &str| {
        let table: toml::Table = text.parse().unwrap();
        schema.check(schema.root(), &serde_json::to_value(table).unwrap(), "")
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut taken = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".toml") && name != "train.toml" {
            assert_eq!(faults(&std::fs::read_to_string(&path).unwrap()), Vec::<String>::new(), "{name}");
            taken += 1;
        }
    }
    assert!(taken >= 6, "{taken} examples");
    for text in [
        "nodes = \"x\"",
        "[model]\npaths = \"x\"",
        "[detect]\nevents_per_hour = \"x\"",
        "[[source]]\ndevices = \"x\"",
    ] {
        assert_eq!(faults(text).len(), 1, "{text}");
    }
}

/// Numbers and words of a schema, with the tables that they stand in.
fn leaves(schema: &Value, place: &[&str], found: &mut Vec<(Vec<String>, Value)>) {
    for (key, property) in schema["properties"].as_object().unwrap() {
        let place = [place, &[key.as_str()]].concat();
        if property.get("properties").is_some() {
            leaves(property, &place, found);
        } else if property["items"].get("properties").is_some() {
            leaves(&property["items"], &place, found);
        } else {
            found.push((place.iter().map(|&key| key.to_owned()).collect(), property.clone()));
        }
    }
}

/// Whether the program takes a configuration where this key has that value.
fn taken(place: &[String], value: Value) -> Result<(), String> {
    let inner = place.iter().rev().fold(value, |inner, key| {
        if key == "source" { json!({ key: [inner] }) } else { json!({ key: inner }) }
    });
    let mut table = toml::Table::try_from(inner).unwrap();
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap().entry(key).or_insert(value);
    };
    // what other keys must be for these
    if place.iter().any(|key| key.ends_with("_expiry_s")) {
        set("publish", "protocol", "5".into());
    }
    if place.iter().any(|key| key == "backoff_min_s") {
        set("publish", "backoff_max_s", toml::Value::Float(600.0));
    }
    if place.iter().any(|key| key == "backoff_max_s") {
        set("publish", "backoff_min_s", toml::Value::Float(0.01));
    }
    let config: Config = table.try_into().map_err(|error: toml::de::Error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())
}

/// The ranges and choices of the schema are those of the checks: each is held at its limits and just beyond.
#[test]
fn the_schema_has_the_ranges_and_choices_of_the_checks() {
    let home = tempfile::tempdir().unwrap();
    let printed = crate::support::daemon::run(home.path(), &["config", "schema"], Duration::from_secs(30));
    let schema: Value = serde_json::from_str(&printed.stdout).unwrap();
    let mut found = Vec::new();
    leaves(&schema, &[], &mut found);
    let (mut ranges, mut choices) = (0, 0);
    for (place, property) in found {
        let name = place.join(".");
        // a word or a number: the number
        let number = property["oneOf"]
            .as_array()
            .and_then(|forms| forms.iter().find(|form| form["type"] == "integer"));
        let property = number.unwrap_or(&property);
        // of a source a key alone is no source
        if place[0] == "source" && property["type"] != "string" {
            continue;
        }
        let whole = property["type"] == "integer";
        let next = |limit: f64, step: f64| {
            let value = if whole { limit + step } else { limit + step * limit.abs().max(1.0) * 1e-6 };
            if whole { json!(value as i64) } else { json!(value) }
        };
        if let Some(all) = property["enum"].as_array().or_else(|| property["items"]["enum"].as_array()) {
            let several = property.get("items").is_some();
            let of = |value: &Value| if several { json!([value]) } else { value.clone() };
            let beyond = if whole { json!(all.last().unwrap().as_i64().unwrap() + 1) } else { json!("?") };
            if place[0] != "source" {
                // some choices need a build or another key; none is unknown
                let unknown = |value: &Value| taken(&place, of(value)).err().unwrap_or_default();
                assert!(all.iter().all(|value| !unknown(value).contains("unknown variant")), "{name}");
                assert!(!whole || all.iter().all(|value| taken(&place, of(value)).is_ok()), "{name}");
            }
            assert!(taken(&place, of(&beyond)).is_err(), "{name} takes {beyond}");
            choices += 1;
        } else if ["integer", "number"].iter().any(|kind| property["type"] == *kind) {
            let [low, high] = ["minimum", "maximum"].map(|key| property[key].as_f64());
            let low = low.unwrap();
            for (limit, step) in [(Some(low), -1.0), (high, 1.0)] {
                let Some(limit) = limit else { continue };
                assert_eq!(taken(&place, next(limit, 0.0)), Ok(()), "{name} at {limit}");
                assert!(taken(&place, next(limit, step)).is_err(), "{name} takes {}", next(limit, step));
                ranges += 1;
            }
            // a key without an upper limit takes any number of its type
            assert!(high.is_some() || taken(&place, next(4e9, 0.0)).is_ok(), "{name} has an upper limit");
        } else if property["type"] == "string" {
            let told = taken(&place, json!("?")).err().unwrap_or_default();
            assert!(!told.contains("unknown variant"), "{name} is a choice: {told}");
        }
    }
    assert!(ranges >= 50 && choices >= 9, "{ranges} limits, {choices} choices");
}

#[test]
fn unknown_keys_are_refused_in_every_section() {
    for text in [
        "nodes = \"x\"",
        "[models]\npath = \"x\"",
        "[model]\npaths = \"x\"",
        "[capture]\nchunk = 1",
        "[detect]\nthreshold = 1.0",
        "[publish]\nqos = 1",
        "[homeassistant]\nenabled = true",
        "[cluster]\nservers = \"x\"",
        "[snapshots]\npicture = true",
        "[http]\nport = 1",
        "[log]\nlevel = \"info\"",
        "[[source]]\ndevise = \"hw:0\"",
        "[[source]]\nstdin = { bits = 16 }",
    ] {
        assert!(toml::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn a_pool_is_sent_to_the_cluster() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("c.toml"), "[pool]\nenable = true\n").unwrap();
    for (arguments, environment) in [
        (&["check", "--config", "c.toml"][..], None),
        (&["check", "--device", "default"], Some(("CPC_STREAM_POOL__ENABLE", "true"))),
    ] {
        let mut command = program(home.path());
        command.args(arguments).envs(environment).stdin(Stdio::null());
        let outcome = Daemon::start(&mut command).finish(Duration::from_secs(20));
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("[cluster]") && outcome.stderr.contains("docs/cluster.md"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_defaults() {
    let home = tempfile::tempdir().unwrap();
    let text =
        "node = \"file\"\n[detect]\nevents_per_hour = 2.0\ncalibrate_seconds = 20.0\nhang_ms = 300.0\n";
    std::fs::write(home.path().join("c.toml"), text).unwrap();
    let environment =
        [("CPC_STREAM_DETECT__EVENTS_PER_HOUR", "3"), ("CPC_STREAM_DETECT__CALIBRATE_SECONDS", "30")];
    let arguments = ["--config", "c.toml", "--calibrate-seconds", "40"];
    let found = effective(home.path(), &arguments, &environment);
    let mut expected = Config { node: "file".into(), ..Config::default() };
    expected.detect.hang_ms = 300.0;
    expected.detect.events_per_hour = 3.0;
    expected.detect.calibrate_seconds = 40.0;
    assert_eq!(found, expected);

    let origins = show(home.path(), &[&["--origin"], arguments.as_slice()].concat(), &environment);
    for (key, origin) in [
        ("node = ", "c.toml"),
        ("detect.hang_ms = 300.0", "c.toml"),
        ("detect.events_per_hour = 3.0", "# variable CPC_STREAM_DETECT__EVENTS_PER_HOUR"),
        ("detect.calibrate_seconds = 40.0", "# flag"),
        ("detect.skip_k = 2", "# default"),
        ("publish.prefix = ", "# default"),
    ] {
        let line = origins.lines().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("{key} is not in\n{origins}"));
        assert!(line.contains(origin), "{line}: not from {origin}");
    }
}

#[test]
fn printed_configuration_reads_back() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "--device",
        "hw:0",
        "--input",
        "x.wav",
        "--input",
        "-",
        "--channel",
        "0,1",
        "--fast",
        "--broker",
        "mqtt://ear@host:1884",
        "--node",
        "hall",
        "--model",
        "m.safetensors",
        "--state-dir",
        "state",
        "--events-per-hour",
        "0.1",
        "--calibrate-seconds",
        "12.5",
        "--chunk-ms",
        "7",
        "--must-exist",
        "--threads",
        "2",
        "--hop-batch",
        "4",
    ];
    let shown = show(home.path(), &arguments, &[]);
    std::fs::write(home.path().join("c.toml"), &shown).unwrap();
    assert_eq!(show(home.path(), &["--config", "c.toml"], &[]), shown);
    let config: Config = toml::from_str(&shown).unwrap();
    assert_eq!(config.source.len(), 3);
    assert_eq!((config.capture.chunk_ms, config.capture.must_exist, config.model.threads), (7, true, 2));
    assert_eq!(config.model.hop_batch, 4);
    assert_eq!(config.publish.broker.as_deref(), Some("mqtt://ear@host:1884"));
    assert_eq!(toml::from_str::<Config>(&show(home.path(), &[], &[])).unwrap(), Config::default());
}
