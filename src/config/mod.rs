//! The file, the environment and the flags as one value.

mod train;

pub use train::TrainConfig;
