//! From events to whoever subscribes.

mod config;
mod outbox;
mod payload;
mod topics;

pub use config::{BrokerAddress, DEFAULT_PORT, PublishConfig, read_password};
pub use outbox::{Caps, MAX_PAYLOAD, Message, Outbox, Record, Tally};
pub use payload::{
    Availability, Gap, GapPhase, GapReason, Health, OutboxHealth, Presence, Score, Status, StreamHealth,
    Watching, anomaly,
};
pub use topics::{Topics, check_id};
