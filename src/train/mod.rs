//! CPC training: windows of 20,480 samples, InfoNCE, Adam.
//!
//! Rows of a batch play recordings window after window, and contexts are carried over (truncated back-propagation
//! through time), because the daemon runs for weeks. Contexts may be computed from augmented sound; their targets are
//! the latents of the true sound. Negatives come from the same window, from the other recordings of the batch, from a
//! queue beyond the batch, and from the window's own future with a foreign sound mixed in
//! ([`Negatives`](crate::predict::Negatives)). A run can be stopped anywhere and goes on from its last checkpoint as if
//! nothing had happened, to the bit.

mod adam;
mod augment;
mod biquad;
mod checkpoint;
mod checkpointable_rng;
mod critic;
mod critic_dataset;
mod curves;
mod moco_queue;
mod representation_metrics;
mod sampler;
mod start;
mod trainer;
mod training_log;

pub use checkpoint::checkpoint_path;
pub use critic::{CriticResult, train_critic};
pub use critic_dataset::CriticDataset;
pub use representation_metrics::RepresentationMetrics;
pub use start::Start;
pub use trainer::{StepReport, Trainer, Validation};
pub use training_log::{TrainingLog, training_log_path};
