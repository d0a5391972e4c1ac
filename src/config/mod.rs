//! The file, the environment and the flags as one value.
//!
//! Later wins: built-in defaults, the TOML file, `CPC_STREAM_*` variables (`__` between the parts of a key:
//! `CPC_STREAM_DETECT__EVENTS_PER_HOUR=2`), flags. Unknown keys are refused wherever they stand. The config types
//! do not depend on cargo features, so one file parses in every build.

mod critic;
mod daemon;
mod load;
mod snapshots;
mod stream_limit;
mod train;

pub use critic::CriticTraining;
pub use daemon::{Config, ModelConfig};
pub use load::{Loaded, load, told_by_flag};
pub use snapshots::SnapshotConfig;
pub use stream_limit::StreamLimit;
pub use train::{Augment, Compose, Queue, Scale, TrainConfig};
