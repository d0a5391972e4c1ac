//! Products of many rows with one packed matrix.
#![allow(unsafe_code, reason = "the innermost loop reads packed words without looking at their number")]

use std::marker::PhantomData;

use super::format::{Bf16, F32, Format, Int7, Int8, W8a8};
use super::pack::Packing;
use super::packed_weights::PackedWeights;
use super::simd::{Kernel, MAX_ROWS, SIDE, Simd};
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
    let inputs = |row: usize| {
        let at = rows.offset(from + row);
        &inputs[at..at + weights.depth()]
    };
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

/// Rows cut into tiles of nearly the same height: `(first, rows)` of each.
pub(super) fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most);
    (0..tiles).map(move |tile| {
        let (from, to) = (tile * count / tiles, (tile + 1) * count / tiles);
        (from, to - from)
    })
}

/// One pass over the weights for at most [`MAX_ROWS_PER_PASS`] rows.
fn pass<'a, S: Simd, F: Format>(
    s: S,
    weights: &PackedWeights,
    count: usize,
    inputs: impl Fn(usize) -> &'a [f32],
    sums: &mut [f32],
    packing: &mut Packing,
) {
    let steps = weights.steps::<F>();
    let step = weights.padded() * F::BYTES;
    assert!(steps * step <= weights.bytes() && sums.len() == count * weights.padded());
    packing.begin::<S, F>(s, count, &inputs);
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
            let inputs = packing.pack_matrix(s, tiling.product(), tiling.sizes(block), (&inputs, &depth));
            let format = PhantomData::<F>;
            s.run(TiledBlock { tiling, steps: block, weights, inputs, outputs, format });
            continue;
        }
        packing.pack::<S, F>(s, (count, block), &inputs, &depth);
        assert!(count * block * F::PARTS <= packing.words().len());
        let inputs = packing.words().as_ptr();
        s.run(Block::<F> { steps: block, weights, inputs, outputs, count, format: PhantomData });
    }
}

/// Where the sums of a product go, and what makes numbers of integers.
///
/// There are `count · padded` sums and `padded` biases; of integers `count` and `padded` scales; with an offset `count` shifts
/// and `padded` totals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs {
    /// Whether this is the first block of depth: sums begin with the bias, less the share of the offset of a row's integers.
    begin: bool,
    bias: *const f32,
    shifts: *const f32,
    totals: *const f32,
    input_scales: *const f32,
    weight_scales: *const f32,
    /// `[count, padded]`, which all blocks but the first add to.
    sums: *mut f32,
    pub(super) padded: usize,
}

impl Outputs {
    /// Adds the sum of a block of depth, for the columns of a register from `col` on.
    ///
    /// # Safety
    /// What is promised above is there, and `row < count` and `col + LANES <= padded`.
    #[inline(always)]
    pub(super) unsafe fn add<S: Simd, F: Format>(&self, s: S, row: usize, col: usize, mut sum: S::Reg) {
        // SAFETY: the caller's promise.
        unsafe {
            if F::MAX_INT > 0 {
                let scale = s.load(self.weight_scales.add(col).cast());
                let scale = s.multiply(scale, s.splat(self.input_scales.add(row).cast()));
                sum = s.scaled(sum, scale);
            }
            let into = self.sums.add(row * self.padded + col).cast();
            let mut before = if self.begin { s.load(self.bias.add(col).cast()) } else { s.load(into) };
            if self.begin && F::OFFSET > 0 {
                let shift = s.splat(self.shifts.add(row).cast());
                // not fused, so that all registers give the same bits
                before = s.add(before, s.multiply(shift, s.load(self.totals.add(col).cast())));
            }
            s.store(into, s.add(before, sum));
        }
    }
}

/// A block of depth of a product.
///
/// `steps · padded · BYTES` bytes of weights and `count · steps · PARTS` words of inputs lie where it says.
struct Block<F> {
    steps: usize,
    /// Panel after panel.
    weights: *const u8,
    /// Tile after tile.
    inputs: *const u32,
    outputs: Outputs,
    count: usize,
    format: PhantomData<F>,
}

/// Prefetch of a tile: the distance in bytes after its weights, and the bytes for each step.
#[derive(Debug, Clone, Copy)]
struct Prefetch {
    from: usize,
    step: usize,
}

impl<F: Format> Kernel for Block<F> {
    type Output = ();

