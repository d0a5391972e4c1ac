//! A critic as kernels read it.

use super::{Matrix, Recurrence};

/// The weights of a [`Critic`](crate::critic::Critic), of which there is one for all streams.
#[derive(Debug, Clone, PartialEq)]
pub struct CriticPlan {
    /// Input planes: numbers for each band.
    pub planes: usize,
    /// Inputs that belong to the row as a whole.
    pub distances: usize,
    /// Of a pair of bands and the pairs below and above it, `[3 · 2 · planes, narrow]`.
    pub first: Matrix,
    /// `[narrow]`.
    pub first_bias: Vec<f32>,
    /// Of four bands and those below and above them, two rows ago and now, `[2 · 3 · 2 · narrow, wide]`.
    pub second: Matrix,
    /// `[wide]`.
    pub second_bias: Vec<f32>,
    /// Of means and maxima over bands and the distances.
    pub memory: Recurrence,
    /// `[h, 1]`.
    pub last: Matrix,
    /// `[1]`.
    pub last_bias: Vec<f32>,
}
