//! Forms of weights.

use super::simd::Simd;

/// A form of weights: what a 32-bit word of them holds, and how it is multiplied.
pub(super) trait Format: Copy + 'static {
    /// Weights of one output in a word.
    const DEPTH: usize;
    /// Words of inputs that a word of weights is multiplied with.
    const PARTS: usize;
    /// Whether sums are integers, which a scale makes numbers of.
    const INTEGERS: bool;

    /// What the inputs of part `part` are multiplied with.
    fn part<S: Simd>(s: S, word: S::Reg, part: usize) -> S::Reg;

    /// `x · weights + sum`.
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg;

    /// The sum of two sums.
    fn join<S: Simd>(s: S, a: S::Reg, b: S::Reg) -> S::Reg;
}

/// A weight a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole;

/// Two weights a word, the upper halves of numbers: the first in the lower half of the word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halves;

/// Four weights a word, bytes in the order 0, 2, 1, 3, so that shifts alone make pairs of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quarters;

impl Format for Whole {
    const DEPTH: usize = 1;
    const PARTS: usize = 1;
    const INTEGERS: bool = false;

    #[inline(always)]
    fn part<S: Simd>(_: S, word: S::Reg, _: usize) -> S::Reg {
        word
    }

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.multiply_add(x, weights, sum)
    }

    #[inline(always)]
    fn join<S: Simd>(s: S, a: S::Reg, b: S::Reg) -> S::Reg {
        s.add(a, b)
    }
}

impl Format for Halves {
    const DEPTH: usize = 2;
    const PARTS: usize = 2;
    const INTEGERS: bool = false;

    #[inline(always)]
    fn part<S: Simd>(s: S, word: S::Reg, part: usize) -> S::Reg {
        if part == 0 { s.low_half(word) } else { s.high_half(word) }
    }

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.multiply_add(x, weights, sum)
    }

    #[inline(always)]
    fn join<S: Simd>(s: S, a: S::Reg, b: S::Reg) -> S::Reg {
        s.add(a, b)
    }
}

impl Format for Quarters {
    const DEPTH: usize = 4;
    const PARTS: usize = 2;
    const INTEGERS: bool = true;

    #[inline(always)]
    fn part<S: Simd>(s: S, word: S::Reg, part: usize) -> S::Reg {
        if part == 0 { s.even_bytes(word) } else { s.odd_bytes(word) }
    }

    #[inline(always)]
    fn accumulate<S: Simd>(s: S, x: S::Reg, weights: S::Reg, sum: S::Reg) -> S::Reg {
        s.dot_pairs(x, weights, sum)
    }

    #[inline(always)]
    fn join<S: Simd>(s: S, a: S::Reg, b: S::Reg) -> S::Reg {
        s.add_integers(a, b)
    }
}
