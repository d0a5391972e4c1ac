//! A critic row by row.

use std::fmt::Debug;

use super::math::{GruGates, NormRelu};
use super::pack::Packing;
use super::packed_weights::PackedWeights;
use super::product::{RowLayout, multiply, multiply_then};
use super::simd::Simd;
use super::widest::{Make, for_any, for_widest};
use crate::error::{Error, Result};
use crate::kernels::{CriticPlan, Matrix, Precision};
use crate::units::BANDS;

const PAIRS: usize = BANDS / 2;
const FOURS: usize = BANDS / 4;

/// The weights of a critic, packed for the widest registers of this processor: what streams share.
#[derive(Debug)]
pub struct CpuCritic {
    weights: Box<dyn CriticKernel>,
}

/// The state of a stream under a [`CpuCritic`]: the two rows of the first layer before, and the state of the
/// recurrence.
#[derive(Debug, Clone)]
pub struct CriticMemory {
    /// `[2, 32 · narrow]`, the older first.
    first: Vec<f32>,
    hidden: Vec<f32>,
    scratch: Scratch,
}

impl CriticMemory {
    /// The state as numbers: rows of the first layer, and the recurrence.
    #[must_use]
    pub fn parts(&self) -> [&[f32]; 2] {
        [&self.first, &self.hidden]
    }

    /// The state that had these [`parts`](Self::parts). A critic to which they do not belong begins anew with it.
    #[must_use]
    pub fn from_parts(first: Vec<f32>, hidden: Vec<f32>) -> Self {
        Self { first, hidden, scratch: Scratch::default() }
    }
}

/// Intermediate results; the buffers are reused.
#[derive(Debug, Clone, Default)]
struct Scratch {
    packing: Packing,
    /// Pairs of bands, `2 · planes` numbers each, with zeros below and above.
    pairs: Vec<f32>,
    /// Fours of bands, two rows ago and now, `4 · narrow` numbers each, with zeros below and above.
    fours: Vec<f32>,
    sums: Vec<f32>,
    input_sums: Vec<f32>,
    hidden_sums: Vec<f32>,
    /// Of four bands.
    second: Vec<f32>,
    /// Means, maxima, distances.
    pooled: Vec<f32>,
}

trait CriticKernel: Debug + Send + Sync {
    fn fresh(&self) -> CriticMemory;
    fn step(&self, row: &[f32], memory: &mut CriticMemory) -> f32;
}

impl CpuCritic {
    /// Packs the weights of `plan`.
    ///
    /// # Errors
    /// When parts of the plan do not fit together.
    pub fn new(plan: &CriticPlan) -> Result<Self> {
        check(plan)?;
        Ok(for_widest(plan))
    }

    /// The same with registers that every machine has.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn portable(plan: &CriticPlan) -> Result<Self> {
        check(plan)?;
        Ok(for_any(plan))
    }

    /// The state of a stream before its first row.
    #[must_use]
    pub fn fresh(&self) -> CriticMemory {
        self.weights.fresh()
    }

    /// Steps by one row, `[planes · 64 + distances]`, and returns the logit. `memory` belongs to this critic.
    ///
    /// # Panics
    /// When the row has another length.
    pub fn step(&self, row: &[f32], memory: &mut CriticMemory) -> f32 {
        self.weights.step(row, memory)
    }
}

