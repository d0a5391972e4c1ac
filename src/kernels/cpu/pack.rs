//! Inputs of a product in the order in which its tiles read them.

use std::ops::Range;

use super::format::Format;
use super::product::tiles;
use super::simd::{MOST_ROWS, Simd, Work};

/// Largest input in 15 bits: 127 · 16383 times the depth of a block fits 31 bits.
const MOST: f32 = 16383.0;

/// Adding it rounds a small number to an integer, which then stands in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;

/// Steps that are turned at a time.
const STEPS: usize = 8;

/// Inputs of a block of depth, tile after tile; in a tile, the words of its rows for each step. It is kept from product
/// to product, so that nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Packing {
    words: Vec<u32>,
    scales: Vec<f32>,
    /// A tile row after row.
    tile: Vec<u32>,
}

impl Packing {
    /// Begins with `count` rows.
    pub(super) fn begin<'a, S: Simd, F: Format>(
        &mut self,
        s: S,
        count: usize,
        inputs: impl Fn(usize) -> &'a [f32],
    ) {
        self.scales.clear();
        if F::INTEGERS {
            self.scales.extend((0..count).map(|row| s.run(Largest(inputs(row))) / MOST));
        }
    }

    /// Packs `depth` of all rows, which takes `steps` steps.
    pub(super) fn pack<'a, S: Simd, F: Format>(
        &mut self,
        s: S,
        (count, steps): (usize, usize),
        inputs: impl Fn(usize) -> &'a [f32],
        depth: &Range<usize>,
    ) {
        let words = steps * F::PARTS;
        self.words.resize(self.words.len().max(count * words), 0);
        self.tile.resize(self.tile.len().max(MOST_ROWS * words), 0);
        for (first, rows) in tiles(count, F::rows::<S>()) {
            for (row, into) in self.tile.chunks_exact_mut(words).take(rows).enumerate() {
                let values = &inputs(first + row)[depth.clone()];
                if F::INTEGERS {
                    s.run(Integers { values, scale: self.scales[first + row], into });
                } else {
                    s.run(Numbers { values, into });
                }
            }
            let into = &mut self.words[first * words..(first + rows) * words];
            s.run(Turn { tile: &self.tile[..rows * words], rows, into });
        }
    }

    /// What was packed.
    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    /// What integers of each row are multiplied with.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// The largest absolute value; not a number if one of them is not.
struct Largest<'a>(&'a [f32]);

impl Work for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        f32::from_bits(self.0.iter().map(|x| x.abs().to_bits()).fold(0, u32::max))
    }
}

/// A row of numbers, then zeros.
struct Numbers<'a> {
    values: &'a [f32],
    into: &'a mut [u32],
}

impl Work for Numbers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (words, rest) = self.into.split_at_mut(self.values.len());
        for (word, x) in words.iter_mut().zip(self.values) {
            *word = x.to_bits();
        }
        rest.fill(0);
    }
}

/// A row of pairs of integers of size `scale`, then zeros.
struct Integers<'a> {
    values: &'a [f32],
    scale: f32,
    into: &'a mut [u32],
}

impl Work for Integers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let per = if self.scale > 0.0 { 1.0 / self.scale } else { 0.0 };
        let integer = |x: f32| (x * per + ROUNDING).to_bits();
        let (pairs, rest) = self.values.as_chunks::<2>();
        for (word, [a, b]) in self.into.iter_mut().zip(pairs) {
            *word = integer(*a) & 0xffff | integer(*b) << 16;
        }
        let (_, last) = self.into.split_at_mut(pairs.len());
        last.fill(0);
        if let ([a], [word, ..]) = (rest, last) {
            *word = integer(*a) & 0xffff;
        }
    }
}

/// A tile row after row to the same step after step.
struct Turn<'a> {
    tile: &'a [u32],
    rows: usize,
    into: &'a mut [u32],
}

impl Work for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.rows {
            1 => self.into.copy_from_slice(self.tile),
            2 => turn::<2>(self.tile, self.into),
            3 => turn::<3>(self.tile, self.into),
            4 => turn::<4>(self.tile, self.into),
            5 => turn::<5>(self.tile, self.into),
            _ => turn::<MOST_ROWS>(self.tile, self.into),
        }
    }
}

#[inline(always)]
fn turn<const ROWS: usize>(tile: &[u32], into: &mut [u32]) {
    let words = tile.len() / ROWS;
    let (many, few) = into.as_chunks_mut::<ROWS>().0.as_chunks_mut::<STEPS>();
    let done = many.len() * STEPS;
    for (chunk, into) in many.iter_mut().enumerate() {
        for row in 0..ROWS {
            let from = row * words + chunk * STEPS;
            for (into, word) in into.iter_mut().zip(&tile[from..from + STEPS]) {
                into[row] = *word;
            }
        }
    }
    for (at, into) in few.iter_mut().enumerate() {
        for (row, into) in into.iter_mut().enumerate() {
            *into = tile[row * words + done + at];
        }
    }
}
