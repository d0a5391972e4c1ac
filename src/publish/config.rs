//! Configuration of publishing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::embedding::EmbeddingConfig;
use super::request::Command;
use super::topics::Topics;
use crate::error::{Error, Result};
use crate::mqtt::{BrokerAddress, Protocol, TlsConfig, read_password};

/// How events are written to stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdoutForm {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// A JSON object a line.
    Json,
    /// A line of text for a person.
    Text,
}

impl StdoutForm {
    /// Whether lines are text, where stdout is a terminal or not.
    #[must_use]
    pub fn is_text(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal,
            Self::Json => false,
            Self::Text => true,
        }
    }
}

/// How events leave the process: the `[publish]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// `mqtt://[user@]host[:port]`, or `mqtts://` for TLS; without it events go to stdout.
    pub broker: Option<String>,
    /// How events are written to stdout where there is no broker.
    pub stdout: StdoutForm,
    /// User name at the broker; may stand in the address instead.
    pub username: Option<String>,
    /// File whose first line is the password, or `credential:NAME` for one that systemd hands over.
    pub password_file: Option<PathBuf>,
    /// The protocol version.
    pub protocol: Protocol,
    /// MQTT 5: seconds for which the broker keeps requests for a daemon that is away, 0 (not at all) to 86400.
    pub session_expiry_s: u32,
    /// MQTT 5: seconds for which the broker keeps an event for a subscriber that is away; 0 for as long as it likes.
    pub message_expiry_s: u32,
    /// First level or levels of every topic.
    pub prefix: String,
    /// Keep-alive: seconds of silence after which the broker is pinged, 1 to 300. A dead link is found within twice
    /// this time.
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
    /// Seconds between two documents of the counts of a day, 1 to 3600, while events come; 0 for none.
    pub day_s: u32,
    /// Seconds that a stop waits at most for the broker to take what is pending, 0 to 60; one that is away is tried again
    /// at once.
    pub drain_timeout_s: f64,
    /// Commands that are accepted over the broker; all others are refused.
    pub commands: Vec<Command>,
    /// Encryption.
    pub tls: TlsConfig,
    /// Contexts for other programs; none by default.
    pub embedding: EmbeddingConfig,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            broker: None,
            stdout: StdoutForm::Auto,
            username: None,
            password_file: None,
            protocol: Protocol::V3,
            session_expiry_s: 0,
            message_expiry_s: 0,
            prefix: "cpc-stream".into(),
            keep_alive_s: 10,
            window: 16,
            outbox_max_bytes: 128 << 20,
            outbox_max_age_h: 168,
            backoff_min_s: 0.25,
            backoff_max_s: 4.0,
            score_hz: 1.0,
            health_s: 30,
            day_s: 60,
            drain_timeout_s: 2.0,
            commands: vec![Command::AckEvent],
            tls: TlsConfig::default(),
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
        range("day_s", f64::from(self.day_s), 0.0, 3600.0)?;
        range("drain_timeout_s", self.drain_timeout_s, 0.0, 60.0)?;
        range("session_expiry_s", f64::from(self.session_expiry_s), 0.0, 86_400.0)?;
        self.embedding.validate()?;
        self.check_protocol()?;
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
            self.check_tls(&address)?;
        }
        Ok(())
    }

    /// Reads the secrets and certificates that are named, as a start does.
    ///
    /// # Errors
    /// A configuration error that names the file.
    pub fn check_files(&self) -> Result<()> {
        if let Some(file) = &self.password_file {
            read_password(file)?;
        }
        #[cfg(feature = "mqtt")]
        if let Some(broker) = &self.broker {
            crate::mqtt::link::check_encryption(broker, &self.tls)?;
        }
        Ok(())
    }

    /// Options of a connection as `client_id`: MQTT 3.1.1, a clean session, no will.
    #[cfg(feature = "mqtt")]
    pub(crate) fn options(&self, client_id: String) -> Result<crate::mqtt::link::ConnectOptions> {
        use crate::mqtt::link::{ConnectOptions, login};

        let address = BrokerAddress::parse(self.broker.as_deref().unwrap_or_default())?;
        let login = login(&address, self.username.as_deref(), self.password_file.as_deref())?;
        let keep_alive = std::time::Duration::from_secs(u64::from(self.keep_alive_s));
        let mut options = ConnectOptions::new(address, login, client_id, keep_alive);
        options.encrypt(&self.tls)?;
        Ok(options)
    }

    fn check_protocol(&self) -> Result<()> {
        if self.protocol == Protocol::V5 {
            // rumqttc's limit
            return range("keep_alive_s", f64::from(self.keep_alive_s), 5.0, 300.0);
        }
        for (key, value) in
            [("session_expiry_s", self.session_expiry_s), ("message_expiry_s", self.message_expiry_s)]
        {
            if value != 0 {
                return Err(Error::config(
                    format!("publish.{key} = {value} needs MQTT 5, and MQTT 3.1.1 is spoken"),
                    "set protocol = \"5\" in [publish], or leave the key out",
                ));
            }
        }
        Ok(())
    }

    fn check_tls(&self, address: &BrokerAddress) -> Result<()> {
        if self.tls.is_set() && !address.tls {
            return Err(Error::config(
                "[publish.tls] is set, but the broker address begins with mqtt://, which is not encrypted",
                "write mqtts:// in `broker`, or take the keys of [publish.tls] out",
            ));
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(Error::config(
                "of publish.tls.cert_file and publish.tls.key_file only one is set",
                "set both for a broker that asks for a certificate, or none",
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_unknown_keys_are_not() {
        PublishConfig::default().validate("node").unwrap();
        let text = toml::to_string(&PublishConfig::default()).unwrap();
        assert_eq!(toml::from_str::<PublishConfig>(&text).unwrap(), PublishConfig::default());
        for (text, word) in [
            ("brokr = \"mqtt://x\"", "brokr"),
            ("commands = ['shutdown']", "shutdown"),
            ("protocol = '4'", "4"),
        ] {
            let error = toml::from_str::<PublishConfig>(text).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
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
            ("protocol = '5'\nkeep_alive_s = 2", "keep_alive_s"),
            ("session_expiry_s = 60", "session_expiry_s"),
            ("message_expiry_s = 60", "message_expiry_s"),
            ("protocol = '5'\nsession_expiry_s = 100000", "session_expiry_s"),
            ("broker = 'mqtt://b'\n[tls]\nca_file = '/x'", "publish.tls"),
            ("broker = 'mqtts://b'\n[tls]\ncert_file = '/x'", "key_file"),
        ] {
            let error = toml::from_str::<PublishConfig>(text).unwrap().validate("node").unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
    }
}
