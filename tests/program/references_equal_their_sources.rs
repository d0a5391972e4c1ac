//! `docs/config-reference.md` is what `config/default.toml` says, `docs/mqtt-reference.md` and the events of `python/cpc_stream.pyi` what
//! `docs/asyncapi.yaml` says.
//! To write them anew: `CPC_TEST_BLESS=1 cargo test --release --test program references_equal`.

use std::fmt::Write;
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

use crate::support::schema::Document;
use crate::typed_dict;

/// Compares a page with what it should be, or writes it where that is asked for.
fn hold(page: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("CPC_TEST_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{page} is not what its source says (CPC_TEST_BLESS=1 writes it anew); it differs at\n{differs:#?}"
    );
}

fn head(title: &str, source: &str) -> String {
    format!(
        "# {title}\n\n<!-- Made from {source} by `CPC_TEST_BLESS=1 cargo test --release --test program references_equal`: edit that. -->\n"
    )
}

/// Text as the content of a cell or a paragraph.
fn plain(text: &str) -> String {
    let mut out = String::new();
    // within code nothing has a meaning but the bars of the table
    for (i, piece) in text.split('`').enumerate() {
        let piece = piece.replace('|', "\\|");
        let piece = if i % 2 == 0 { piece.replace('<', "&lt;").replace('*', "\\*") } else { piece };
        if i > 0 {
            out.push('`');
        }
        out.push_str(&piece);
    }
    out
}

/// Keys that share a comment: name, default (None: unset) and, for these, an example.
struct Row {
    keys: Vec<(String, Option<String>, String)>,
    text: String,
}

#[derive(Default)]
struct Section {
    name: String,
    intro: Vec<String>,
    rows: Vec<Row>,
    sample: Vec<String>,
}

/// The documented configuration as sections: a comment belongs to the key below it, or, before an empty line of comment, to
/// its section.
fn sections(text: &str) -> Vec<Section> {
    let mut all = vec![Section::default()];
    let mut pending: Vec<&str> = Vec::new();
    let key = Regex::new("^(# )?([a-z_]+) = (.+)$").unwrap();
    for line in text.lines() {
        let here = all.last_mut().unwrap();
        let comment = line.strip_prefix('#').map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
        if let (false, Some(comment)) = (here.sample.is_empty(), comment) {
            here.sample.push(comment.to_owned());
        } else if comment == Some("[[source]]") {
            // its description stands above it, at the end of the section before
            let intro = here.intro.drain(here.intro.len() - 1..).collect();
            all.push(Section {
                name: "[[source]]".into(),
                intro,
                sample: vec!["[[source]]".into()],
                ..Section::default()
            });
        } else if let Some(found) = key.captures(line) {
            let (unset, value) = (found.get(1).is_some(), found[3].to_owned());
            let entry = (found[2].to_owned(), (!unset).then(|| value.clone()), value);
            if pending.is_empty() && !here.rows.is_empty() {
                here.rows.last_mut().unwrap().keys.push(entry);
            } else {
                here.rows.push(Row { keys: vec![entry], text: pending.join(" ") });
            }
            pending.clear();
        } else if line.is_empty() || comment == Some("") {
            if !pending.is_empty() {
                here.intro.push(pending.join(" "));
            }
            pending.clear();
        } else if let Some(comment) = comment {
            pending.push(comment);
        } else {
            assert!(line.starts_with('['), "neither comment, key nor section: {line}");
            all.push(Section { name: line.into(), ..Section::default() });
        }
    }
    assert!(pending.is_empty(), "a comment without a key at the end: {pending:?}");
    all
}

fn config_reference(text: &str) -> String {
    let mut out = head("Configuration reference", "config/default.toml");
    for section in sections(text) {
        if !section.name.is_empty() {
            write!(out, "\n## `{}`\n", section.name).unwrap();
        }
        for paragraph in &section.intro {
            write!(out, "\n{}\n", plain(paragraph)).unwrap();
        }
        if !section.sample.is_empty() {
            write!(out, "\n```toml\n{}\n```\n", section.sample.join("\n")).unwrap();
        }
        if !section.rows.is_empty() {
            out.push_str("\n| key | default | |\n| --- | --- | --- |\n");
        }
        section.rows.iter().for_each(|row| out.push_str(&key_row(row)));
    }
    out
}

fn key_row(row: &Row) -> String {
    let names: Vec<String> = row.keys.iter().map(|(name, ..)| format!("`{name}`")).collect();
    let unset = row.keys.iter().filter(|(_, value, _)| value.is_none());
    let examples: Vec<String> = unset.map(|(.., example)| format!("`{example}`")).collect();
    let values =
        row.keys.iter().map(|(_, value, _)| value.as_ref().map_or("unset".into(), |v| format!("`{v}`")));
    let mut values: Vec<String> = values.collect();
    values.dedup_by(|a, b| a == b && a == "unset");
    let example =
        if examples.is_empty() { String::new() } else { format!(" Example: {}.", examples.join(", ")) };
    format!("| {} | {} | {}{example} |\n", names.join(", "), values.join(", "), plain(&row.text))
}

