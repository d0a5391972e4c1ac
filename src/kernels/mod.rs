//! One hop of many streams, as fast as the machine allows.
//!
//! A [`Plan`] is a network as plain numbers; a [`Stepper`] keeps the memory of streams and steps them in place. What a
//! stepper computes is what the layers of [`nn`](crate::nn) compute, to rounding; those stay the definition, and the
//! way to learn.

mod cpu;
mod plan;
mod stepper;

pub use cpu::{CpuStepper, Precision};
pub use plan::{Convolution, Matrix, MemoryMap, Norm, Plan, Recurrence};
pub use stepper::{Hops, Stepper};
