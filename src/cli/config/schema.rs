//! The JSON Schema of the configuration, from the file that documents every key.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::Config;

/// The documentation of every key.
const DOCUMENTED: &str = include_str!("../../../config/default.toml");

/// A JSON Schema (2020-12) of configuration files: keys, types, what they mean, built-in defaults, ranges and choices. The ranges
/// are those that the descriptions tell, the choices those that the program takes; a test holds both against `cpc-stream check`.
pub(super) fn schema() -> Value {
    let mut root = Table::default();
    let (mut place, mut comment): (Vec<String>, String) = (Vec::new(), String::new());
    for line in DOCUMENTED.lines() {
        let bare = line.trim_start_matches("# ");
        if let Some(name) = bare.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            root.at(&[name.to_owned()]).several = true;
            (place, comment) = (vec![name.to_owned()], String::new());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (place, comment) = (name.split('.').map(str::to_owned).collect(), String::new());
            root.at(&place);
        } else if let Some((key, value, remark)) = setting(bare) {
            let words = if remark.is_empty() { comment.trim() } else { remark };
            let built_in = !line.starts_with('#');
            root.at(&place).keys.entry(key).or_insert_with(|| property(&value, words, built_in));
            comment.clear();
        } else if line.is_empty() || line == "#" {
            comment.clear();
        } else {
            comment.push_str(bare.trim());
            comment.push(' ');
        }
    }
    let mut schema = root.schema();
    name_choices(&mut schema, &mut Vec::new());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = format!("Configuration of cpc-stream {}", env!("CARGO_PKG_VERSION")).into();
    schema
}

/// Key, value and remark of a line `key = value   # remark`.
fn setting(line: &str) -> Option<(String, toml::Value, &str)> {
    let (key, rest) = line.split_once(" = ")?;
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
        return None;
    }
    let remark = rest.rsplit_once(" # ").map_or("", |(_, remark)| remark.trim());
    let table: toml::Table = format!("value = {rest}").parse().ok()?;
    Some((key.to_owned(), table.get("value")?.clone(), remark))
}

fn property(value: &toml::Value, words: &str, built_in: bool) -> Value {
    let mut schema = of_type(value);
    if !words.is_empty() {
        schema["description"] = words.into();
    }
    if built_in {
        schema["default"] = json!(value);
    }
    if let (toml::Value::Integer(_) | toml::Value::Float(_), Some(fields)) = (value, schema.as_object_mut()) {
        fields.extend(limits(words, value.is_integer()));
    }
    if let (toml::Value::String(word), Some(fields)) = (value, schema.as_object_mut())
        && words.contains(&format!("\"{word}\" or "))
    {
        let mut number = limits(words, true);
        number.insert("type".to_owned(), "integer".into());
        fields.remove("type");
        fields.insert("oneOf".to_owned(), json!([{ "const": word }, number]));
    }
    schema
}

/// The range of numbers that a description tells (`1 to 10`, `0 (none) to 10`, `1 or more`), or the numbers (`1, 3 or 5`).
fn limits(words: &str, whole: bool) -> Map<String, Value> {
    let mut plain = words.to_owned();
    while let Some((open, shut)) =
        plain.find(" (").and_then(|at| Some((at, at + plain.get(at..)?.find(')')?)))
    {
        plain.replace_range(open..=shut, "");
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let number = |word: &str| word.trim_end_matches([',', ';', ':', '.']).parse::<f64>().ok();
    let json_of = |number: f64| if whole { json!(number as i64) } else { json!(number) };
    let limit = |key: &str, number: f64| (key.to_owned(), json_of(number));
    for (at, window) in words.windows(3).enumerate() {
        let &[first, between, last] = window else { continue };
        let (Some(low), last_number) = (number(first), number(last)) else { continue };
        match (between, last_number) {
            ("to", Some(high)) => return Map::from_iter([limit("minimum", low), limit("maximum", high)]),
            ("or", None) if last.starts_with("more") => return Map::from_iter([limit("minimum", low)]),
            ("or", Some(high)) => {
                let before = words.iter().take(at).rev().map_while(|word| number(word.strip_suffix(',')?));
                let mut all: Vec<Value> = before.map(json_of).collect();
                all.reverse();
                all.extend([low, high].map(json_of));
                return Map::from_iter([("enum".to_owned(), Value::Array(all))]);
            }
            _ => {}
        }
    }
    // no number of a configuration is negative
    Map::from_iter([limit("minimum", 0.0)])
}

/// Gives keys for one of several words these words, as the program names them where it refuses another.
fn name_choices(schema: &mut Value, place: &mut Vec<String>) {
    let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, property) in keys {
        place.push(key.clone());
        let text = |property: &Value| property["type"] == "string";
        if text(property) {
            set_choices(property, choices(place, json!("?")));
        } else if let Some(item) = property.get_mut("items") {
            if text(item) {
                set_choices(item, choices(place, json!(["?"])));
            } else {
                name_choices(item, place);
            }
        } else {
            name_choices(property, place);
        }
        place.pop();
    }
}

