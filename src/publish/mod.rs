//! Publishing of events over MQTT or on stdout.
//!
//! ```text
//! any thread ─ EventSender ─▶ channel ─▶ thread `publish` ─▶ Outbox (fsync) ─▶ thread `mqtt` ─▶ broker (never waits,
//! (1024) (thread publish: commits, (redb, one file) (Session: window, counts refusals) counts, caps) ▲ rebuilt on any
//! error) └── PUBACK ◀──────┘
//! ```
//!
//! An event is *accepted* once it is in the outbox on the disk, and leaves it when the broker has confirmed it:
//! `accepted = acked + pending + dropped` at any moment, over restarts. A reader may see an event twice with the
//! same id, never not at all.
//!
//! There are two threads, so that a slow disk does not delay the keep-alive of the connection, and a slow connection
//! does not delay the disk. `publish` sleeps in a crossbeam `select!`; `mqtt` runs a tokio runtime of one thread.
//! Towards `mqtt` goes a tokio channel (its sending side never waits), back a crossbeam one: nobody polls. At most 64
//! records are between the two, 16 of them with rumqttc.
//!
//! In the other direction there are requests ([`Command`]): `mqtt` subscribes to the commands of the node and the
//! settings of its streams, answers what is not allowed or cannot be read, and hands the rest over a bounded channel to
//! the holder of [`Publisher::requests`]. [`PublishConfig::commands`] lists the allowed ones.
//!
//! A topic that the broker refuses (MQTT 5) is logged once, skipped and tried again each minute. A topic whose messages
//! it confirms and drops (MQTT 3.1.1) is found by subscribing to the first event of each topic, to the status and to
//! the health document. The health document (`broker`) lists both, and a second node of the same name.
//!
//! With `[homeassistant]` enabled, a retained discovery document of the node describes the streams; it is sent again
//! when Home Assistant restarts.
//!
//! Without a broker, `publish` writes each event document as a line to stdout (JSON, or text on a terminal), and there is no outbox.
//!
//! Scores and embeddings have QoS 0: never retained, dropped while there is no connection. They take at most half of
//! the channel, so that they never crowd out events; what is refused is counted with the rest. Embeddings are contexts
//! c_t, averaged over the frames since the last one, as numbers behind a header ([`Embedding`] tells the layout). They
//! are off unless `[publish.embedding] rate_hz` asks for them: no sound can be played from them, but they reveal more
//! of the sound than events do, to every client that may read the topic.

mod absence;
mod cluster_health;
mod config;
mod embedding;
mod gap;
mod home_assistant;
mod inbound;
mod lines;
mod outbox;
#[cfg(feature = "mqtt")]
mod outbox_publisher;
mod outgoing;
mod payload;
mod progress;
mod publisher;
mod request;
#[cfg(feature = "mqtt")]
mod request_handler;
#[cfg(feature = "mqtt")]
mod selfcheck;
#[cfg(feature = "mqtt")]
mod session;
mod status;
mod text;
mod topics;

pub use cluster_health::{ClusterHealth, ClusterStreamHealth, ClusterView};
pub use config::{PublishConfig, StdoutForm};
pub use embedding::{
    EMBEDDING_HEADER, EMBEDDING_MAGIC, EMBEDDING_VERSION, Embedding, EmbeddingConfig, EmbeddingSource,
    EmbeddingType,
};
pub use gap::{Gap, GapPhase, GapReason};
pub use home_assistant::{DiscoveryConfig, HomeAssistantConfig};
pub use outbox::{
    Inspection, MAX_PAYLOAD, Message, Outbox, OutboxCounters, OutboxLimits, Record, export, inspect,
};
pub use outgoing::Outgoing;
pub use payload::{
    Availability, BrokerHealth, ChunkHealth, Delay, Delays, Health, InputHealth, OutboxHealth, Presence,
    Score, Status, StreamHealth, anomaly,
};
pub use progress::{CalibrationProgress, StreamProgress, Watching};
pub use publisher::{EventSender, Publisher, StopReport};
pub use request::{
    AckEvent, Budget, Command, DirectRequest, LabelRequest, MAX_MUTE_S, Mute, Request, RequestBody, Response,
    ResponseStatus, Snapshot, StreamSelector,
};
pub use status::PublisherStatus;
pub use topics::Topics;

pub use crate::mqtt::{
    BrokerAddress, DEFAULT_PORT, DEFAULT_TLS_PORT, Protocol, TlsConfig, read_password, secret_path,
};

#[cfg(test)]
mod tests;
