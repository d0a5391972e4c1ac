//! Options of a connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::error::Result;
use crate::mqtt::access::{Protocol, TlsConfig};
use crate::mqtt::address::BrokerAddress;

/// Longest packet that goes out, bytes, and with MQTT 5 that comes in (rumqttc alone would refuse past 10 KiB).
pub(super) const MAX_PACKET: usize = 1 << 20;
/// Longest packet that comes in with MQTT 3.1.1, bytes. That version has no way to announce a limit, and a longer
/// packet ends the connection: so the limit is above any packet that is retained by mistake.
pub(super) const MAX_INCOMING: usize = 16 << 20;
/// Seconds for TCP, TLS, CONNECT and CONNACK together.
pub(super) const CONNECT_S: u64 = 3;
/// Requests that rumqttc holds: the window and some QoS 0.
pub(super) const REQUESTS: usize = 96;
/// Packet ids: far more than a window, so that one late receipt does not stand in the way of the next ids.
pub(super) const IN_FLIGHT: u16 = 1024;

/// User name and password.
pub(crate) type Login = Option<(String, String)>;

/// Options of all connections of a client.
#[derive(Debug, Clone)]
pub(crate) struct ConnectOptions {
    pub(crate) address: BrokerAddress,
    pub(crate) protocol: Protocol,
    pub(crate) login: Login,
    /// A broker ends the older connection with the same id.
    pub(crate) client_id: String,
    pub(crate) keep_alive: Duration,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Topic and payload of the last will.
    pub(crate) will: Option<(String, &'static str)>,
    /// Whether the last will is retained. A broker without retained messages refuses the connection then.
    pub(crate) will_kept: bool,
    /// MQTT 5 only; 0 for a clean session.
    pub(crate) session_expiry_s: u32,
    /// MQTT 5 only; 0 for never.
    pub(crate) message_expiry_s: u32,
    /// MQTT 5 only.
    pub(crate) user_properties: Vec<(String, String)>,
}

impl ConnectOptions {
    /// MQTT 3.1.1 with a clean session.
    pub(crate) fn new(address: BrokerAddress, login: Login, client_id: String, keep_alive: Duration) -> Self {
        Self {
            address,
            protocol: Protocol::V3,
            login,
            client_id,
            keep_alive,
            tls: None,
            will: None,
            will_kept: true,
            session_expiry_s: 0,
            message_expiry_s: 0,
            user_properties: Vec::new(),
        }
    }

    /// Reads what `config` names, where the address asks for TLS.
    ///
    /// # Errors
    /// A configuration error that names the file.
    pub(crate) fn encrypt(&mut self, config: &TlsConfig) -> Result<()> {
        self.tls = self.address.tls.then(|| super::tls::client(config)).transpose()?;
        Ok(())
    }
}
