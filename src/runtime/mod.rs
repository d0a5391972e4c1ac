//! The daemon: sources, engine, publisher and the supervisor around them.
//!
//! | thread | runs |
//! | --- | --- |
//! | cpal's, one a device | the audio callback: pushes samples into rings |
//! | `source ID`, one a source | opens, watches and reopens a device, or reads a file or pipe |
//! | `inference`, `inference N` | rings of some streams → [`Engine`] (resample, step the batch, score, detect) → publisher |
//! | `learn N` | calibrations of live streams |
//! | `publish` | the outbox, or lines on stdout |
//! | `snapshots` | writes pictures and clips of events to the disk, if enabled |
//! | `states` | writes detector states to the disk |
//! | `mics` | the connection to the broker for microphones, if there are any |
//! | `mqtt` | the connection to the broker, if one is configured |
//! | `http` | the page, metrics and probes, if enabled |
//! | `main` | [`run`]: signals, device notices, health, the watchdog, the ordered stop |

mod admission;
mod beginnings;
mod breaks;
mod calibration_pool;
mod calibration_view;
mod calibrations;
mod capacity;
mod cluster;
mod cluster_session;
mod daemon;
mod dashboard_update;
mod day_reporter;
mod deferred;
mod dispatch;
mod embedding_averager;
mod endings;
mod engine;
mod engine_output;
mod event_builder;
mod failover;
mod health;
mod inference;
mod learning;
mod learning_progress;
mod liveness;
mod lock;
mod loss;
mod microphones;
mod mute;
mod notices;
mod pending;
mod pipeline_figures;
mod progress;
mod publish_queue;
mod reload;
mod requests;
mod scores;
mod settings;
mod shard;
mod snapshot;
mod spectrogram;
mod state_logger;
mod state_writer;
mod stopping;
mod stream;
mod stream_memory;
mod stream_pipeline;
mod thread_request;
mod tick;

pub(crate) use admission::no_source;
pub use calibrations::CalibrationStore;
pub(crate) use capacity::Capacity;
pub use daemon::{Control, run};
pub use embedding_averager::MeanContext;
pub use engine::Engine;
pub use engine_output::EngineOutput;
pub use event_builder::EventBuilder;
pub use failover::trusted_difference;
pub(crate) use lock::lock as lock_state;
pub(crate) use microphones::open_microphones;
pub use pipeline_figures::{PipelineCounters, PipelineFigures};
pub use snapshot::Clip;
pub use stream_memory::StreamMemory;
pub use stream_pipeline::StreamPipeline;
