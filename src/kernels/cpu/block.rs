//! A block of depth of a product: tiles whose sums stay in registers.
#![allow(unsafe_code, reason = "the innermost loop reads words without looking at their number")]

use std::marker::PhantomData;

use super::format::Format;
use super::simd::{Kernel, MAX_ROWS, SIDE, Simd};

/// Rows cut into tiles of nearly the same height: `(first, rows)` of each.
pub(super) fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most);
    (0..tiles).map(move |tile| {
        let (from, to) = (tile * count / tiles, (tile + 1) * count / tiles);
        (from, to - from)
    })
}

/// Where the sums of a product go, and what makes numbers of integers.
///
/// There are `count · padded` sums and `padded` biases; of integers `count` and `padded` scales; with an offset `count` shifts
/// and `padded` totals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outputs {
    /// Whether this is the first block of depth: sums begin with the bias, less the share of the offset of a row's integers.
    pub(super) begin: bool,
    pub(super) bias: *const f32,
    pub(super) shifts: *const f32,
    pub(super) totals: *const f32,
    pub(super) input_scales: *const f32,
    pub(super) weight_scales: *const f32,
    /// `[count, padded]`, which all blocks but the first add to.
    pub(super) sums: *mut f32,
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
/// `steps · padded · BYTES` bytes of weights and `count · steps · PARTS` words of inputs lie where it says; of plain inputs `steps`
/// words at each of `count` starts.
pub(super) struct Block<F> {
    pub(super) steps: usize,
    /// Panel after panel.
    pub(super) weights: *const u8,
    /// Tile after tile; where they are plain, as they lie.
    pub(super) inputs: *const u32,
    /// Where rows of plain inputs begin.
    pub(super) starts: *const usize,
    pub(super) outputs: Outputs,
    pub(super) count: usize,
    pub(super) format: PhantomData<F>,
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
    if F::PLAIN {
        // SAFETY: the caller's promise.
        unsafe {
            plain_steps::<S, F, ROWS, UNROLL>(s, block, row, col, ahead, &mut sums);
            store_sums::<S, F, ROWS, UNROLL>(s, block, row, col, &sums);
        }
        return;
    }
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
        store_sums::<S, F, ROWS, UNROLL>(s, block, row, col, &sums);
    }
}

/// Adds the sums of a tile to the outputs.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn store_sums<S: Simd, F: Format, const ROWS: usize, const UNROLL: usize>(
    s: S,
    block: &Block<F>,
    row: usize,
    col: usize,
    sums: &[[[S::Reg; SIDE]; ROWS]; UNROLL],
) {
    for r in 0..ROWS {
        for i in 0..SIDE {
            let (row, col) = (row + r, col + i * S::LANES);
            let mut sum = sums[0][r][i];
            for more in &sums[1..] {
                sum = F::join(s, sum, more[r][i]);
            }
            // SAFETY: the caller's promise.
            unsafe { block.outputs.add::<S, F>(s, row, col, sum) };
        }
    }
}

/// The steps of a tile whose inputs are plain.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn plain_steps<S: Simd, F: Format, const ROWS: usize, const UNROLL: usize>(
    s: S,
    block: &Block<F>,
    row: usize,
    col: usize,
    ahead: Prefetch,
    sums: &mut [[[S::Reg; SIDE]; ROWS]; UNROLL],
) {
    // SAFETY: a panel has `steps · SIDE · LANES · BYTES` bytes; there are `steps` words at the start of each row.
    unsafe {
        let inputs: [*const u32; ROWS] =
            std::array::from_fn(|r| block.inputs.add(block.starts.add(row + r).read()));
        let mut weights = block.weights.add(col * block.steps * F::BYTES);
        let mut next = weights.wrapping_add(ahead.from);
        let whole = block.steps - block.steps % UNROLL;
        for at in (0..whole).step_by(UNROLL) {
            for (more, sums) in sums.iter_mut().enumerate() {
                s.prefetch(next.cast());
                next = next.wrapping_add(ahead.step);
                plain_step::<S, F, ROWS>(s, weights, (&inputs, at + more), sums);
                weights = weights.add(SIDE * S::LANES * F::BYTES);
            }
        }
        for at in whole..block.steps {
            plain_step::<S, F, ROWS>(s, weights, (&inputs, at), &mut sums[0]);
            weights = weights.add(SIDE * S::LANES * F::BYTES);
        }
    }
}

/// The step at `at` of a tile whose inputs are plain.
///
/// # Safety
/// `SIDE · LANES · BYTES` bytes of weights lie there, and a word of each of the inputs.
#[inline(always)]
unsafe fn plain_step<S: Simd, F: Format, const ROWS: usize>(
    s: S,
    weights: *const u8,
    (inputs, at): (&[*const u32; ROWS], usize),
    sums: &mut [[S::Reg; SIDE]; ROWS],
) {
    // SAFETY: the caller's promise.
    unsafe { part::<S, F, ROWS>(s, weights, 0, inputs.map(|input| input.add(at)), sums) }
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
    for number in 0..F::PARTS {
        // SAFETY: the caller's promise.
        unsafe {
            let words = std::array::from_fn(|r| inputs.add(number * ROWS + r));
            part::<S, F, ROWS>(s, weights, number, words, sums);
        }
    }
}

/// Part `number` of a step: the word of each row times the weights.
///
/// # Safety
/// `SIDE · LANES · BYTES` bytes of weights lie there, and a word of each row.
#[inline(always)]
unsafe fn part<S: Simd, F: Format, const ROWS: usize>(
    s: S,
    weights: *const u8,
    number: usize,
    words: [*const u32; ROWS],
    sums: &mut [[S::Reg; SIDE]; ROWS],
) {
    let mut side = [s.zero(); SIDE];
    for (i, side) in side.iter_mut().enumerate() {
        // SAFETY: the caller promises the bytes.
        *side = unsafe { F::part(s, weights.add(i * S::LANES * F::BYTES), number) };
    }
    for (word, sums) in words.into_iter().zip(sums) {
        // SAFETY: the caller promises the word.
        let x = unsafe { s.splat(word) };
        for (sum, weights) in sums.iter_mut().zip(side) {
            *sum = F::accumulate(s, x, weights, *sum);
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
