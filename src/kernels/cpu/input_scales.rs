//! Scales of inputs that become integers.

use super::format::Format;
use super::simd::{Kernel, Simd};

/// Adding it rounds a small number to an integer, which then stands in the lowest bits.
pub(super) const ROUNDING: f32 = 12_582_912.0;

/// Values that are looked at side by side.
const SIDE: usize = 32;

/// The scale of the integers of each row of a product, the offset that is added to them, and its correction for each
/// unit of weight. Empty where inputs stay numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct InputScales {
    pub(super) scales: Vec<f32>,
    offsets: Vec<f32>,
    pub(super) shifts: Vec<f32>,
}

impl InputScales {
    /// Measures `count` rows.
    pub(super) fn measure<'a, S: Simd, F: Format>(
        &mut self,
        s: S,
        count: usize,
        inputs: impl Fn(usize) -> &'a [f32],
    ) {
        for numbers in [&mut self.scales, &mut self.offsets, &mut self.shifts] {
            numbers.clear();
        }
        if F::MAX_INT == 0 {
            return;
        }
        for row in 0..count {
            let (largest, negative) = s.run(AbsMax(inputs(row)));
            // what a rectifier let through uses all bits for its size
            let offset = if negative { F::OFFSET } else { 0 };
            let scale = largest / f32::from(F::MAX_INT - offset);
            self.scales.push(scale);
            self.offsets.push(f32::from(offset));
            self.shifts.push(-scale * f32::from(offset));
        }
    }

    /// Scale and offset of a row.
    pub(super) fn of(&self, row: usize) -> (f32, f32) {
        let number = |numbers: &[f32]| numbers.get(row).copied().unwrap_or_default();
        (number(&self.scales), number(&self.offsets))
    }
}

/// Integers a unit.
#[inline(always)]
pub(super) fn per(scale: f32) -> f32 {
    if scale > 0.0 { 1.0 / scale } else { 0.0 }
}

/// The largest absolute value, which is not a number if one of them is not, and whether there is a negative number.
struct AbsMax<'a>(&'a [f32]);

impl Kernel for AbsMax<'_> {
    type Output = (f32, bool);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, bool) {
        let (chunks, rest) = self.0.as_chunks::<SIDE>();
        let (mut most, mut all) = ([0; SIDE], [0; SIDE]);
        let mut take = |values: &[f32]| {
            for ((most, all), x) in most.iter_mut().zip(&mut all).zip(values) {
                *most = u32::max(*most, x.to_bits() & i32::MAX as u32);
                *all |= x.to_bits();
            }
        };
        chunks.iter().for_each(|chunk| take(chunk));
        take(rest);
        let most = most.into_iter().fold(0, u32::max);
        // −0 is a negative number too, which does no harm
        (f32::from_bits(most), all.into_iter().fold(0, |all, x| all | x) >> 31 == 1)
    }
}