    /// Begins all sums, or adds to them.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = SIDE * S::LANES;
        let panel = self.steps * width * F::BYTES;
        let together = self.count.div_ceil(F::rows::<S>());
        for col in (0..self.outputs.padded).step_by(width) {
            for (share, (row, rows)) in tiles(self.count, F::rows::<S>()).enumerate() {
                // the next panel comes from far memory: each tile prefetches its share
                let ahead =
                    Prefetch { from: panel + share * panel / together, step: width * F::BYTES / together };
                // SAFETY: what a block holds is said above; rows and columns are below `count` and `padded`.
                unsafe {
                    match rows {
                        1 => tile::<S, F, 1, 4>(s, &self, row, col, ahead),
                        2 => tile::<S, F, 2, 2>(s, &self, row, col, ahead),
                        _ if S::ROWS > 2 => tall_tile::<S, F>(s, &self, (row, rows), col, ahead),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// A tile of 3 rows or more.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn tall_tile<S: Simd, F: Format>(
    s: S,
    block: &Block<F>,
    (row, rows): (usize, usize),
    col: usize,
    ahead: Prefetch,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            3 => tile::<S, F, 3, 2>(s, block, row, col, ahead),
            4 => tile::<S, F, 4, 1>(s, block, row, col, ahead),
            5 => tile::<S, F, 5, 1>(s, block, row, col, ahead),
            _ => tile::<S, F, MAX_ROWS, 1>(s, block, row, col, ahead),
        }
    }
}

/// `ROWS` rows from `row` by one panel from column `col`. With few rows, `UNROLL` sets of sums hide how long an
/// addition takes.
///
/// # Safety
/// What a block holds is there, and `row + ROWS <= count` and `col + SIDE · LANES <= padded`.
#[inline(always)]
unsafe fn tile<S: Simd, F: Format, const ROWS: usize, const UNROLL: usize>(
    s: S,
    block: &Block<F>,
    row: usize,
    col: usize,
    ahead: Prefetch,
) {
    let mut sums = [[[s.zero(); SIDE]; ROWS]; UNROLL];
    // SAFETY: a panel has `steps · SIDE · LANES · BYTES` bytes, a tile `ROWS · steps · PARTS`; sums and scales as promised.
    unsafe {
        let mut weights = block.weights.add(col * block.steps * F::BYTES);
        let mut inputs = block.inputs.add(row * block.steps * F::PARTS);
        let mut next = weights.wrapping_add(ahead.from);
        for _ in 0..block.steps / (UNROLL * F::TOGETHER) {
            for sums in &mut sums {
                for _ in 0..F::TOGETHER {
                    s.prefetch(next.cast());
                    next = next.wrapping_add(ahead.step);
                }
                if F::TOGETHER == 2 {
                    two_steps::<S, F, ROWS>(s, weights, inputs, sums);
                } else {
                    step::<S, F, ROWS>(s, weights, inputs, sums);
                }
                weights = weights.add(F::TOGETHER * SIDE * S::LANES * F::BYTES);
                inputs = inputs.add(F::TOGETHER * F::PARTS * ROWS);
            }
        }
        for _ in 0..block.steps % (UNROLL * F::TOGETHER) {
            step::<S, F, ROWS>(s, weights, inputs, &mut sums[0]);
            weights = weights.add(SIDE * S::LANES * F::BYTES);
            inputs = inputs.add(F::PARTS * ROWS);
        }
        for r in 0..ROWS {
            for i in 0..SIDE {
                let (row, col) = (row + r, col + i * S::LANES);
                let mut sum = sums[0][r][i];
                for more in &sums[1..] {
                    sum = F::join(s, sum, more[r][i]);
                }
                block.outputs.add::<S, F>(s, row, col, sum);
            }
        }
    }
}

/// One step of depth of a tile.
///
/// # Safety
/// `SIDE · LANES · BYTES` bytes of weights and `ROWS · PARTS` of inputs lie there.
#[inline(always)]
unsafe fn step<S: Simd, F: Format, const ROWS: usize>(
    s: S,
    weights: *const u8,
    inputs: *const u32,
    sums: &mut [[S::Reg; SIDE]; ROWS],
) {
    for part in 0..F::PARTS {
        let mut side = [s.zero(); SIDE];
        for (i, side) in side.iter_mut().enumerate() {
            // SAFETY: the caller promises the bytes.
            *side = unsafe { F::part(s, weights.add(i * S::LANES * F::BYTES), part) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises the words.
            let x = unsafe { s.splat(inputs.add(part * ROWS + r)) };
            for (sum, weights) in sums.iter_mut().zip(side) {
                *sum = F::accumulate(s, x, weights, *sum);
            }
        }
    }
}

/// Two steps of depth of a tile, of a format with one part.
///
/// # Safety
/// `2 · SIDE · LANES · BYTES` bytes of weights and `2 · ROWS` of inputs lie there.
#[inline(always)]
unsafe fn two_steps<S: Simd, F: Format, const ROWS: usize>(
    s: S,
    weights: *const u8,
    inputs: *const u32,
    sums: &mut [[S::Reg; SIDE]; ROWS],
) {
    let mut side = [[s.zero(); 2]; SIDE];
    for (i, side) in side.iter_mut().enumerate() {
        for (at, side) in side.iter_mut().enumerate() {
            // SAFETY: the caller promises the bytes.
            *side = unsafe { F::part(s, weights.add((at * SIDE + i) * S::LANES * F::BYTES), 0) };
        }
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller promises the words.
        let x = unsafe { [s.splat(inputs.add(r)), s.splat(inputs.add(ROWS + r))] };
        for (sum, weights) in sums.iter_mut().zip(side) {
            *sum = F::accumulate_twice(s, x, weights, *sum);
        }
    }
}
