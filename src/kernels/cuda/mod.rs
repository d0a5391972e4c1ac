//! A plan on an NVIDIA GPU.
//!
//! Weights and the memory of all streams live there. A hop is one graph of kernels, recorded once for a number of rows:
//! sound goes up, scores come down, and nothing is allocated or looked up on the way.

mod device;
mod network;
mod stepper;

pub use stepper::GpuStepper;
