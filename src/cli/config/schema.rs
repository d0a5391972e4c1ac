//! The JSON Schema of the configuration, from the file that documents every key.

use serde_json::{Map, Value, json};

/// The documentation of every key.
const DOCUMENTED: &str = include_str!("../../../config/default.toml");

/// A JSON Schema (2020-12) of configuration files: keys, types, what they mean, built-in defaults. Ranges are told in the
/// descriptions and checked by `cpc-stream check`.
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
    schema
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
        let device = of("/properties/source/items/properties/device");
        assert!(device["type"] == "string" && device.get("default").is_none());
        assert_eq!(of("/properties/source/items/properties/channels/items/type"), "integer");
        assert_eq!(of("/properties/source/items/properties/stdin/properties/rate/type"), "integer");
        assert_eq!(of("/properties/publish/properties/tls/properties/ca_file/type"), "string");
        assert_eq!(of("/properties/publish/properties/commands/items/type"), "string");
        assert_eq!(of("/properties/node/type"), "string");
    }
}