/// What a value may be, in words.
fn kind(document: &Document, value: &Value) -> String {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let target = document.follow(value);
        if target["properties"].is_object() {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        return kind(document, target);
    }
    let words = |values: &Value| {
        let one = |v: &Value| v.as_str().map_or_else(|| format!("`{v}`"), |word| format!("`{word}`"));
        values.as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(", ")
    };
    if value["enum"].is_array() {
        return words(&value["enum"]);
    }
    if !value["const"].is_null() {
        return words(&Value::Array(vec![value["const"].clone()]));
    }
    if let Some(choices) = value["oneOf"].as_array() {
        return choices.iter().map(|choice| kind(document, choice)).collect::<Vec<_>>().join(" or ");
    }
    let name = match &value["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        one => one.as_str().unwrap_or("any").to_owned(),
    };
    let name = if value["items"].is_object() {
        format!("{name} of {}", kind(document, &value["items"]))
    } else {
        name
    };
    match (value["minimum"].as_f64(), value["maximum"].as_f64()) {
        (Some(low), Some(high)) => format!("{name}, {low} to {high}"),
        (Some(low), None) => format!("{name}, {low} or more"),
        _ => name,
    }
}

/// Rows of an object's fields: those that it always has first, in their order, then the others.
fn fields(document: &Document, schema: &Value, prefix: &str, out: &mut String) {
    let properties = schema["properties"].as_object().unwrap();
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map_or(Vec::new(), |names| names.iter().filter_map(Value::as_str).collect());
    let others = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    for name in required.iter().copied().chain(others) {
        let value = &properties[name];
        let text =
            value["description"].as_str().or(document.follow(value)["description"].as_str()).unwrap_or("");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let optional = if required.contains(&name) { "" } else { " (optional)" };
        let kind = kind(document, value);
        writeln!(out, "| `{prefix}{name}`{optional} | {kind} | {} |", plain(&text)).unwrap();
        if value["properties"].is_object() {
            fields(document, value, &format!("{prefix}{name}."), out);
        }
    }
}

/// The row of an operation: topic, delivery where the daemon publishes, payloads and what it is.
fn topic(document: &Document, operation: &Value) -> String {
    let channel = document.follow(&operation["channel"]);
    let mqtt = &operation["bindings"]["mqtt"];
    let delivery = mqtt["qos"].as_i64().map_or(String::new(), |qos| {
        format!("QoS {qos}{} | ", if mqtt["retain"] == true { ", retained" } else { "" })
    });
    let messages = channel["messages"].as_object().unwrap().values();
    let payloads = messages.map(|message| kind(document, &document.follow(message)["payload"]));
    let payloads = payloads.collect::<Vec<_>>().join(" or ");
    let title = channel["title"].as_str().unwrap();
    let what = match operation["description"].as_str() {
        Some(more) => format!("{title}. {more}"),
        None => title.to_owned(),
    };
    format!("| `{}` | {delivery}{payloads} | {} |\n", channel["address"].as_str().unwrap(), plain(&what))
}

fn mqtt_reference(text: &str) -> String {
    let document = Document::of(text);
    let mut out = head("MQTT reference", "docs/asyncapi.yaml");
    for paragraph in document.root()["info"]["description"].as_str().unwrap().trim().split("\n\n") {
        write!(out, "\n{}\n", plain(&paragraph.replace('\n', " "))).unwrap();
    }
    for (action, title) in [("send", "What the daemon publishes"), ("receive", "What it takes")] {
        let how = if action == "send" { "| delivery " } else { "" };
        let line = if action == "send" { "| --- " } else { "" };
        write!(out, "\n## {title}\n\n| topic {how}| payload | what |\n| --- {line}| --- | --- |\n").unwrap();
        let operations = document.root()["operations"].as_object().unwrap().values();
        let mut rows: Vec<String> = operations
            .filter(|operation| operation["action"] == action)
            .map(|o| topic(&document, o))
            .collect();
        rows.sort();
        out.push_str(&rows.concat());
    }
    let schemas = document.root()["components"]["schemas"].as_object().unwrap();
    let mut objects: Vec<(usize, &String, &Value)> = schemas
        .iter()
        .filter(|(_, schema)| schema["properties"].is_object())
        .map(|(name, schema)| (text.find(&format!("\n    {name}:")).unwrap(), name, schema))
        .collect();
    objects.sort_by_key(|(place, ..)| *place);
    for (_, name, schema) in objects {
        write!(out, "\n## {name}\n").unwrap();
        if let Some(text) = schema["description"].as_str() {
            write!(out, "\n{}\n", plain(text.trim())).unwrap();
        }
        out.push_str("\n| field | type | what |\n| --- | --- | --- |\n");
        fields(&document, schema, "", &mut out);
    }
    out
}

#[test]
fn the_configuration_reference_is_default_toml() {
    hold("docs/config-reference.md", &config_reference(include_str!("../../config/default.toml")));
}

#[test]
fn the_mqtt_reference_is_asyncapi_yaml() {
    hold("docs/mqtt-reference.md", &mqtt_reference(include_str!("../../docs/asyncapi.yaml")));
}

#[test]
fn the_python_stub_has_the_fields_of_a_finding() {
    let stub = include_str!("../../python/cpc_stream.pyi");
    let (before, rest) = stub.split_once("# Made from docs/asyncapi.yaml").unwrap();
    let (comment, rest) = rest.split_once("\n\n").unwrap();
    let (_, after) = rest.split_once("# End of it.\n").unwrap();
    let classes = typed_dict::of_finding(&Document::read());
    let expected =
        format!("{before}# Made from docs/asyncapi.yaml{comment}\n\n{classes}\n# End of it.\n{after}");
    hold("python/cpc_stream.pyi", &expected);
}

#[test]
fn every_key_has_its_row() {
    let text = config_reference(
        "# Head.\n\n# A name.\nnode = \"\"\n\n[a.b]\n# All of it.\n#\n# Two.\nx = 1\n# y = 2\n",
    );
    for line in ["Head.", "| `node` | `\"\"` | A name. |", "## `[a.b]`", "All of it."] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("| `x`, `y` | `1`, unset | Two. Example: `2`. |"), "{text}");
}
