//! The daemon: sources, engine, publisher and the supervisor around them.
//!
//! | thread | runs |
//! | --- | --- |
//! | cpal's, one a device | the audio callback: pushes samples into rings |
//! | `source ID`, one a source | opens, watches and reopens a device, or reads a file or pipe |
//! | `inference`, `inference N` | rings of some streams → [`Engine`] (resample, step the batch, score, detect) → publisher |
//! | `learn N` | detectors of live streams, while they learn what is normal |
//! | `publish` | the outbox, or lines on stdout |
//! | `snapshots` | pictures and clips of events onto the disk, where they are asked for |
//! | `states` | what is known of streams onto the disk |
//! | `mics` | the link to the broker by which microphones are heard, where there are any |
//! | `pool` | who of the workers hears which microphone, where `[pool]` asks for it |
//! | `mqtt` | the link to the broker, where one is configured |
//! | `http` | the page, metrics and probes, where they are asked for |
//! | `main` | [`run`]: signals, device notices, health, the watchdog, the ordered stop |

mod breaks;
mod calibrations;
mod cluster;
mod daemon;
mod deferred;
mod dispatch;
mod endings;
mod engine;
mod health;
mod heard;
mod inference;
mod keeper;
mod lane;
mod learning;
mod learning_progress;
mod lock;
mod mute;
mod notes;
mod notices;
mod pool;
mod progress;
mod pulse;
mod reload;
mod requests;
mod rescue;
mod scores;
mod shard;
mod show;
mod snapshot;
mod stamp;
mod stopping;
mod stream;
mod strip;
mod tick;
#[cfg_attr(not(feature = "mqtt"), path = "no_workers.rs")]
mod workers;

pub use calibrations::CalibrationStore;
pub(crate) use daemon::no_source;
pub use daemon::{Control, run};
pub use engine::Engine;
pub use heard::Heard;
pub use lane::{Lane, LaneCounters, LaneFigures};
pub use pool::Pooled;
pub use rescue::trusted_difference;
pub use snapshot::Excerpt;
pub use stamp::Stamp;
pub(crate) use workers::open_air;
