//! What the user sets about publishing, and the broker's address.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::embedding::EmbeddingConfig;
use super::topics::Topics;
use crate::error::{Error, Result};

/// Where a broker listens when the address names no port.
pub const DEFAULT_PORT: u16 = 1883;

/// How events leave the process: the `[publish]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// `mqtt://host[:port]` or `mqtt://user@host[:port]`; without it events go to stdout, a JSON object a line.
    pub broker: Option<String>,
    /// User name at the broker; may stand in the address instead.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// First level or levels of every topic.
    pub prefix: String,
    /// Seconds of silence after which the broker is asked whether it lives, 1 to 300. A dead link is found
    /// within twice this time.
    pub keep_alive_s: u16,
    /// Messages on their way to the broker at a time, 1 to 16 (mosquitto takes 20).
    pub window: u16,
    /// Size of the outbox in bytes, at least 1 MiB; past it the oldest documents go and a gap document says so.
    /// An event takes about 1 KB, so that the default holds more than a day of one event a second.
    pub outbox_max_bytes: u64,
    /// Age in hours past which documents go the same way, at least 1.
    pub outbox_max_age_h: u32,
    /// First pause before a broker that is away is tried again, seconds.
    pub backoff_min_s: f64,
    /// Longest such pause, seconds; pauses double from the first to this one and vary by a quarter.
    pub backoff_max_s: f64,
    /// Scores a second on the score topic, 0 (none) to 10.
    pub score_hz: f64,
    /// Seconds between two health documents, 1 to 3600.
    pub health_s: u32,
    /// Seconds that a stop waits at most for the broker to take what is pending, 0 to 60.
    pub drain_timeout_s: f64,
    /// Contexts for other programs; none by default.
    pub embedding: EmbeddingConfig,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            broker: None,
            username: None,
            password_file: None,
            prefix: "cpc-stream".into(),
            keep_alive_s: 10,
            window: 16,
            outbox_max_bytes: 128 << 20,
            outbox_max_age_h: 168,
            backoff_min_s: 0.25,
            backoff_max_s: 4.0,
            score_hz: 1.0,
            health_s: 30,
            drain_timeout_s: 2.0,
            embedding: EmbeddingConfig::default(),
        }
    }
}

impl PublishConfig {
    /// Checks every value and, together, that topics can be made for `node`.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self, node: &str) -> Result<()> {
        Topics::new(&self.prefix, node)?;
        range("keep_alive_s", f64::from(self.keep_alive_s), 1.0, 300.0)?;
        range("window", f64::from(self.window), 1.0, 16.0)?;
        range("outbox_max_bytes", self.outbox_max_bytes as f64, 1_048_576.0, 1e15)?;
        range("outbox_max_age_h", f64::from(self.outbox_max_age_h), 1.0, 1e6)?;
        range("backoff_min_s", self.backoff_min_s, 0.01, 60.0)?;
        range("backoff_max_s", self.backoff_max_s, self.backoff_min_s, 600.0)?;
        range("score_hz", self.score_hz, 0.0, 10.0)?;
        range("health_s", f64::from(self.health_s), 1.0, 3600.0)?;
        range("drain_timeout_s", self.drain_timeout_s, 0.0, 60.0)?;
        self.embedding.validate()?;
        if let Some(broker) = &self.broker {
            let address = BrokerAddress::parse(broker)?;
            if let (Some(a), Some(b)) = (&address.user, &self.username)
                && a != b
            {
                return Err(Error::config(
                    format!("the broker address says user {a:?}, `username` says {b:?}"),
                    "keep one of the two",
                ));
            }
            if self.password_file.is_some() && address.user.is_none() && self.username.is_none() {
                return Err(Error::config("`password_file` is set but no user name", "set `username` too"));
            }
        }
        Ok(())
    }
}

fn range(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::config(
        format!("publish.{key} = {value} is out of range"),
        format!("choose a value from {low} to {high}"),
    ))
}

/// A parsed broker address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or address; IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, where the address has one.
    pub user: Option<String>,
}

