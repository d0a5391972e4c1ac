//! The way to a broker, for every stage that needs one: its address, secrets and TLS, a connection, and an exchange.
//!
//! A connection (`link`) is made, used and thrown away. Events need more than that, an outbox and receipts, which is the
//! work of [`crate::publish`]. Where a lost message is no harm, an [`Exchange`] is enough: a thread with a connection that
//! comes back by itself, and channels to those who listen.

mod access;
mod address;
#[cfg(feature = "mqtt")]
mod exchange;
#[cfg(feature = "mqtt")]
pub(crate) mod link;
mod post;
#[cfg(feature = "mqtt")]
mod quiet;
mod secret;

/// Words that topics of a node use where a stream id could stand: a stream of that name would be taken for something else.
pub const TOPIC_WORDS: [&str; 5] = ["status", "health", "request", "response", "test"];

pub use access::{Protocol, TlsConfig};
pub use address::{BrokerAddress, DEFAULT_PORT, DEFAULT_TLS_PORT};
#[cfg(feature = "mqtt")]
pub use exchange::Exchange;
pub use post::{Letter, Post};
#[cfg(feature = "mqtt")]
pub(crate) use quiet::Quiet;
pub use secret::{read_password, secret_path};
