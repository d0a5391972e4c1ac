//! Merging file, environment and flags, strictly.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Read;
use std::path::Path;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile, Provider};
use serde::Serialize;
use toml::de::DeTable;

use super::Config;
use crate::error::{Error, Result};

/// Bytes of a configuration file, at most: the documented one has 10,000.
const MAX_BYTES: u64 = 1 << 20;

/// From this likeness on (Jaro-Winkler) one key is taken for another misspelt.
const LIKE: f64 = 0.8;

const ENV_PREFIX: &str = "CPC_STREAM_";

/// The effective configuration, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    figment: Figment,
}

impl Loaded {
    /// Every key with its effective value and its origin, in the order of the file format.
    #[must_use]
    pub fn origins(&self) -> Vec<(String, String, String)> {
        let mut rows = Vec::new();
        if let Ok(toml::Value::Table(table)) = toml::Value::try_from(&self.config) {
            self.walk("", &table, &mut rows);
        }
        rows
    }

    fn walk(&self, prefix: &str, table: &toml::Table, rows: &mut Vec<(String, String, String)>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if let toml::Value::Table(inner) = value {
                self.walk(&path, inner, rows);
            } else {
                let origin = self.figment.find_metadata(&path).map_or_else(
                    || "default".to_owned(),
                    |metadata| match &metadata.source {
                        Some(source) => source.to_string(),
                        None => metadata.name.to_string(),
                    },
                );
                rows.push((path, value.to_string(), origin));
            }
        }
    }
}

/// Reads `file` (if any), then `CPC_STREAM_*`, then `flags` (any serialisable value with the keys of [`Config`]),
/// over the defaults, and validates the result.
///
/// # Errors
/// Unknown keys, wrong types and values out of range, with the line or the variable they come from.
pub fn load(file: Option<&Path>, flags: impl Serialize) -> Result<Loaded> {
    let mut figment = Figment::from(Named("default", Serialized::defaults(Config::default())));
    if let Some(path) = file {
        let text = read(path)?;
        check_file(path, &text)?;
        figment = figment.merge(OfFile { path, provider: Toml::string(&text) });
    }
    figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
    figment = figment.merge(Named("flag", Serialized::defaults(flags)));
    let config: Config = loop {
        let error = match figment.extract() {
            Ok(config) => break config,
            Err(error) => error.into_iter().next(),
        };
        // a variable is text: what looks like a number there is one only where a number is expected
        let text = error.as_ref().filter(|error| wants_text(error)).and_then(variable_of);
        match (text, &error) {
            (Some((_, text)), Some(error)) => {
                let profile = figment.profile().clone();
                let key = error.path.join(".");
                figment = figment.merge(AsText(Serialized::from(text, profile).key(&key)));
            }
            _ => return Err(unreadable(error.as_ref())),
        }
    };
    config.validate()?;
    Ok(Loaded { config, figment })
}

fn unreadable(error: Option<&figment::Error>) -> Error {
    let what = match (error, error.and_then(variable_of)) {
        (Some(error), Some((variable, _))) => format!("{variable}: {}", error.kind),
        (Some(error), None) => error.to_string(),
        (None, _) => "unreadable configuration".to_owned(),
    };
    let fix = "see every key with `cpc-stream config show`; variables are CPC_STREAM_SECTION__KEY";
    // figment says: unknown field: found `foo`, expected `one of `a`, `b``
    let plain = what.replace("field: found", "field").replace("expected `one", "expected one");
    Error::config(what, advice(&plain, fix))
}

/// Whether a string was expected where something else was found.
fn wants_text(error: &figment::Error) -> bool {
    let figment::error::Kind::InvalidType(found, expected) = &error.kind else { return false };
    !matches!(found, figment::error::Actual::Str(_))
        && (expected.contains("string") || expected.contains("path"))
}

/// The variable that a value came from, and its text.
fn variable_of(error: &figment::Error) -> Option<(String, String)> {
    let from_variables = error.metadata.as_ref().is_some_and(|m| m.name.contains("environment"));
    let wanted = format!("{ENV_PREFIX}{}", error.path.join("__")).to_ascii_uppercase();
    let mut variables = std::env::vars().filter(|_| from_variables);
    variables.find(|(name, _)| name.to_ascii_uppercase() == wanted)
}

