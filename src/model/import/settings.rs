//! Settings of a training run: `checkpoint_args.json`, or the `config` of a checkpoint.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use super::ImportReport;
use crate::error::{Error, Result};
use crate::torch_file::{Kind, Value};

const MAX_BYTES: u64 = 1 << 20;

/// A plain value of a setting.
#[derive(Debug, Clone, PartialEq)]
enum Setting {
    /// `null`, which is a value for some settings and absence for others.
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    /// Of another type; no setting that is read here has it.
    Other(String),
}

/// The settings by their names in CPC_audio.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, Setting>,
    origin: String,
}

impl Settings {
    /// Reads a `checkpoint_args.json`.
    pub(super) fn from_json(path: &Path) -> Result<Self> {
        let shown = path.display();
        let fix = "give the checkpoint_args.json that training wrote beside the checkpoint (`--args FILE`)";
        let failed = |e: &dyn Display| Error::model(format!("settings {shown}: {e}"), fix);
        let length = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
        if length > MAX_BYTES {
            return Err(failed(&format!("{length} bytes, at most {MAX_BYTES} expected")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|e| failed(&e))?;
        let plain = |value: serde_json::Value| match value {
            serde_json::Value::Null => Setting::None,
            serde_json::Value::Bool(value) => Setting::Bool(value),
            serde_json::Value::String(text) => Setting::Text(text),
            serde_json::Value::Number(number) => {
                number.as_i64().map_or_else(|| Setting::Other(number.to_string()), Setting::Int)
            }
            other => Setting::Other(other.to_string()),
        };
        let values = object.into_iter().map(|(key, value)| (key, plain(value))).collect();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Ok(Self { values, origin: name.into_owned() })
    }

    /// Reads the `config` of a checkpoint.
    pub(super) fn from_value(config: Value<'_>) -> Self {
        let plain = |value: Value<'_>| match value.kind() {
            Kind::None => Setting::None,
            Kind::Bool(value) => Setting::Bool(value),
            Kind::Int(value) => Setting::Int(value),
            Kind::Text(text) => Setting::Text(text.to_owned()),
            Kind::Float(value) => Setting::Other(value.to_string()),
            Kind::Other(class) => Setting::Other(format!("an object of {class}")),
            Kind::List | Kind::Dict | Kind::Tensor(_) => Setting::Other("a collection".to_owned()),
        };
        let entry = |(key, value): (Value<'_>, Value<'_>)| match key.kind() {
            Kind::Text(key) => Some((key.to_owned(), plain(value))),
            _ => None,
        };
        let values = config.entries().filter_map(entry).collect();
        Self { values, origin: "its own config".to_owned() }
    }

    /// Where they came from.
    pub(super) fn origin(&self) -> &str {
        if self.values.is_empty() { "none" } else { &self.origin }
    }

    /// Whether `key` is given, be it as nothing.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The integer called `key`, if it is given.
    pub(super) fn int(&self, key: &str) -> Result<Option<i64>> {
        match self.values.get(key) {
            None | Some(Setting::None) => Ok(None),
            Some(Setting::Int(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, other, "an integer")),
        }
    }

    /// The text called `key`, if it is given.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.values.get(key) {
            None | Some(Setting::None) => Ok(None),
            Some(Setting::Text(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, other, "a text")),
        }
    }

    /// Whether `key` is given and true.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.values.get(key) == Some(&Setting::Bool(true))
    }

    /// Compares a size with what the tensors say; notes it where nothing is given.
    pub(super) fn agree_int(&self, key: &str, found: usize, report: &mut ImportReport) -> Result<()> {
        match self.int(key)? {
            Some(given) if given != found as i64 => Err(self.disagree(key, &given, &found)),
            Some(_) => Ok(()),
            None => {
                report.assumed.push(format!("{key} {found}, from the tensors"));
                Ok(())
            }
        }
    }

    /// Compares a kind with what the tensors say; notes it where nothing is given.
    pub(super) fn agree_text(&self, key: &str, found: &str, report: &mut ImportReport) -> Result<()> {
        match self.text(key)? {
            Some(given) if given != found => Err(self.disagree(key, &given, &found)),
            Some(_) => Ok(()),
            None => {
                report.assumed.push(format!("{key} {found}, from the tensors"));
                Ok(())
            }
        }
    }

    fn disagree(&self, key: &str, given: &dyn Display, found: &dyn Display) -> Error {
        Error::model(
            format!("`{key}` is {given} in {}, but the tensors say {found}", self.origin),
            "give the checkpoint_args.json that belongs to this checkpoint (`--args FILE`)",
        )
    }

    fn wrong(&self, key: &str, found: &Setting, expected: &str) -> Error {
        let shown = match found {
            Setting::None => "None".to_owned(),
            Setting::Bool(value) => value.to_string(),
            Setting::Int(value) => value.to_string(),
            Setting::Text(text) => format!("`{text}`"),
            Setting::Other(what) => what.clone(),
        };
        Error::model(
            format!("`{key}` is {shown:.80} in {}, {expected} expected", self.origin),
            "give settings of plain values in a JSON file (`--args FILE`)",
        )
    }
}
