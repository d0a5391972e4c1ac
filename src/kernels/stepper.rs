//! The trait of all executors of a plan.

use std::fmt::Debug;

use crate::error::{Error, Result};
use crate::units::HOP;

/// Results of hops: stream after stream in the order in which they were stepped, and hop after hop within a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hops {
    /// Pointwise mutual information in nats, K a hop; NaN where a context does not exist yet.
    pub pmi: Vec<f32>,
    /// z, d a hop.
    pub latents: Vec<f32>,
    /// c, h a hop.
    pub contexts: Vec<f32>,
    /// Log-mel bands, 64 a hop.
    pub bands: Vec<f32>,
    /// Set when the caller needs the scores alone: the other results may stay on the device.
    pub scores_only: bool,
}

/// Streams in numbered rows, each with a memory, stepped one hop at a time or some in a row. The memory of a row is one run of numbers,
/// laid out as [`MemoryMap`](super::MemoryMap) says, whatever executes the plan.
pub trait Stepper: Debug + Send {
    /// Rows there are.
    fn rows(&self) -> usize;

    /// Makes room for at least `rows` rows; those that are there keep their memory, new ones start from the zero state.
    ///
    /// # Errors
    /// When the device cannot hold them.
    fn reserve(&mut self, rows: usize) -> Result<()>;

    /// Appends the memory of a row.
    ///
    /// # Errors
    /// When there is no such row, or the device fails.
    fn memory(&self, row: usize, into: &mut Vec<f32>) -> Result<()>;

    /// Gives a row this memory.
    ///
    /// # Errors
    /// When there is no such row, the memory has another length, or the device fails.
    fn set_memory(&mut self, row: usize, memory: &[f32]) -> Result<()>;

    /// Steps `rows`, each named once, by the hops in `samples`, in this order: 160 samples a hop, and for each row as
    /// many hops in a row. The others stand still. `hops` receives the results in this order; its earlier content is
    /// replaced.
    ///
    /// # Errors
    /// When a row does not exist, lengths do not fit, or the device fails.
    fn step(&mut self, rows: &[u32], samples: &[f32], hops: &mut Hops) -> Result<()>;

    /// The instruction sets that its products use, as logs name them: `AVX-512 with VNNI and AMX`.
    fn instructions(&self) -> String;

    /// Another stepper without rows, for another thread, on the same copy of the weights; none where there can be only one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    fn with_same_weights(&self) -> Result<Option<Box<dyn Stepper>>> {
        Ok(None)
    }
}

/// How many hops `samples` hold for each of `rows`.
///
/// # Errors
/// When that is no whole number, or 0.
pub(crate) fn hops_each(rows: &[u32], samples: &[f32]) -> Result<usize> {
    let hop = rows.len() * HOP;
    let fits = samples.len().is_multiple_of(hop) && (hop == 0 || !samples.is_empty());
    if !fits {
        return Err(Error::internal(format!(
            "{} samples for a hop of {} streams, {hop} expected, or some times as many",
            samples.len(),
            rows.len(),
        )));
    }
    Ok(samples.len().checked_div(hop).unwrap_or(1))
}
