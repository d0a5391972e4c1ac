//! CPC training: windows of 20,480 samples, InfoNCE, Adam.

mod bank;
mod sampler;
mod trainer;

pub use sampler::Sampler;
pub use trainer::{Report, Trainer};
