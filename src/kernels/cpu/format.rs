//! Storage formats of weights.
#![allow(unsafe_code, reason = "weights are read from unchecked places in the innermost loop")]

use super::simd::Simd;
use super::tiles::{STEPS, TileProduct};

/// A storage format of weights: what a lane reads of them in a step of depth, and how it is multiplied.
pub(super) trait Format: Copy + 'static {
    /// Bytes that a lane reads in a step.
    const BYTES: usize;
    /// Weights of one output among them.
    const DEPTH: usize;
    /// Words of inputs that they are multiplied with.
    const PARTS: usize;
    /// Steps that are multiplied in one go, 1 or 2, where there are as many.
    const TOGETHER: usize = 1;
    /// Steps that a product takes at a time: with 16 columns 16 KB of weights, half of a level-1 cache.
    const BLOCK: usize = 16 * 1024 / 16 / Self::BYTES;
    /// The number of steps is a multiple of it, with zeros at the end: tiles take [`STEPS`] at a time.
    const GROUP: usize = STEPS;
    /// Whether inputs are multiplied as they are: a tile reads them where they lie, and they are not packed.
    const PLAIN: bool = false;
    /// How tiles multiply weights of this format, where there are any.
    const TILES: Option<TileProduct> = None;
    /// Largest integer that an input becomes; 0 where inputs stay numbers. Sums of integers are integers, which scales make
    /// numbers of.
    const MAX_INT: u16 = 0;
    /// What is added to the integers of a row that holds negative ones, where they have no sign: its products with the
    /// weights are taken off the sums.
    const OFFSET: u16 = 0;

    /// Rows of the largest tile whose sums stay in registers, with what it takes to unpack weights.
    #[inline(always)]
    fn rows<S: Simd>() -> usize {
        if Self::DEPTH == 1 { S::ROWS } else { S::UNPACKED_ROWS }
    }

    /// What the inputs of part `part` are multiplied with: all that was read, where there is one part.
    ///
    /// # Safety
    /// `LANES · BYTES` bytes lie at `from`.
    #[inline(always)]
    unsafe fn part<S: Simd>(s: S, from: *const u8, _part: usize) -> S::Reg {
        // SAFETY: the caller's promise.
        unsafe { s.load(from.cast()) }
    }

    /// `x · weights + sum`.
    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.multiply_add(x, weights, sum)
    }

    /// The same for two steps.
    #[inline(always)]
    fn accumulate_twice<S: Simd>(s: S, x: [S::Reg; 2], weights: [S::Reg; 2], sum: S::Reg) -> S::Reg {
        Self::accumulate(s, x[1], weights[1], Self::accumulate(s, x[0], weights[0], sum))
    }

    /// The sum of two sums.
    #[inline(always)]
    fn join<S: Simd>(s: S, a: S::Reg, b: S::Reg) -> S::Reg {
        if Self::MAX_INT > 0 { s.add_integers(a, b) } else { s.add(a, b) }
    }
}

/// A weight of 32 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct F32;

/// Two weights, the upper halves of numbers: the first in the lower half of a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bf16;

/// Four weights of 8 bits, for inputs of 15: 127 · 16383 times the depth of a block fits 31 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Int8;

/// Four weights of 8 bits, for inputs of 8 without a sign: 127 · 255 times the depth of a block fits 31 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct W8a8;

/// Four weights of 7 bits, for inputs of 7 without a sign: four products, at most 4 · 63 · 127, fit the 16 bits that
/// processors without VNNI add them in, so that two steps share what makes 32 bits of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Int7;

impl Format for F32 {
    const BYTES: usize = 4;
    const GROUP: usize = 1;
    const PLAIN: bool = true;
    const DEPTH: usize = 1;
    const PARTS: usize = 1;
}

impl Format for Bf16 {
    const BYTES: usize = 4;
    const DEPTH: usize = 2;
    const PARTS: usize = 2;
    const TILES: Option<TileProduct> = Some(TileProduct::Bf16Halves);

    #[inline(always)]
    unsafe fn part<S: Simd>(s: S, from: *const u8, part: usize) -> S::Reg {
        // SAFETY: the caller's promise.
        let word = unsafe { s.load(from.cast()) };
        if part == 0 { s.low_half(word) } else { s.high_half(word) }
    }
}

impl Format for Int8 {
    const BYTES: usize = 4;
    const DEPTH: usize = 4;
    const PARTS: usize = 2;
    const TILES: Option<TileProduct> = Some(TileProduct::SignedHalves);
    const MAX_INT: u16 = 16383;

    #[inline(always)]
    unsafe fn part<S: Simd>(s: S, from: *const u8, part: usize) -> S::Reg {
        // SAFETY: the caller's promise.
        let word = unsafe { s.load(from.cast()) };
        if part == 0 { s.even_bytes(word) } else { s.odd_bytes(word) }
    }

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.dot_pairs(x, weights, sum)
    }
}

impl Format for W8a8 {
    const BYTES: usize = 4;
    const DEPTH: usize = 4;
    const PARTS: usize = 1;
    const BLOCK: usize = 1024;
    const TILES: Option<TileProduct> = Some(TileProduct::Unsigned);
    const MAX_INT: u16 = 255;
    const OFFSET: u16 = 128;

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.dot_bytes(x, weights, sum)
    }
}

impl Format for Int7 {
    const BYTES: usize = 4;
    const DEPTH: usize = 4;
    const PARTS: usize = 1;
    const TOGETHER: usize = 2;
    const TILES: Option<TileProduct> = Some(TileProduct::Unsigned);
    const MAX_INT: u16 = 127;
    const OFFSET: u16 = 64;

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.dot_quads(x, weights, sum)
    }

    #[inline(always)]
    fn accumulate_twice<S: Simd>(s: S, x: [S::Reg; 2], weights: [S::Reg; 2], sum: S::Reg) -> S::Reg {
        s.dot_quads_twice(x, weights, sum)
    }
}
