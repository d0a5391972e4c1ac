//! Plans on the processor, with one set of kernels for whatever registers it has.
//!
//! Weights are packed once into panels of columns ([`PackedWeights`](packed_weights::PackedWeights)), in the order in which a product reads
//! them. A product packs its inputs block of depth by block of depth, and a tile of rows × columns stays in registers
//! while a block goes by ([`product`]). All streams of a step are rows of the same products; with few rows each
//! weight is read from memory once. The registers are a type parameter ([`Simd`](simd::Simd)), and so is the form of
//! the weights ([`Format`](format::Format)): the kernel is written once.
//!
//! | weights | inputs | vectors | with VNNI | with AMX | sums |
//! | --- | --- | --- | --- | --- | --- |
//! | f32 | f32 | multiply-add | – | – | of 32 bits |
//! | bf16 | f32 | unpack, multiply-add | – | two products of bf16 | of 32 bits |
//! | int8 | 15 bits | unpack, `vpmaddwd` | `vpdpwssd` | two products of bytes | exact |
//! | w8a8 | 8 bits | unpack, `vpmaddwd` | `vpdpbusd` | a product of bytes | exact |
//! | int7 | 7 bits | `vpmaddubsw` | `vpdpbusd` | a product of bytes | exact |
//!
//! Matrix registers ([`Tiles`](tiles::Tiles)) read the same packed weights, and inputs row after row
//! ([`tile_product`]); they take all products of a format that they know, so that the sums of a row do not depend on how many
//! rows there are.

#[cfg(target_arch = "x86_64")]
mod amx;
mod autoregression;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bands;
mod block;
mod cholesky;
mod columns;
mod critic;
mod format;
mod hop;
mod input_scales;
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
mod sums;
#[cfg(test)]
mod tests;
mod tile_pack;
mod tile_product;
mod tiles;
mod triangle;
mod widest;
mod worker_threads;

pub use autoregression::{Block, LagProducts, add_lag_products, reflect, subtract_predictions};
pub use cholesky::factorise_row;
pub use columns::{COLUMNS, add_squares, dots, moments, subtract_products};
pub use critic::{CpuCritic, CriticMemory};
pub use roofline::Roofline;
pub use stepper::CpuStepper;
pub use triangle::{Triangle, add_outer, multiply_symmetric, squared_norm};