fn set_choices(property: &mut Value, choices: Vec<String>) {
    if !choices.is_empty() {
        property["enum"] = choices.into();
    }
}

/// The words that the key of that place takes; none where it takes any.
fn choices(place: &[String], value: Value) -> Vec<String> {
    let config = place.iter().rev().fold(value, |inner, key| {
        let table = json!({ key: inner });
        if key == "source" { json!({ key: [table[key]] }) } else { table }
    });
    let Err(error) = Config::deserialize(config) else { return Vec::new() };
    let message = error.to_string();
    let Some((_, known)) = message.split_once("unknown variant `?`, expected ") else { return Vec::new() };
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn of_type(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(_) | toml::Value::Datetime(_) => json!({ "type": "string" }),
        toml::Value::Integer(_) => json!({ "type": "integer" }),
        toml::Value::Float(_) => json!({ "type": "number" }),
        toml::Value::Boolean(_) => json!({ "type": "boolean" }),
        // of lists that are empty by default all hold texts
        toml::Value::Array(items) => {
            let item = items.first().map_or_else(|| json!({ "type": "string" }), of_type);
            json!({ "type": "array", "items": item })
        }
        toml::Value::Table(inner) => {
            let keys: Map<String, Value> =
                inner.iter().map(|(key, value)| (key.clone(), of_type(value))).collect();
            json!({ "type": "object", "additionalProperties": false, "properties": keys })
        }
    }
}

#[derive(Default)]
struct Table {
    keys: Map<String, Value>,
    tables: Vec<(String, Table)>,
    /// It may stand several times.
    several: bool,
}

impl Table {
    /// The table of that path, made where it is missing.
    fn at(&mut self, path: &[String]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else { return self };
        let known = self.tables.iter().position(|(name, _)| name == first);
        let at = known.unwrap_or_else(|| {
            self.tables.push((first.clone(), Self::default()));
            self.tables.len() - 1
        });
        self.tables[at].1.at(rest)
    }

    fn schema(self) -> Value {
        let mut keys = self.keys;
        for (name, table) in self.tables {
            keys.insert(name, table.schema());
        }
        let table = json!({ "type": "object", "additionalProperties": false, "properties": keys });
        if self.several { json!({ "type": "array", "items": table }) } else { table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_types_descriptions_and_defaults() {
        let schema = schema();
        let of = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).clone();
        let budget = of("/properties/detect/properties/events_per_hour");
        assert_eq!((&budget["type"], &budget["default"]), (&json!("number"), &json!(1.0)));
        assert!(budget["description"].as_str().unwrap().contains("0.01 to 3600"));
        assert_eq!((&budget["minimum"], &budget["maximum"]), (&json!(0.01), &json!(3600.0)));
        assert_eq!(of("/properties/cluster/properties/replicas/enum"), json!([1, 3, 5]));
        assert_eq!(of("/properties/publish/properties/score_hz/minimum"), json!(0.0));
        assert_eq!(of("/properties/log/properties/format/enum"), json!(["text", "json"]));
        assert_eq!(of("/properties/publish/properties/commands/items/enum").as_array().unwrap().len(), 7);
        assert_eq!(of("/properties/source/items/properties/stdin/properties/format/enum/0"), "s16le");
        let device = of("/properties/source/items/properties/device");
        assert!(device["type"] == "string" && device.get("default").is_none());
        assert_eq!(of("/properties/source/items/properties/channels/items/type"), "integer");
        assert_eq!(of("/properties/source/items/properties/stdin/properties/rate/type"), "integer");
        assert_eq!(of("/properties/publish/properties/tls/properties/ca_file/type"), "string");
        assert_eq!(of("/properties/publish/properties/commands/items/type"), "string");
        assert_eq!(of("/properties/node/type"), "string");
        let most = of("/properties/model/properties/max_streams/oneOf");
        let number = json!({ "type": "integer", "minimum": 1, "maximum": 10_000 });
        assert_eq!(most, json!([{ "const": "auto" }, number]));
    }
}
