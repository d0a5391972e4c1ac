//! Plans on the processor, with one set of kernels for whatever registers it has.
//!
//! Weights are packed once into panels of columns ([`Panels`](panels::Panels)), in the order in which a product reads
//! them. A product packs its inputs block of depth by block of depth, and a tile of rows × columns stays in registers
//! while a block goes by ([`product`]). All streams of a step are rows of the same products; with few rows each
//! weight is read from memory once. The registers are a type parameter ([`Simd`](simd::Simd)), and so is the form of
//! the weights ([`Format`](format::Format)): the kernel is written once.

mod bands;
mod columns;
mod critic;
mod format;
mod hop;
mod limits;
mod math;
mod network;
mod pack;
mod panels;
mod pool;
mod product;
#[cfg(test)]
mod reference;
mod simd;
mod stepper;
#[cfg(test)]
mod tests;
mod widest;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use columns::{COLUMNS, multiply_symmetric, subtract_products};
pub use critic::{CpuCritic, CriticMemory};
pub use limits::Limits;
pub use stepper::CpuStepper;
