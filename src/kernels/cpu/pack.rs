//! Inputs of a product in the order in which its tiles read them.

use std::ops::Range;

use super::block::tiles;
use super::format::Format;
use super::input_scales::{InputScales, ROUNDING, per};
use super::simd::{Kernel, MAX_ROWS, Simd};
use super::tile_pack::TilePacking;
use super::tiles::TileProduct;

/// Steps that are turned at a time.
const STEPS: usize = 8;

/// Inputs of a block of depth, tile after tile; in a tile, the words of its rows for each step. It is kept from product
/// to product, so that nothing is allocated.
#[derive(Debug, Clone, Default)]
pub(super) struct Packing {
    words: Vec<u32>,
    /// Where rows begin that are not packed.
    starts: Vec<usize>,
    scales: InputScales,
    /// A tile row after row.
    tile: Vec<u32>,
    /// The same for tiles of matrix registers.
    matrix: TilePacking,
}

impl Packing {
    /// Begins with `count` rows.
    pub(super) fn begin<'a, S: Simd, F: Format>(
        &mut self,
        s: S,
        count: usize,
        inputs: impl Fn(usize) -> &'a [f32],
    ) {
        self.scales.measure::<S, F>(s, count, inputs);
    }

    /// Notes where rows begin that are read as they lie.
    pub(super) fn find(&mut self, starts: impl Iterator<Item = usize>) {
        self.starts.clear();
        self.starts.extend(starts);
    }

    /// Where rows begin that are read as they lie.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
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
        self.tile.resize(self.tile.len().max(MAX_ROWS * words), 0);
        for (first, rows) in tiles(count, F::rows::<S>()) {
            for (row, into) in self.tile.chunks_exact_mut(words).take(rows).enumerate() {
                let values = &inputs(first + row)[depth.clone()];
                let (scale, offset) = self.scales.of(first + row);
                match (F::MAX_INT, F::PARTS) {
                    (0, _) => s.run(PackFloats { values, into }),
                    (_, 1) => s.run(PackBytes { values, scale, offset, into }),
                    _ => s.run(PackPairs { values, scale, into }),
                }
            }
            let into = &mut self.words[first * words..(first + rows) * words];
            s.run(Transpose { tile: &self.tile[..rows * words], rows, into });
        }
    }

    /// The packed words.
    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    /// Packs `depth` of all rows for tiles of matrix registers, which takes `groups` groups of steps; there is room for
    /// `room` rows.
    pub(super) fn pack_matrix<'a, S: Simd>(
        &mut self,
        s: S,
        product: TileProduct,
        sizes: (usize, usize, usize),
        inputs: (impl Fn(usize) -> &'a [f32], &Range<usize>),
    ) -> &TilePacking {
        self.matrix.pack(s, product, sizes, inputs, &self.scales);
        &self.matrix
    }

    /// Scale of the integers of each row.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales.scales
    }

    /// Correction of a row's sums for each unit of weight.
    pub(super) fn shifts(&self) -> &[f32] {
        &self.scales.shifts
    }
}

/// A row of numbers, then zeros.
struct PackFloats<'a> {
    values: &'a [f32],
    into: &'a mut [u32],
}

impl Kernel for PackFloats<'_> {
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

/// Four values and their words, for all values; then zeros.
#[inline(always)]
fn each_four<const WORDS: usize>(
    values: &[f32],
    into: &mut [u32],
    words: impl Fn(&[f32; 4]) -> [u32; WORDS],
) {
    let (whole, rest) = values.as_chunks::<4>();
    let (many, last) = into.as_chunks_mut::<WORDS>().0.split_at_mut(whole.len());
    for (into, values) in many.iter_mut().zip(whole) {
        *into = words(values);
    }
    last.fill([0; WORDS]);
    if let (false, [into, ..]) = (rest.is_empty(), last) {
        let mut values = [0.0; 4];
        values[..rest.len()].copy_from_slice(rest);
        *into = words(&values);
    }
}

/// A row of integers of size `scale` plus `offset`, four a word.
struct PackBytes<'a> {
    values: &'a [f32],
    scale: f32,
    offset: f32,
    into: &'a mut [u32],
}

impl Kernel for PackBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (per, zero) = (per(self.scale), ROUNDING + self.offset);
        each_four(self.values, self.into, |values| {
            let bytes = values.iter().map(|x| (x * per + zero).to_bits() & 0xff);
            [bytes.enumerate().fold(0, |word, (i, x)| word | x << (8 * i))]
        });
    }
}

/// A row of integers of size `scale`, the first and third of four in one word, the others in the next.
struct PackPairs<'a> {
    values: &'a [f32],
    scale: f32,
    into: &'a mut [u32],
}

impl Kernel for PackPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let per = per(self.scale);
        each_four(self.values, self.into, |values| {
            let [a, b, c, d] = values.map(|x| (x * per + ROUNDING).to_bits() & 0xffff);
            [a | c << 16, b | d << 16]
        });
    }
}

/// A tile row after row to the same step after step.
struct Transpose<'a> {
    tile: &'a [u32],
    rows: usize,
    into: &'a mut [u32],
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.rows {
            1 => self.into.copy_from_slice(self.tile),
            2 => transpose::<2>(self.tile, self.into),
            3 => transpose::<3>(self.tile, self.into),
            4 => transpose::<4>(self.tile, self.into),
            5 => transpose::<5>(self.tile, self.into),
            _ => transpose::<MAX_ROWS>(self.tile, self.into),
        }
    }
}

#[inline(always)]
fn transpose<const ROWS: usize>(tile: &[u32], into: &mut [u32]) {
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
