//! Hops of many streams, as fast as the machine allows.
//!
//! A [`Plan`] is a network as plain numbers; a [`Stepper`] keeps the memory of streams and steps them in place. What a
//! stepper computes is what the layers of [`nn`](crate::nn) compute, to rounding; those stay the definition, and the
//! way to learn.

mod cpu;
mod critic;
#[cfg(feature = "cuda")]
mod cuda;
mod plan;
mod precision;
mod stepper;

pub use cpu::{
    Block, COLUMNS, CpuCritic, CpuStepper, CriticMemory, LagProducts, Roofline, Triangle, add_lag_products,
    add_outer, add_squares, dots, factorise_row, moments, multiply_symmetric, reflect, squared_norm,
    subtract_predictions, subtract_products,
};
pub use critic::CriticPlan;
#[cfg(feature = "cuda")]
pub use cuda::GpuStepper;
pub use plan::{Convolution, Matrix, MemoryMap, Norm, Plan, Recurrence};
pub use precision::Precision;
pub(crate) use stepper::hops_each;
pub use stepper::{Hops, Stepper};
