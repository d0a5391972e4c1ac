//! Plans on the processor, with one set of kernels for whatever registers it has.
//!
//! Weights are packed once into panels of columns ([`PackedWeights`](packed_weights::PackedWeights)), in the order in which a product reads
//! them. A product packs its inputs block of depth by block of depth, and a tile of rows × columns stays in registers
//! while a block goes by ([`product`]). All streams of a step are rows of the same products; with few rows each
//! weight is read from memory once. The registers are a type parameter ([`Simd`](simd::Simd)), and so is the form of
//! the weights ([`Format`](format::Format)): the kernel is written once.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bands;
mod columns;
mod critic;
mod format;
mod hop;
mod math;
mod network;
mod pack;
mod packed_weights;
mod product;
#[cfg(test)]
mod product_tests;
#[cfg(test)]
mod reference;
mod roofline;
mod simd;
mod stepper;
#[cfg(test)]
mod tests;
mod tile_pack;
mod tile_product;
mod tiles;
mod widest;
mod worker_threads;

pub use columns::{COLUMNS, multiply_symmetric, subtract_products};
pub use critic::{CpuCritic, CriticMemory};
pub use roofline::Roofline;
pub use stepper::CpuStepper;
