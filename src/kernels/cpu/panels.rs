//! A matrix as a product reads it.

use super::Precision;
use super::format::{Format, Halves, Quarters, Whole};
use super::simd::SIDE;
use crate::kernels::Matrix;

/// Words of depth that a product takes at a time: with 16 columns 16 KB of weights, half of a level-1 cache.
pub(super) const BLOCK: usize = 256;

/// Largest weight in 8 bits.
const MOST: f32 = 127.0;

/// A cache line, so that weights begin at one.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read through a pointer")] [u32; 16]);

/// A matrix `[depth, cols]` in blocks of depth; in a block, panel after panel of columns; in a panel, the words of its
/// columns for each step of depth. That is the order in which a product reads it.
#[derive(Debug)]
pub(super) struct Panels {
    lines: Vec<Line>,
    precision: Precision,
    depth: usize,
    cols: usize,
    width: usize,
    /// What an output's integers are multiplied with, for each column with padding; empty but for 8 bits.
    scales: Vec<f32>,
}

impl Panels {
    /// Packs matrices of the same columns, one below the other, for registers of `lanes` lanes.
    pub(super) fn new(precision: Precision, lanes: usize, parts: &[&Matrix]) -> Self {
        let depth = parts.iter().map(|part| part.rows).sum();
        let cols = parts.first().map_or(0, |part| part.cols);
        let width = SIDE * lanes;
        let mut rows: Vec<&[f32]> =
            parts.iter().flat_map(|part| part.data.chunks_exact(part.cols.max(1))).collect();
        rows.truncate(depth);
        let mut packed = Self { lines: Vec::new(), precision, depth, cols, width, scales: Vec::new() };
        match precision {
            Precision::F32 => packed.fill::<Whole>(|at, col| rows[at][col].to_bits()),
            Precision::Bf16 => packed.fill::<Halves>(|at, col| {
                let half = |at: usize| rows.get(at).map_or(0, |row| upper_half(row[col]));
                half(at) | half(at + 1) << 16
            }),
            Precision::Int8 => {
                let largest = |col: usize| rows.iter().map(|row| row[col].abs()).fold(0.0, f32::max);
                let scales: Vec<f32> = (0..cols).map(|col| largest(col) / MOST).collect();
                packed.fill::<Quarters>(|at, col| {
                    let byte = |at: usize| rows.get(at).map_or(0, |row| rounded(row[col], scales[col]));
                    u32::from_le_bytes([byte(at), byte(at + 2), byte(at + 1), byte(at + 3)])
                });
                packed.scales = scales;
                packed.scales.resize(packed.padded(), 0.0);
            }
        }
        packed
    }

    /// Writes the words; `word` is asked for the word that begins at a depth of a column.
    fn fill<F: Format>(&mut self, word: impl Fn(usize, usize) -> u32) {
        let steps = self.depth.div_ceil(F::DEPTH);
        let mut words = Vec::with_capacity(steps * self.padded());
        for from in (0..steps).step_by(BLOCK) {
            for panel in (0..self.padded()).step_by(self.width) {
                for step in from..steps.min(from + BLOCK) {
                    let columns = panel..panel + self.width;
                    let cols = self.cols;
                    words.extend(columns.map(|col| if col < cols { word(step * F::DEPTH, col) } else { 0 }));
                }
            }
        }
        let line = |words: &[u32]| Line(std::array::from_fn(|i| words.get(i).copied().unwrap_or(0)));
        self.lines = words.chunks(16).map(line).collect();
    }

    /// Rows of the matrix.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// Columns with padding.
    pub(super) fn padded(&self) -> usize {
        self.cols.next_multiple_of(self.width)
    }

    /// The form of the weights.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// What an output's integers are multiplied with.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Bytes of all weights.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// The first word, and how many there are.
    pub(super) fn words(&self) -> (*const u32, usize) {
        (self.lines.as_ptr().cast(), self.bytes() / size_of::<u32>())
    }
}

/// The upper 16 bits of a number, rounded to even.
fn upper_half(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        return bits >> 16 | 1;
    }
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

/// The bits of a weight in 8 bits.
fn rounded(x: f32, scale: f32) -> u8 {
    if scale == 0.0 { 0 } else { (x / scale).round().clamp(-MOST, MOST) as i8 as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn panels_are_read_in_order() {
        let rows = BLOCK + 1;
        let matrix = Matrix { rows, cols: 3, data: (0..3 * rows).map(|i| i as f32).collect() };
        let packed = Panels::new(Precision::F32, 1, &[&matrix]);
        let words: Vec<f32> = packed.lines.iter().flat_map(|line| line.0.map(f32::from_bits)).collect();
        assert_eq!(packed.padded(), 4);
        assert_eq!(words[..4], [0.0, 1.0, 3.0, 4.0], "two columns a panel");
        assert_eq!(words[2 * BLOCK..2 * BLOCK + 4], [2.0, 0.0, 5.0, 0.0], "the next panel of the block");
        assert_eq!(words[4 * BLOCK..4 * BLOCK + 2], [3.0 * BLOCK as f32, 3.0 * BLOCK as f32 + 1.0]);
    }

    proptest! {
        #[test]
        fn half_is_the_nearest(x in -1e6f32..1e6) {
            let half = f32::from_bits(upper_half(x) << 16);
            prop_assert!((half - x).abs() <= x.abs() / 256.0);
        }
    }
}
