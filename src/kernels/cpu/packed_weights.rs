//! A matrix packed in the order in which a product reads it.
#![allow(unsafe_code, reason = "large pages are asked for by address")]

use std::sync::Arc;

use super::format::{Bf16, F32, Format, Int7, Int8, W8a8};
use super::simd::SIDE;
use crate::kernels::{Matrix, Precision};

/// Largest weight in 8 bits, and in 7.
const MAX_INT: [f32; 2] = [127.0, 63.0];

/// A cache line, so that weights begin at one.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct CacheLine(pub(super) [u8; 64]);

/// A matrix `[depth, cols]` in blocks of depth; in a block, panel after panel of columns; in a panel, the weights of its
/// columns for each step of depth. That is the order in which a product reads it.
#[derive(Debug)]
pub(super) struct PackedWeights {
    lines: Arc<Vec<CacheLine>>,
    /// Its first line, and how many there are.
    place: (usize, usize),
    precision: Precision,
    depth: usize,
    cols: usize,
    width: usize,
    /// Scale of each output's integers, for each column with padding; empty except for integer weights.
    scales: Vec<f32>,
    /// The sum of an output's weights; empty but for inputs with an offset.
    totals: Vec<f32>,
    /// Initial value of the sum of each column, with padding.
    bias: Vec<f32>,
}

impl PackedWeights {
    /// Packs matrices of the same columns, one below the other, for registers of `lanes` lanes; an empty bias is 0.
    pub(super) fn new(precision: Precision, lanes: usize, parts: &[&Matrix], bias: &[f32]) -> Self {
        let depth = parts.iter().map(|part| part.rows).sum();
        let cols = parts.first().map_or(0, |part| part.cols);
        let width = SIDE * lanes;
        let mut rows: Vec<&[f32]> =
            parts.iter().flat_map(|part| part.data.chunks_exact(part.cols.max(1))).collect();
        rows.truncate(depth);
        let mut packed = Self {
            lines: Arc::default(),
            place: (0, 0),
            precision,
            depth,
            cols,
            width,
            scales: Vec::new(),
            totals: Vec::new(),
            bias: bias.to_vec(),
        };
        match precision {
            Precision::F32 | Precision::Tf32 | Precision::Auto => {
                packed.fill::<F32, 4>(|at, col| rows[at][col].to_le_bytes());
            }
            Precision::Bf16 => packed.fill::<Bf16, 4>(|at, col| {
                let half = |at: usize| rows.get(at).map_or(0, |row| upper_half(row[col]));
                (half(at) | half(at + 1) << 16).to_le_bytes()
            }),
            Precision::Int8 => packed.fill_integers::<Int8>(&rows, MAX_INT[0]),
            Precision::W8a8 => packed.fill_integers::<W8a8>(&rows, MAX_INT[0]),
            Precision::Int7 => packed.fill_integers::<Int7>(&rows, MAX_INT[1]),
        }
        let padded = packed.padded();
        for each in [&mut packed.scales, &mut packed.totals] {
            each.resize(if each.is_empty() { 0 } else { padded }, 0.0);
        }
        packed.bias.resize(padded, 0.0);
        packed
    }

    /// Writes weights as integers up to `most`, with their scales, and with their sums where inputs have an offset.
    fn fill_integers<F: Format>(&mut self, rows: &[&[f32]], most: f32) {
        let largest = |col: usize| rows.iter().map(|row| row[col].abs()).fold(0.0, f32::max);
        let scales: Vec<f32> = (0..self.cols).map(|col| largest(col) / most).collect();
        self.fill::<F, 4>(|at, col| {
            [0, 1, 2, 3].map(|i| rows.get(at + i).map_or(0, |row| rounded(row[col], scales[col]) as u8))
        });
        if F::OFFSET > 0 {
            let total = |(col, &scale): (usize, &f32)| {
                scale * rows.iter().map(|row| f32::from(rounded(row[col], scale))).sum::<f32>()
            };
            self.totals = scales.iter().enumerate().map(total).collect();
        }
        self.scales = scales;
    }

