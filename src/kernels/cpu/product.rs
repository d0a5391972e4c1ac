//! Products of many rows with one packed matrix.
#![allow(unsafe_code, reason = "blocks take pointers to their weights and sums")]

use std::marker::PhantomData;

use super::block::{Block, Outputs, tiles};
use super::format::{Bf16, F32, Format, Int7, Int8, W8a8};
use super::pack::Packing;
use super::packed_weights::PackedWeights;
use super::simd::Simd;
use super::tile_product::{TiledBlock, Tiling};
use crate::kernels::Precision;

/// Rows that share a pass over the weights: with a block of depth their packed inputs fit a level-2 cache.
const MAX_ROWS_PER_PASS: usize = 128;

/// Where rows of inputs lie: `frames` of each stream, `frame_step` apart, and streams `stream_step` apart. Rows may
/// overlap.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowLayout {
    /// Rows of all streams.
    pub(super) count: usize,
    /// Rows of a stream.
    pub(super) frames: usize,
    /// From a row to the next.
    pub(super) frame_step: usize,
    /// From a stream to the next.
    pub(super) stream_step: usize,
}

impl RowLayout {
    /// `count` rows, `step` apart.
    pub(super) fn plain(count: usize, step: usize) -> Self {
        Self { count, frames: 1, frame_step: 0, stream_step: step }
    }

    fn offset(&self, row: usize) -> usize {
        row / self.frames * self.stream_step + row % self.frames * self.frame_step
    }
}

/// Some rows of inputs.
#[derive(Debug, Clone, Copy)]
struct InputRows<'a> {
    inputs: &'a [f32],
    layout: RowLayout,
    /// The first of them.
    from: usize,
    depth: usize,
}

impl<'a> InputRows<'a> {
    /// Where a row begins among the inputs, of which it is a part.
    fn start(self, row: usize) -> usize {
        let start = self.layout.offset(self.from + row);
        assert!(start + self.depth <= self.inputs.len());
        start
    }

    fn row(self, row: usize) -> &'a [f32] {
        &self.inputs[self.start(row)..][..self.depth]
    }
}

/// `sums[r] = bias + inputs[r] · weights` for every row r, in rows of [`PackedWeights::padded`] numbers.
pub(super) fn multiply<S: Simd>(
    s: S,
    weights: &PackedWeights,
    (inputs, rows): (&[f32], RowLayout),
    sums: &mut [f32],
    packing: &mut Packing,
) {
    for (from, count) in tiles(rows.count, MAX_ROWS_PER_PASS) {
        let sums = &mut sums[from * weights.padded()..(from + count) * weights.padded()];
        multiply_chunk(s, weights, (inputs, rows, from), sums, packing);
    }
}

/// The same for rows whose sums are read only once: `then` is told the number of the first of some rows and their sums, in
/// order, while these are in a near cache.
pub(super) fn multiply_then<S: Simd>(
    s: S,
    weights: &PackedWeights,
    (inputs, rows): (&[f32], RowLayout),
    sums: &mut Vec<f32>,
    packing: &mut Packing,
    mut then: impl FnMut(usize, &[f32]),
) {
    for (from, count) in tiles(rows.count, MAX_ROWS_PER_PASS) {
        let len = count * weights.padded();
        sums.resize(sums.len().max(len), 0.0);
        multiply_chunk(s, weights, (inputs, rows, from), &mut sums[..len], packing);
        then(from, &sums[..len]);
    }
}

/// The sums of at most [`MAX_ROWS_PER_PASS`] rows, from row `from` on.
fn multiply_chunk<S: Simd>(
    s: S,
    weights: &PackedWeights,
    (inputs, rows, from): (&[f32], RowLayout, usize),
    sums: &mut [f32],
    packing: &mut Packing,
) {
    let count = sums.len() / weights.padded().max(1);
    let inputs = InputRows { inputs, layout: rows, from, depth: weights.depth() };
    match weights.precision() {
        Precision::F32 | Precision::Tf32 | Precision::Auto => {
            pass::<S, F32>(s, weights, count, inputs, sums, packing);
        }
        Precision::Bf16 => pass::<S, Bf16>(s, weights, count, inputs, sums, packing),
        Precision::Int8 => match s.dot() {
            Some(s) => pass::<S::Dot, Int8>(s, weights, count, inputs, sums, packing),
            None => pass::<S, Int8>(s, weights, count, inputs, sums, packing),
        },
        Precision::W8a8 => match s.dot() {
            Some(s) => pass::<S::Dot, W8a8>(s, weights, count, inputs, sums, packing),
            None => pass::<S, W8a8>(s, weights, count, inputs, sums, packing),
        },
        Precision::Int7 => match s.dot() {
            Some(s) => pass::<S::Dot, Int7>(s, weights, count, inputs, sums, packing),
            None => pass::<S, Int7>(s, weights, count, inputs, sums, packing),
        },
    }
}

/// One pass over the weights for at most [`MAX_ROWS_PER_PASS`] rows.
fn pass<S: Simd, F: Format>(
    s: S,
    weights: &PackedWeights,
    count: usize,
    rows: InputRows<'_>,
    sums: &mut [f32],
    packing: &mut Packing,
) {
    let steps = weights.steps::<F>();
    let step = weights.padded() * F::BYTES;
    assert!(steps * step <= weights.bytes() && sums.len() == count * weights.padded());
    let inputs = |row| rows.row(row);
    packing.begin::<S, F>(s, count, inputs);
    if F::PLAIN {
        packing.find((0..count).map(|row| rows.start(row)));
    }
    let padded = weights.padded();
    assert!(weights.bias().len() == padded);
    assert!(F::MAX_INT == 0 || packing.scales().len() == count && weights.scales().len() == padded);
    assert!(F::OFFSET == 0 || packing.shifts().len() == count && weights.totals().len() == padded);
    let tiling = Tiling::of::<S, F>(s, count);
    for from in (0..steps).step_by(F::BLOCK) {
        let block = F::BLOCK.min(steps - from);
        let depth = from * F::DEPTH..weights.depth().min((from + block) * F::DEPTH);
        let outputs = Outputs {
            begin: from == 0,
            bias: weights.bias().as_ptr(),
            totals: weights.totals().as_ptr(),
            shifts: packing.shifts().as_ptr(),
            input_scales: packing.scales().as_ptr(),
            weight_scales: weights.scales().as_ptr(),
            sums: sums.as_mut_ptr(),
            padded,
        };
        // SAFETY: `steps · step` bytes lie there, which is more than `from · step`.
        let weights = unsafe { weights.start().add(from * step) };
        if let Some(tiling) = tiling {
            let inputs = packing.pack_matrix(s, tiling.product(), tiling.sizes(block), (inputs, &depth));
            let format = PhantomData::<F>;
            s.run(TiledBlock { tiling, steps: block, weights, inputs, outputs, format });
            continue;
        }
        let starts = packing.starts().as_ptr();
        let inputs = if F::PLAIN {
            // no row has rests of a step, and all lie among the inputs
            assert!(F::DEPTH == 1 && F::PARTS == 1 && steps == rows.depth && packing.starts().len() == count);
            rows.inputs[from..].as_ptr().cast()
        } else {
            packing.pack::<S, F>(s, (count, block), inputs, &depth);
            assert!(count * block * F::PARTS <= packing.words().len());
            packing.words().as_ptr()
        };
        s.run(Block::<F> { steps: block, weights, inputs, starts, outputs, count, format: PhantomData });
    }
}
