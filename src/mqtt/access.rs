//! Configuration of the access to a broker.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The protocol version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// MQTT 3.1.1, which every broker speaks.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// MQTT 5: refusals have reasons, sessions and messages can expire, messages carry properties.
    #[serde(rename = "5")]
    V5,
}

/// How the connection is encrypted: the `[publish.tls]` table. In force for an `mqtts://` address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file of the authorities that may have signed the broker's certificate; without it, those of the machine.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, where the broker asks for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
    /// Name that the broker's certificate has, where it is not the host of the address.
    pub server_name: Option<String>,
}

impl TlsConfig {
    /// Whether any key is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}
