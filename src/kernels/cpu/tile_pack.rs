//! Inputs of a product as tiles read them: row after row, in one or two planes.

use std::ops::Range;

use super::input_scales::{InputScales, ROUNDING, per};
use super::packed_weights::CacheLine;
use super::simd::{Kernel, Simd};
use super::tiles::{ROW_BYTES, TileProduct};

/// Inputs of a block of depth, kept from product to product, so that nothing is allocated.
#[derive(Debug, Clone, Default)]
pub(super) struct TilePacking {
    lines: Vec<CacheLine>,
    /// Cache lines from a row to the next.
    stride: usize,
    /// Rows of a plane.
    rows: usize,
}

impl TilePacking {
    /// Packs `depth` of `count` rows, which takes `groups` groups of steps; there is room for `room` rows.
    pub(super) fn pack<'a, S: Simd>(
        &mut self,
        s: S,
        product: TileProduct,
        (count, room, groups): (usize, usize, usize),
        (inputs, depth): (impl Fn(usize) -> &'a [f32], &Range<usize>),
        scales: &InputScales,
    ) {
        // an odd stride spreads the rows over the sets of a cache
        (self.rows, self.stride) = (room, groups | 1);
        let planes = if product == TileProduct::Unsigned { 1 } else { 2 };
        let len = planes * room * self.stride;
        self.lines.resize(self.lines.len().max(len), CacheLine([0; ROW_BYTES]));
        let (first, second) = self.lines[..len].split_at_mut(room * self.stride);
        for row in 0..count {
            let values = &inputs(row)[depth.clone()];
            let place = row * self.stride..row * self.stride + groups;
            let (scale, offset) = scales.of(row);
            let into = &mut first[place.clone()];
            match (product, second.get_mut(place)) {
                (TileProduct::SignedHalves, Some(high)) => s.run(Halves { values, scale, low: into, high }),
                (TileProduct::Bf16Halves, Some(low)) => s.run(Bf16s { values, high: into, low }),
                _ => s.run(Bytes { values, scale, offset, into }),
            }
        }
    }

    /// The first byte of a row of a plane.
    pub(super) fn row(&self, plane: usize, row: usize) -> *const u8 {
        self.lines[(plane * self.rows + row) * self.stride..].as_ptr().cast()
    }

    /// Bytes from a row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride * ROW_BYTES
    }
}

/// Calls `f` for each `N` values and their line; what is missing in the last is 0.
#[inline(always)]
fn each_line<const N: usize>(
    values: &[f32],
    lines: impl Iterator<Item = usize>,
    mut f: impl FnMut(usize, &[f32; N]),
) {
    let (whole, rest) = values.as_chunks::<N>();
    let mut last = [0.0; N];
    last[..rest.len()].copy_from_slice(rest);
    let all = whole.iter().chain((!rest.is_empty()).then_some(&last));
    for (line, values) in lines.zip(all) {
        f(line, values);
    }
}

/// A row of integers of size `scale` plus `offset`, a byte each.
struct Bytes<'a> {
    values: &'a [f32],
    scale: f32,
    offset: f32,
    into: &'a mut [CacheLine],
}

impl Kernel for Bytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (per, zero) = (per(self.scale), ROUNDING + self.offset);
        let into = self.into;
        each_line(self.values, 0..into.len(), |line, values: &[f32; ROW_BYTES]| {
            for (byte, x) in into[line].0.iter_mut().zip(values) {
                *byte = (x * per + zero).to_bits() as u8;
            }
        });
    }
}

/// A row of integers of size `scale`: 256 times the high byte plus the low one, each with a sign.
struct Halves<'a> {
    values: &'a [f32],
    scale: f32,
    low: &'a mut [CacheLine],
    high: &'a mut [CacheLine],
}

impl Kernel for Halves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let per = per(self.scale);
        let (low, high) = (self.low, self.high);
        each_line(self.values, 0..low.len().min(high.len()), |line, values: &[f32; ROW_BYTES]| {
            let bytes = low[line].0.iter_mut().zip(&mut high[line].0);
            for ((low, high), x) in bytes.zip(values) {
                let bits = (x * per + ROUNDING).to_bits();
                (*low, *high) = (bits as u8, (bits.wrapping_add(128) >> 8) as u8);
            }
        });
    }
}

/// A row of numbers as sums of two of 16 bits: the nearest one, and what is left.
struct Bf16s<'a> {
    values: &'a [f32],
    high: &'a mut [CacheLine],
    low: &'a mut [CacheLine],
}

impl Kernel for Bf16s<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (low, high) = (self.low, self.high);
        each_line(self.values, 0..low.len().min(high.len()), |line, values: &[f32; ROW_BYTES / 2]| {
            let halves = low[line].0.as_chunks_mut().0.iter_mut().zip(high[line].0.as_chunks_mut().0);
            for ((low, high), x) in halves.zip(values) {
                let rounded = x.to_bits().wrapping_add(0x8000) & 0xffff_0000;
                // rounding would carry into the sign of some of what is not a number
                let upper = if x.is_nan() { x.to_bits() } else { rounded };
                let rest = (x - f32::from_bits(upper)).to_bits();
                *high = ((upper >> 16) as u16).to_le_bytes();
                *low = ((rest.wrapping_add(0x8000) >> 16) as u16).to_le_bytes();
            }
        });
    }
}
