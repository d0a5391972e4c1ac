//! CPC training: windows of 20,480 samples, InfoNCE, Adam.
//!
//! Rows of a batch play recordings window after window, and contexts are carried over (truncated back-propagation through
//! time), because the daemon runs for weeks. Contexts may hear a changed sound; what they predict is the true one.
//! Negatives come from the same window, from the other recordings of the batch, from a queue beyond the batch, and from the
//! window's own future with a foreign sound mixed in ([`Negatives`](crate::predict::Negatives)). A run can be stopped
//! anywhere and goes on from its last checkpoint as if nothing had happened, to the bit.

mod adam;
mod augment;
mod biquad;
mod checkpoint;
mod critic;
mod curves;
mod dice;
mod journal;
mod keys;
mod lessons;
mod sampler;
mod start;
mod trainer;
mod vitals;

pub use checkpoint::checkpoint_path;
pub use critic::{Mark, teach_critic};
pub use journal::{Journal, journal_path};
pub use lessons::Lessons;
pub use start::Start;
pub use trainer::{Report, Trainer, Validation};
pub use vitals::Vitals;
