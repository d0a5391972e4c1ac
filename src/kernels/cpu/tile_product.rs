//! Products of many rows with one packed matrix, by matrix registers.
#![allow(unsafe_code, reason = "matrix registers read packed bytes without looking at their number")]

use std::marker::PhantomData;

use super::block::Outputs;
use super::format::Format;
use super::packed_weights::CacheLine;
use super::simd::{Kernel, SIDE, Simd};
use super::tile_pack::TilePacking;
use super::tiles::{COLUMNS, ROW_BYTES, ROWS, STEPS, TileBlock, TileProduct, Tiles};

/// Matrix registers for the rows of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling<T> {
    tiles: T,
    product: TileProduct,
    count: usize,
    /// Rows of a tile: all tiles have as many, the last ones of which may be padding.
    height: usize,
}

impl<T: Tiles> Tiling<T> {
    /// For `count` rows, where there are matrix registers for this format.
    pub(super) fn of<S: Simd<Tiles = T>, F: Format>(s: S, count: usize) -> Option<Self> {
        let (tiles, product) = (s.tiles()?, F::TILES?);
        let fits = SIDE * S::LANES == COLUMNS && F::BYTES * COLUMNS * STEPS == 2 * ROWS * ROW_BYTES;
        let height = count.div_ceil(count.div_ceil(ROWS).max(1));
        (fits && count > 0).then_some(Self { tiles, product, count, height })
    }

    /// What tiles multiply.
    pub(super) fn product(&self) -> TileProduct {
        self.product
    }

    /// Rows, rows with padding, and groups of `steps` steps.
    pub(super) fn sizes(&self, steps: usize) -> (usize, usize, usize) {
        (self.count, self.count.next_multiple_of(self.height), steps / STEPS)
    }
}

/// A block of depth of a product.
///
/// `steps · padded · 4` bytes of weights lie where it says, and `inputs` holds the rows for as many steps.
pub(super) struct TiledBlock<'a, T, F> {
    pub(super) tiling: Tiling<T>,
    pub(super) steps: usize,
    /// Panel after panel.
    pub(super) weights: *const u8,
    pub(super) inputs: &'a TilePacking,
    pub(super) outputs: Outputs,
    pub(super) format: PhantomData<F>,
}

impl<T: Tiles, F: Format> Kernel for TiledBlock<'_, T, F> {
    type Output = ();

    /// Begins all sums, or adds to them.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiling { tiles, product, count, height } = self.tiling;
        let (groups, panel) = (self.steps / STEPS, self.steps * COLUMNS * F::BYTES);
        let rows = if product == TileProduct::Unsigned { 2 * height } else { height };
        // the next panel comes from far memory: all rows together prefetch it
        let lines = (COLUMNS * STEPS * F::BYTES / ROW_BYTES).div_ceil(count.div_ceil(rows));
        let mut sums = [CacheLine([0; ROW_BYTES]); 2 * ROWS * SIDE];
        tiles.configure(height);
        for col in (0..self.outputs.padded).step_by(COLUMNS) {
            // SAFETY: there are `padded` columns of weights.
            let weights = unsafe { self.weights.add(col * self.steps * F::BYTES) };
            for (share, first) in (0..count).step_by(rows).enumerate() {
                let second = match product {
                    TileProduct::Unsigned if first + height < count => self.inputs.row(0, first + height),
                    TileProduct::Unsigned => std::ptr::null(),
                    TileProduct::SignedHalves | TileProduct::Bf16Halves => self.inputs.row(1, first),
                };
                let block = TileBlock {
                    inputs: [self.inputs.row(0, first), second],
                    stride: self.inputs.stride(),
                    weights,
                    groups,
                    next: (weights.wrapping_add(panel + share * lines * groups * ROW_BYTES), lines),
                    sums: sums.as_mut_ptr().cast(),
                };
                // SAFETY: tiles are configured; rows with padding and a panel are there, and room for the sums of 32 rows.
                unsafe { tiles.multiply(product, &block) };
                join(s, product, &mut sums, height);
                for (place, sums) in sums.chunks_exact(ROWS * SIDE).take(rows / height).enumerate() {
                    let first = first + place * height;
                    let rows = first..count.min(first + height);
                    for (row, sums) in rows.zip(sums.as_chunks::<SIDE>().0) {
                        for (i, sum) in sums.iter().enumerate() {
                            // SAFETY: `row < count`, and the two registers of a panel are below `padded`.
                            unsafe {
                                let sum = s.load(sum.0.as_ptr().cast());
                                self.outputs.add::<S, F>(s, row, col + i * S::LANES, sum);
                            }
                        }
                    }
                }
            }
        }
        tiles.release();
    }
}

/// Joins the sums of both places where they are of the same `height` rows, at the first.
#[inline(always)]
fn join<S: Simd>(s: S, product: TileProduct, sums: &mut [CacheLine; 2 * ROWS * SIDE], height: usize) {
    let (first, second) = sums.split_at_mut(ROWS * SIDE);
    for (first, second) in first.iter_mut().zip(second).take(height * SIDE) {
        let (a, b): (*mut u32, *const u32) = (first.0.as_mut_ptr().cast(), second.0.as_ptr().cast());
        match product {
            TileProduct::Unsigned => {}
            TileProduct::SignedHalves => {
                let words = first.0.as_chunks_mut::<4>().0.iter_mut().zip(second.0.as_chunks::<4>().0);
                for (low, high) in words {
                    let sum = u32::from_ne_bytes(*high) << 8;
                    *low = u32::from_ne_bytes(*low).wrapping_add(sum).to_ne_bytes();
                }
            }
            // SAFETY: a line is a register of 16 lanes.
            TileProduct::Bf16Halves => unsafe { s.store(a, s.add(s.load(a), s.load(b))) },
        }
    }
}