fn check(plan: &CriticPlan) -> Result<()> {
    let (narrow, wide, hidden) = (plan.first.cols, plan.second.cols, plan.memory.hidden.rows);
    let layers = [
        (&plan.first, &plan.first_bias, (6 * plan.planes, narrow)),
        (&plan.second, &plan.second_bias, (12 * narrow, wide)),
        (&plan.memory.input, &plan.memory.input_bias, (2 * wide + plan.distances, 3 * hidden)),
        (&plan.memory.hidden, &plan.memory.hidden_bias, (hidden, 3 * hidden)),
        (&plan.last, &plan.last_bias, (hidden, 1)),
    ];
    for (matrix, bias, (rows, cols)) in layers {
        let found = (matrix.rows, matrix.cols, matrix.data.len(), bias.len());
        if found != (rows, cols, rows * cols, cols) {
            return Err(Error::internal(format!(
                "a critic with a layer of {found:?}, expected {rows} by {cols}"
            )));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct PackedCritic<S> {
    s: S,
    planes: usize,
    distances: usize,
    first: PackedWeights,
    second: PackedWeights,
    input: PackedWeights,
    hidden: PackedWeights,
    last: Vec<f32>,
    last_bias: f32,
}

impl Make for &CriticPlan {
    type Made = CpuCritic;

    fn make<S: Simd>(self, s: S) -> CpuCritic {
        let pack =
            |matrix: &Matrix, bias: &[f32]| PackedWeights::new(Precision::F32, S::LANES, &[matrix], bias);
        // each cell first two rows ago, then now
        let (cell, wide) = (2 * self.first.cols, self.second.cols);
        let (before, now) = self.second.data.split_at(3 * cell * wide);
        let cells = before.chunks(cell * wide).zip(now.chunks(cell * wide));
        let data = cells.flat_map(|(before, now)| [before, now].concat()).collect();
        let second = Matrix { rows: self.second.rows, cols: wide, data };
        let weights = Box::new(PackedCritic {
            s,
            planes: self.planes,
            distances: self.distances,
            first: pack(&self.first, &self.first_bias),
            second: pack(&second, &self.second_bias),
            input: pack(&self.memory.input, &self.memory.input_bias),
            hidden: pack(&self.memory.hidden, &self.memory.hidden_bias),
            last: self.last.data.clone(),
            last_bias: self.last_bias.iter().sum(),
        });
        CpuCritic { weights }
    }
}

impl<S: Simd> CriticKernel for PackedCritic<S> {
    fn fresh(&self) -> CriticMemory {
        let (narrow, wide) = (self.first.cols(), self.second.cols());
        CriticMemory {
            first: vec![0.0; 2 * PAIRS * narrow],
            hidden: vec![0.0; self.last.len()],
            scratch: Scratch {
                pairs: vec![0.0; (PAIRS + 2) * 2 * self.planes],
                fours: vec![0.0; (FOURS + 2) * 4 * narrow],
                input_sums: vec![0.0; self.input.padded()],
                hidden_sums: vec![0.0; self.hidden.padded()],
                second: vec![0.0; wide],
                pooled: vec![0.0; 2 * wide + self.distances],
                ..Scratch::default()
            },
        }
    }

    fn step(&self, row: &[f32], memory: &mut CriticMemory) -> f32 {
        if memory.scratch.pairs.is_empty() {
            self.adopt(memory);
        }
        self.first_layer(row, memory);
        self.pool_bands(&mut memory.scratch);
        let Scratch { pooled, input_sums, hidden_sums, packing, .. } = &mut memory.scratch;
        let own = pooled.len() - self.distances;
        pooled[own..].copy_from_slice(&row[self.planes * BANDS..]);
        let rows = RowLayout::plain(1, pooled.len());
        multiply(self.s, &self.input, (pooled, rows), input_sums, packing);
        let rows = RowLayout::plain(1, memory.hidden.len());
        multiply(self.s, &self.hidden, (&memory.hidden, rows), hidden_sums, packing);
        self.s.run(GruGates { from_input: input_sums, from_hidden: hidden_sums, hidden: &mut memory.hidden });
        let products = memory.hidden.iter().zip(&self.last).map(|(h, w)| h * w);
        self.last_bias + products.sum::<f32>()
    }
}

impl<S: Simd> PackedCritic<S> {
    /// Gives a state that was made of its parts the buffers of this critic.
    fn adopt(&self, memory: &mut CriticMemory) {
        let fresh = self.fresh();
        let is_own = (memory.first.len(), memory.hidden.len()) == (fresh.first.len(), fresh.hidden.len());
        if is_own {
            memory.scratch = fresh.scratch;
        } else {
            *memory = fresh;
        }
    }

    /// The first layer, of each pair, and what it was two rows ago, as fours.
    fn first_layer(&self, row: &[f32], memory: &mut CriticMemory) {
        let Scratch { packing, pairs, fours, sums, .. } = &mut memory.scratch;
        let (narrow, width) = (self.first.cols(), 2 * self.planes);
        for (pair, cell) in pairs[width..].chunks_exact_mut(width).take(PAIRS).enumerate() {
            for (plane, both) in cell.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                both.copy_from_slice(&row[plane * BANDS + 2 * pair..][..2]);
            }
        }
        let rows = RowLayout { count: PAIRS, frames: PAIRS, frame_step: width, stream_step: 0 };
        let padded = self.first.padded();
        let (before, now) = memory.first.split_at_mut(PAIRS * narrow);
        let cells = fours[4 * narrow..].chunks_exact_mut(4 * narrow);
        for (cell, before) in cells.zip(before.chunks_exact(2 * narrow)) {
            cell[..2 * narrow].copy_from_slice(before);
        }
        before.copy_from_slice(now);
        multiply_then(self.s, &self.first, (pairs, rows), sums, packing, |from, sums| {
            let into = now[from * narrow..].chunks_exact_mut(narrow);
            for (sums, into) in sums.chunks_exact(padded).zip(into) {
                self.s.run(NormRelu { norm: None, frame: &sums[..narrow], into });
            }
        });
        let cells = fours[4 * narrow..].chunks_exact_mut(4 * narrow);
        for (cell, now) in cells.zip(now.chunks_exact(2 * narrow)) {
            cell[2 * narrow..].copy_from_slice(now);
        }
    }

    /// Means and maxima of the second layer over fours.
    fn pool_bands(&self, scratch: &mut Scratch) {
        let Scratch { packing, fours, sums, second, pooled, .. } = scratch;
        let wide = second.len();
        let step = fours.len() / (FOURS + 2);
        let rows = RowLayout { count: FOURS, frames: FOURS, frame_step: step, stream_step: 0 };
        let padded = self.second.padded();
        let (means, rest) = pooled.split_at_mut(wide);
        let maxima = &mut rest[..wide];
        means.fill(0.0);
        // rectified numbers are never below it
        maxima.fill(0.0);
        multiply_then(self.s, &self.second, (fours, rows), sums, packing, |_, sums| {
            for sums in sums.chunks_exact(padded) {
                self.s.run(NormRelu { norm: None, frame: &sums[..wide], into: second });
                for ((mean, most), x) in means.iter_mut().zip(maxima.iter_mut()).zip(second.iter()) {
                    *mean += x * (1.0 / FOURS as f32);
                    *most = most.max(*x);
                }
            }
        });
    }
}