    /// Writes the weights; `step(depth, column)` returns those of the step that begins there.
    fn fill<F: Format, const BYTES: usize>(&mut self, step: impl Fn(usize, usize) -> [u8; BYTES]) {
        let steps = self.steps::<F>();
        let mut bytes = Vec::with_capacity(steps * self.padded() * BYTES);
        for from in (0..steps).step_by(F::BLOCK) {
            for panel in (0..self.padded()).step_by(self.width) {
                for at in from..steps.min(from + F::BLOCK) {
                    for col in panel..panel + self.width {
                        let padding = [0; BYTES];
                        bytes.extend(if col < self.cols { step(at * F::DEPTH, col) } else { padding });
                    }
                }
            }
        }
        let line = |bytes: &[u8]| CacheLine(std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)));
        self.place = (0, bytes.len().div_ceil(64));
        self.lines = Arc::new(bytes.chunks(64).map(line).collect());
    }

    /// Steps of depth.
    pub(super) fn steps<F: Format>(&self) -> usize {
        self.depth.div_ceil(F::DEPTH).next_multiple_of(F::GROUP)
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

    /// Scale of each output's integers.
    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The sum of an output's weights, as their integers give it, where inputs have an offset.
    pub(super) fn totals(&self) -> &[f32] {
        &self.totals
    }

    /// Initial values of sums, for each column with padding.
    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Bytes of all weights.
    pub(super) fn bytes(&self) -> usize {
        self.place.1 * size_of::<CacheLine>()
    }

    /// The first byte of [`bytes`](Self::bytes).
    pub(super) fn start(&self) -> *const u8 {
        self.lines[self.place.0..].as_ptr().cast()
    }

    /// The weights of all matrices that were gathered with it.
    pub(super) fn everything(&self) -> &[CacheLine] {
        &self.lines
    }

    /// Moves matrices to one piece of memory, in this order, on large pages where the system has them: a hop then reads
    /// its weights from the first to the last.
    pub(super) fn gather<'a>(matrices: impl IntoIterator<Item = &'a mut Self>) {
        let matrices: Vec<&mut Self> = matrices.into_iter().collect();
        let mut all = Vec::with_capacity(matrices.iter().map(|matrix| matrix.place.1).sum());
        on_large_pages(all.spare_capacity_mut());
        let mut places = Vec::with_capacity(matrices.len());
        for matrix in &matrices {
            places.push((all.len(), matrix.place.1));
            all.extend_from_slice(&matrix.lines);
        }
        let all = Arc::new(all);
        for (matrix, place) in matrices.into_iter().zip(places) {
            (matrix.lines, matrix.place) = (Arc::clone(&all), place);
        }
    }
}

/// Requests huge pages, for fewer TLB misses, under untouched memory.
#[cfg(target_os = "linux")]
fn on_large_pages<T>(memory: &mut [T]) {
    const PAGE: usize = 4096;
    let range = memory.as_mut_ptr_range();
    let (from, to) = ((range.start as usize).next_multiple_of(PAGE), range.end as usize / PAGE * PAGE);
    if from < to {
        // SAFETY: the range lies in `memory`, and the advice changes nothing that can be read. A refusal costs speed only.
        let _ = unsafe { rustix::mm::madvise(from as *mut _, to - from, rustix::mm::Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn on_large_pages<T>(_: &mut [T]) {}

/// The upper 16 bits of a number, rounded to even.
fn upper_half(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        return bits >> 16 | 1;
    }
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

/// A weight in units of the scale of its output, under which none is larger than the most there is.
fn rounded(x: f32, scale: f32) -> i8 {
    if scale == 0.0 { 0 } else { (x / scale).round().clamp(-MAX_INT[0], MAX_INT[0]) as i8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn panels_are_read_in_order() {
        const BLOCK: usize = F32::BLOCK;
        let rows = BLOCK + 1;
        let matrix = Matrix { rows, cols: 3, data: (0..3 * rows).map(|i| i as f32).collect() };
        let packed = PackedWeights::new(Precision::F32, 1, &[&matrix], &[]);
        let bytes: Vec<u8> = packed.lines.iter().flat_map(|line| line.0).collect();
        let words: Vec<f32> = bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
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
