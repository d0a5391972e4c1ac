//! Workers that share microphones by way of NATS JetStream, so that a worker that dies costs nothing.
//!
//! | what | by which means |
//! | --- | --- |
//! | sound | a JetStream stream keeps what microphones publish over MQTT or NATS, each chunk under a number |
//! | which worker analyses a stream | a lease in a key-value bucket, made and renewed by revision, gone some seconds after its last renewal |
//! | where a stream resumes | a [`Resume`] in a key-value bucket, written by revision: the number of a chunk, and all that the stream remembers of the sound up to it |
//! | events | a JetStream stream, written with the number of the last document of the stream: a writer that is behind is refused |
//! | subscribers | one durable consumer carries what was stored to the MQTT topics |
//!
//! Findings are a function of the sound alone, and ids of documents a function of the findings ([`ids`]). So a worker that takes a
//! stream over takes its memory from the last snapshot, replays the sound since then, makes the documents again that are stored
//! already, leaves those out, and goes on.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
pub mod ids;
mod sequence;
mod share;
mod stream_channel;

#[cfg(feature = "cluster")]
mod figures;
#[cfg(feature = "cluster")]
mod jetstream;
#[cfg(feature = "cluster")]
mod journal;
#[cfg(feature = "cluster")]
mod keys;
#[cfg(feature = "cluster")]
mod lease;
#[cfg(feature = "cluster")]
mod member;
#[cfg(feature = "cluster")]
mod mono;
#[cfg(feature = "cluster")]
mod pack;
#[cfg(feature = "cluster")]
mod relay;
#[cfg(feature = "cluster")]
mod replay;
#[cfg(feature = "cluster")]
mod report;
#[cfg(feature = "cluster")]
mod resume_point;
#[cfg(feature = "cluster")]
mod setup;
#[cfg(feature = "cluster")]
mod snapshot_state;
#[cfg(feature = "cluster")]
mod snapshots;
#[cfg(feature = "cluster")]
mod sound_feed;
#[cfg(feature = "cluster")]
mod sound_publisher;
#[cfg(feature = "cluster")]
mod stream_task;
#[cfg(feature = "cluster")]
mod survey;
#[cfg(feature = "cluster")]
mod worker;

pub use config::ClusterConfig;
pub use sequence::{ChunkFit, Sequencer};
pub use share::shares;
pub use stream_channel::{AnalysisPort, AnalysisReport, Session, StreamCommand, StreamSnapshot};

#[cfg(feature = "cluster")]
pub use figures::Figures;
#[cfg(feature = "cluster")]
pub use relay::RelaySetup;
#[cfg(feature = "cluster")]
pub use report::{ClusterReport, StreamReport, WorkerReport, status};
#[cfg(feature = "cluster")]
pub use setup::{SharedStream, WorkerSetup};
#[cfg(feature = "cluster")]
pub use sound_publisher::{SoundFigures, SoundPiece, SoundPublisher};
#[cfg(feature = "cluster")]
pub use stream_channel::{Resume, SnapshotInfo, TaskPort, stream_channel};
#[cfg(feature = "cluster")]
pub use survey::{ClusterFinding, survey};
#[cfg(feature = "cluster")]
pub use worker::Worker;
