//! Configuration of a cluster of workers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mqtt::check_id;

/// Workers that share microphones by way of NATS JetStream: the `[cluster]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Servers, `nats://[user@]host[:port]` or `tls://…`, several with commas. Without it there is no cluster.
    pub url: Option<String>,
    /// Name of the cluster: first part of the names of its buckets and streams, and the node in topics and documents of
    /// events. All workers of a cluster have the same.
    pub name: String,
    /// Node in topics and documents of events; empty: the name of the cluster.
    pub node: String,
    /// JetStream stream that keeps the sound; empty: `NAME-sound`. It is made where it does not exist.
    pub sound_stream: String,
    /// Minutes for which sound is kept, 1 to 1440.
    pub sound_minutes: u32,
    /// Whether sound is kept on the disks of the servers; else in their memory.
    pub sound_on_disk: bool,
    /// Copies of everything, each on a server of its own: 1, 3 or 5.
    pub replicas: usize,
    /// Most streams that this worker analyses, 1 to 10,000.
    pub max_streams: usize,
    /// Seconds without a renewal after which a worker loses its streams, 1 to 3.
    pub lease_s: f64,
    /// Seconds from one snapshot of a stream to the next, 1 to 600.
    pub snapshot_s: f64,
    /// File of credentials (`.creds`), as `nsc` makes it.
    pub credentials_file: Option<PathBuf>,
    /// File with the seed of an NKey.
    pub nkey_file: Option<PathBuf>,
    /// User name; needs `password_file`.
    pub username: Option<String>,
    /// File whose first line is the password, or `credential:NAME` for one that systemd hands over.
    pub password_file: Option<PathBuf>,
    /// Certificates of authorities beside those of the machine, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            url: None,
            name: "cluster".to_owned(),
            node: String::new(),
            sound_stream: String::new(),
            sound_minutes: 10,
            sound_on_disk: false,
            replicas: 1,
            max_streams: 64,
            lease_s: 2.0,
            snapshot_s: 5.0,
            credentials_file: None,
            nkey_file: None,
            username: None,
            password_file: None,
            ca_file: None,
        }
    }
}

impl ClusterConfig {
    /// Whether this node is a worker of a cluster.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.url.is_some()
    }

    /// Node in topics and documents of events.
    #[must_use]
    pub fn event_node(&self) -> &str {
        if self.node.is_empty() { &self.name } else { &self.node }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self) -> Result<()> {
        let range = |key: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::config(
                format!("cluster.{key} = {value} is out of range"),
                format!("choose a value from {low} to {high}"),
            ))
        };
        check_id("cluster.name", &self.name)?;
        if !self.node.is_empty() {
            check_id("cluster.node", &self.node)?;
        }
        if !self.sound_stream.is_empty() {
            check_id("cluster.sound_stream", &self.sound_stream)?;
        }
        range("sound_minutes", f64::from(self.sound_minutes), 1.0, 1440.0)?;
        range("max_streams", self.max_streams as f64, 1.0, 10_000.0)?;
        range("lease_s", self.lease_s, 1.0, 3.0)?;
        range("snapshot_s", self.snapshot_s, 1.0, 600.0)?;
        if ![1, 3, 5].contains(&self.replicas) {
            return Err(Error::config(
                format!("cluster.replicas is {}, expected 1, 3 or 5", self.replicas),
                "set replicas in [cluster] to 1 for one server, 3 or 5 for as many servers or more",
            ));
        }
        if self.username.is_some() != self.password_file.is_some() {
            return Err(Error::config(
                "of cluster.username and cluster.password_file only one is set",
                "set both, or none",
            ));
        }
        let ways = [self.credentials_file.is_some(), self.nkey_file.is_some(), self.username.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(Error::config(
                "[cluster] names several ways to log in",
                "keep one of credentials_file, nkey_file and username with password_file",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_name_their_key() {
        ClusterConfig::default().validate().unwrap();
        for (text, key) in [
            ("lease_s = 4.0", "lease_s"),
            ("snapshot_s = 0.5", "snapshot_s"),
            ("replicas = 2", "replicas"),
            ("name = 'a b'", "cluster.name"),
            ("sound_minutes = 0", "sound_minutes"),
            ("max_streams = 0", "max_streams"),
            ("username = 'a'", "password_file"),
            ("credentials_file = '/x'\nnkey_file = '/y'", "credentials_file"),
        ] {
            let config: ClusterConfig = toml::from_str(text).unwrap();
            let error = config.validate().unwrap_err();
            assert!(format!("{error} {:?}", error.fix()).contains(key), "{text}: {error}");
        }
        assert!(toml::from_str::<ClusterConfig>("urls = 'x'").is_err());
    }
}
