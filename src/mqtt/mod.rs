//! Access to a broker, for every stage that needs it: address, secrets and TLS, a connection, and a client.
//!
//! A connection (`link`) is made, used and thrown away. Events need more than that, an outbox and receipts, which is
//! the work of [`crate::publish`]. Where messages may be lost, an [`MqttClient`] is enough: a thread with a connection
//! that reconnects by itself, and channels to its subscribers.

mod access;
mod address;
#[cfg(feature = "mqtt")]
mod client;
mod ids;
mod incoming;
#[cfg(feature = "mqtt")]
pub(crate) mod link;
#[cfg(feature = "mqtt")]
mod log_rate_limiter;
mod secret;

pub use access::{Protocol, TlsConfig};
pub use address::{BrokerAddress, DEFAULT_PORT, DEFAULT_TLS_PORT};
#[cfg(feature = "mqtt")]
pub use client::MqttClient;
pub use ids::{TOPIC_WORDS, check_id, is_valid_id, slug};
pub use incoming::{Incoming, IncomingMessage};
#[cfg(feature = "mqtt")]
pub(crate) use log_rate_limiter::LogRateLimiter;
pub use secret::{read_password, secret_path};