impl BrokerAddress {
    /// Reads `mqtt://[user@]host[:port]`.
    ///
    /// # Errors
    /// A configuration error with the form that was expected; also for TLS addresses, which this version
    /// does not speak, and for passwords, which every user of the machine could read.
    pub fn parse(url: &str) -> Result<Self> {
        let form = "write mqtt://host, mqtt://host:port or mqtt://user@host";
        // the address may hold a password: never repeat it in a message
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::config("the broker address has no scheme", form));
        };
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" => {
                return Err(Error::config(
                    format!(
                        "the broker address asks for TLS ({scheme}://), which this version does not speak"
                    ),
                    "use mqtt:// in a trusted network, or a TLS bridge on this machine (mosquitto, stunnel)",
                ));
            }
            other => {
                return Err(Error::config(format!("the broker address has the scheme {other:?}"), form));
            }
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Error::config(
                "the broker address has a password in it, where every user of this machine can read it",
                "put the password into a file and name it by `password_file`",
            ));
        }
        if user == Some("") {
            return Err(Error::config("the broker address has an empty user name", form));
        }
        let (host, port) = split_port(place)
            .ok_or_else(|| Error::config(format!("cannot read {place:?} as host:port of a broker"), form))?;
        Ok(Self { host: host.to_owned(), port, user: user.map(str::to_owned) })
    }
}

fn split_port(place: &str) -> Option<(&str, u16)> {
    let after_host =
        if place.starts_with('[') { place.find(']')? + 1 } else { place.find(':').unwrap_or(place.len()) };
    let (host, tail) = place.split_at(after_host);
    let port = match tail.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port != 0)?,
        None if tail.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-[]:%".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

/// The password in the first line of `path`.
///
/// # Errors
/// A configuration error where the file cannot be read or its first line is empty.
pub fn read_password(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::config(
            format!("cannot read the password file {}: {error}", path.display()),
            "check the path and that the daemon's user may read it",
        )
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Error::config(
            format!("the password file {} has no first line", path.display()),
            "write the password into its first line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_understood() {
        for (url, host, port, user) in [
            ("mqtt://broker", "broker", 1883, None),
            ("mqtt://broker/", "broker", 1883, None),
            ("tcp://10.0.0.1:1884", "10.0.0.1", 1884, None),
            ("mqtt://ear@broker.lan:9", "broker.lan", 9, Some("ear")),
            ("mqtt://[::1]:1884", "[::1]", 1884, None),
            ("mqtt://[fe80::1]", "[fe80::1]", 1883, None),
        ] {
            let expected = BrokerAddress { host: host.into(), port, user: user.map(str::to_owned) };
            assert_eq!(BrokerAddress::parse(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn addresses_that_are_refused_say_why() {
        for (url, word) in [
            ("broker:1883", "scheme"),
            ("http://broker", "scheme"),
            ("mqtts://broker", "TLS"),
            ("mqtt://", "host:port"),
            ("mqtt://broker:0", "host:port"),
            ("mqtt://broker:70000", "host:port"),
            ("mqtt://broker/path", "host:port"),
            ("mqtt://a b", "host:port"),
            ("mqtt://@broker", "user"),
            ("mqtt://[::1", "host:port"),
        ] {
            let error = BrokerAddress::parse(url).unwrap_err();
            assert!(error.to_string().contains(word), "{url}: {error}");
            assert!(!error.fix().is_empty());
        }
        let error = BrokerAddress::parse("mqtt://ear:hunter2@broker").unwrap_err();
        assert!(error.to_string().contains("password") && !error.to_string().contains("hunter2"));
    }

    #[test]
    fn the_defaults_are_valid_and_unknown_keys_are_not() {
        PublishConfig::default().validate("node").unwrap();
        let text = toml::to_string(&PublishConfig::default()).unwrap();
        assert_eq!(toml::from_str::<PublishConfig>(&text).unwrap(), PublishConfig::default());
        let error = toml::from_str::<PublishConfig>("brokr = \"mqtt://x\"").unwrap_err();
        assert!(error.to_string().contains("brokr"));
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        for (text, key) in [
            ("window = 17", "window"),
            ("keep_alive_s = 0", "keep_alive_s"),
            ("outbox_max_bytes = 1000", "outbox_max_bytes"),
            ("backoff_min_s = 5.0", "backoff_max_s"),
            ("score_hz = nan", "score_hz"),
            ("[embedding]\nrate_hz = 3", "embedding.rate_hz"),
            ("broker = 'mqtt://a@b'\nusername = 'c'", "username"),
            ("broker = 'mqtt://b'\npassword_file = '/x'", "password_file"),
        ] {
            let error = toml::from_str::<PublishConfig>(text).unwrap().validate("node").unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
    }
}