/// The text of a variable, still called one.
struct AsText<P>(P);

impl<P: Provider> Provider for AsText<P> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("text of an environment variable")
    }

    fn data(&self) -> figment::Result<figment::value::Map<Profile, figment::value::Dict>> {
        self.0.data()
    }
}

fn read(path: &Path) -> Result<String> {
    let unreadable = |what: String| {
        Error::config(
            format!("config file {}: {what}", path.display()),
            "check the path given with `--config`",
        )
    };
    let file = std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let mut text = String::new();
    // one byte more than there may be, so that more is noticed
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| unreadable(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("more than {MAX_BYTES} bytes, which is no configuration")));
    }
    Ok(text)
}

/// Parses the file by itself first, since the TOML reader knows line and column.
fn check_file(path: &Path, text: &str) -> Result<()> {
    DeTable::parse(text)
        .map(|_| ())
        .map_err(|e| e.to_string())
        .and_then(|()| toml::from_str::<Config>(text).map(|_| ()).map_err(|e| e.to_string()))
        .map_err(|message| {
            let mut lines = message.lines().filter(|line| !line.trim().is_empty());
            let place = lines.next().unwrap_or_default().trim_start_matches("TOML parse error ").to_owned();
            let reason = lines.next_back().unwrap_or_default().to_owned();
            let excerpt =
                message.lines().find_map(|l| l.split_once("| ").map(|(_, code)| code.trim())).unwrap_or("");
            let fix = "correct that line; `cpc-stream config show` lists every key, and `cpc-stream config schema` says what each is";
            Error::config(
                format!("config file {} {place}: {reason} (`{excerpt}`)", path.display()),
                advice(&reason, fix),
            )
        })
}

/// What to do about a message of serde: for a removed table what replaces it, for a misspelt key the one that was meant, else
/// `general`.
fn advice(message: &str, general: &str) -> String {
    if message.contains("unknown field `pool`") && message.contains("`cluster`") {
        return "the table [pool] is gone: workers share microphones by way of NATS JetStream now. Take it out and write [cluster] \
                (docs/cluster.md); a daemon that hears microphones alone needs neither"
            .to_owned();
    }
    match meant(message) {
        Some(key) => format!("did you mean `{key}`? Else {general}"),
        None => general.to_owned(),
    }
}

/// The key that was meant, by a message of serde: ``unknown field `foo`, expected one of `a`, `b` ``.
fn meant(message: &str) -> Option<&str> {
    let (unknown, known) = message.split_once("unknown field ")?.1.split_once(", expected")?;
    let unknown = unknown.trim_matches('`');
    let known = known.split('`').skip(1).step_by(2);
    let likeness = |key: &str| strsim::jaro_winkler(unknown, key);
    known.filter(|key| likeness(key) > LIKE).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// The text of a file, with the file as its origin.
struct OfFile<'a, P> {
    path: &'a Path,
    provider: P,
}

impl<P: Provider> Provider for OfFile<'_, P> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::from("TOML file", self.path)
    }

    fn data(&self) -> figment::Result<figment::value::Map<Profile, figment::value::Dict>> {
        self.provider.data()
    }
}

/// A provider under another name, for the origins.
struct Named<P>(&'static str, P);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.0)
    }

    fn data(&self) -> figment::Result<figment::value::Map<Profile, figment::value::Dict>> {
        self.1.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_has_its_neighbour_named() {
        let of = |text: &str| {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            meant(error.lines().last().unwrap_or_default()).map(str::to_owned)
        };
        assert_eq!(of("[detect]\nevent_per_hour = 1.0").as_deref(), Some("events_per_hour"));
        assert_eq!(of("[publsh]\nbroker = 'x'").as_deref(), Some("publish"));
        assert_eq!(of("[detect]\nzzz = 1"), None);
        assert_eq!(meant("no such message"), None);
    }
}
