//! Merging file, environment and flags, strictly.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
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
/// What the flags are called among the origins.
const FLAG: &str = "flag";

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
                        None => match variable(metadata, &path) {
                            Some((name, _)) => format!("variable {name}"),
                            None => metadata.name.to_string(),
                        },
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
    figment = figment.merge(Named(FLAG, Serialized::defaults(flags)));
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
    config.validate().map_err(|error| at_its_origin(error, &figment))?;
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
    let plain = plain_types(&plain);
    Error::config(plain_types(&what), advice(&plain, fix))
}

/// A message of serde with the type that it expected in the words of a user.
fn plain_types(message: &str) -> String {
    const EXPECTED: &str = "expected ";
    let Some((before, rest)) = message.split_once(EXPECTED) else { return message.to_owned() };
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (found, after) = match ["struct ", "a "].iter().find_map(|article| rest.strip_prefix(article)) {
        Some(named) if rest.starts_with("struct ") => {
            ("struct", named.get(word(named)..).unwrap_or_default())
        }
        Some(named) => named.split_at(word(named)),
        None => rest.split_at(word(rest)),
    };
    let plain = match found {
        "struct" | "map" => "a table",
        "sequence" => "a list",
        "bool" | "boolean" => "true or false",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        _ => return message.to_owned(),
    };
    format!("{before}{EXPECTED}{plain}{after}")
}

/// A failure about a key, `section.key is …`, in the words of where its value came from: a flag or a variable.
fn at_its_origin(error: Error, figment: &Figment) -> Error {
    let Some(key) = key_of(&error) else { return error };
    let Some(metadata) = figment.find_metadata(&key) else { return error };
    match variable(metadata, &key) {
        Some((name, _)) => renamed(&error, &key, &name, &format!("set {name} to ")),
        None if metadata.name == FLAG => told_by_flag(error),
        None => error,
    }
}

/// A failure about a key, where its value came from a flag: with the flag in place of the key.
#[must_use]
pub fn told_by_flag(error: Error) -> Error {
    let Some(key) = key_of(&error) else { return error };
    let flag = match key.as_str() {
        "model.path" => "--model".to_owned(),
        "http.listen" => "--http".to_owned(),
        key => format!("--{}", key.rsplit('.').next().unwrap_or(key).replace('_', "-")),
    };
    renamed(&error, &key, &flag, &format!("give `{flag}` "))
}

/// The key that a failure begins with.
fn key_of(error: &Error) -> Option<String> {
    let cause = error.to_string();
    let key = cause.split_whitespace().next()?.trim_end_matches(':');
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    (key.contains('.') && key.chars().all(plain)).then(|| key.to_owned())
}

fn renamed(error: &Error, key: &str, name: &str, give: &str) -> Error {
    let cause = error.to_string();
    let cause = format!("{name}{}", cause.strip_prefix(key).unwrap_or_default());
    let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
    let fix = match error.fix().strip_prefix(&format!("set {last} in [{section}] to ")) {
        Some(value) => format!("{give}{value}"),
        None => error.fix().to_owned(),
    };
    Error::new(error.kind(), cause, fix)
}

/// Whether a string was expected where something else was found.
fn wants_text(error: &figment::Error) -> bool {
    let figment::error::Kind::InvalidType(found, expected) = &error.kind else { return false };
    !matches!(found, figment::error::Actual::Str(_))
        && (expected.contains("string") || expected.contains("path"))
}

/// The variable that a value came from, and its text.
fn variable_of(error: &figment::Error) -> Option<(String, String)> {
    variable(error.metadata.as_ref()?, &error.path.join("."))
}

/// The variable that the value of `key` came from, and its text; none where it came from elsewhere.
fn variable(metadata: &figment::Metadata, key: &str) -> Option<(String, String)> {
    if !metadata.name.contains("environment") {
        return None;
    }
    let wanted = format!("{ENV_PREFIX}{}", key.replace('.', "__")).to_ascii_uppercase();
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).find(|(name, _)| name.to_ascii_uppercase() == wanted)
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
            let reason = plain_types(lines.next_back().unwrap_or_default());
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
                (/usr/share/doc/cpc-stream/docs/cluster.md); a daemon that hears microphones alone needs neither"
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
    fn types_are_told_in_words() {
        for (said, plain) in [
            ("invalid type: string \"x\", expected f64", "invalid type: string \"x\", expected a number"),
            (
                "found string \"two\", expected f64 for key \"a.b\"",
                "found string \"two\", expected a number for key \"a.b\"",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "invalid value: integer `-1`, expected a whole number, 0 or more",
            ),
            (
                "invalid type: integer `1`, expected a boolean",
                "invalid type: integer `1`, expected true or false",
            ),
            ("invalid type: integer `1`, expected a string", "invalid type: integer `1`, expected a string"),
            ("unknown field `x`, expected one of `a`", "unknown field `x`, expected one of `a`"),
            ("no such message", "no such message"),
        ] {
            assert_eq!(plain_types(said), plain);
        }
    }

    #[test]
    fn a_value_out_of_range_is_told_by_its_flag() {
        for (section, key, flag) in [
            ("detect", "events_per_hour", "--events-per-hour"),
            ("detect", "calibrate_seconds", "--calibrate-seconds"),
        ] {
            let flags = toml::Table::from_iter([(
                section.to_owned(),
                toml::Value::Table(toml::Table::from_iter([(key.to_owned(), toml::Value::Float(0.0))])),
            )]);
            let error = load(None, flags).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{flag} is 0, expected ")), "{error}");
            assert!(error.fix().starts_with(&format!("give `{flag}` a number from ")), "{}", error.fix());
        }
        let error = told_by_flag(Error::config("model.precision: \"x\" is none", "take f32"));
        assert_eq!((error.to_string().as_str(), error.fix()), ("--precision: \"x\" is none", "take f32"));
        let error = told_by_flag(Error::config("the file is away", "look for it"));
        assert_eq!(error.to_string(), "the file is away");
    }

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
