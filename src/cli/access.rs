//! Flags that several commands take: the form of raw PCM, and as whom a broker is met.

use std::path::PathBuf;

use crate::capture::{PcmForm, PcmFormat};

/// The form of raw PCM on the standard input.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PcmArgs {
    /// Raw PCM on stdin: Hz.
    #[arg(long, value_name = "HZ", default_value_t = 16_000)]
    stdin_rate: u32,
    /// Raw PCM on stdin: interleaved channels.
    #[arg(long, value_name = "N", default_value_t = 1)]
    stdin_channels: u16,
    /// Raw PCM on stdin: 32-bit floats instead of 16-bit integers.
    #[arg(long)]
    stdin_float: bool,
}

impl PcmArgs {
    /// As sources take it.
    pub(super) fn form(&self) -> PcmForm {
        let format = if self.stdin_float { PcmFormat::F32le } else { PcmFormat::S16le };
        PcmForm { rate: self.stdin_rate, channels: self.stdin_channels, format }
    }
}

/// As whom a broker is met, and how it is known.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AccessArgs {
    /// User name at the broker.
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that may have signed the broker's certificate [default: the machine's].
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, where the broker asks for one.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// Name in the broker's certificate, where it is not that of the address.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
}

#[cfg(feature = "mqtt")]
impl AccessArgs {
    /// As connections take it.
    pub(super) fn tls(&self) -> crate::mqtt::TlsConfig {
        crate::mqtt::TlsConfig {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            server_name: self.server_name.clone(),
        }
    }
}
