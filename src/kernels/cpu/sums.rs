//! Sums side by side: 16 of them, in an order that is the same on every machine, whatever its registers hold.
#![allow(unsafe_code, reason = "registers are read from and written to arrays of as many numbers")]

use super::simd::Simd;

/// Sums beside each other.
pub(super) const SIDE: usize = 16;

/// 16 numbers in one register, or in two of 8. Products are rounded before they are added, as they are where no instruction does both.
#[derive(Clone, Copy)]
pub(super) struct Sums<S: Simd> {
    s: S,
    halves: [S::Reg; 2],
}

impl<S: Simd> Sums<S> {
    const IS_WHOLE: bool = {
        assert!(S::LANES == SIDE || S::LANES == SIDE / 2);
        S::LANES == SIDE
    };

    /// Zeros.
    #[inline(always)]
    pub(super) fn zero(s: S) -> Self {
        Self { s, halves: [s.zero(); 2] }
    }

    /// One number 16 times.
    #[inline(always)]
    pub(super) fn splat(s: S, x: f32) -> Self {
        let word = x.to_bits();
        // SAFETY: a word lies there.
        Self { s, halves: [unsafe { s.splat(&raw const word) }; 2] }
    }

    /// These numbers.
    #[inline(always)]
    pub(super) fn load(s: S, from: &[f32; SIDE]) -> Self {
        let from = from.as_ptr().cast();
        // SAFETY: a register has 16 lanes or 8, and here lie 16 numbers.
        let first = unsafe { s.load(from) };
        // SAFETY: as above.
        let second = if Self::IS_WHOLE { first } else { unsafe { s.load(from.add(S::LANES)) } };
        Self { s, halves: [first, second] }
    }

    /// Writes them.
    #[inline(always)]
    pub(super) fn store(self, to: &mut [f32; SIDE]) {
        let to = to.as_mut_ptr().cast::<u32>();
        // SAFETY: as for `load`; the array is borrowed for it.
        unsafe { self.s.store(to, self.halves[0]) };
        if !Self::IS_WHOLE {
            // SAFETY: as above.
            unsafe { self.s.store(to.add(S::LANES), self.halves[1]) };
        }
    }

    /// `self` + `a` · `b`.
    #[inline(always)]
    pub(super) fn add_product(self, a: Self, b: Self) -> Self {
        let Self { s, halves: [first, second] } = self;
        let first = s.add(first, s.multiply(a.halves[0], b.halves[0]));
        let second = if Self::IS_WHOLE { first } else { s.add(second, s.multiply(a.halves[1], b.halves[1])) };
        Self { s, halves: [first, second] }
    }

    /// `self` · `factor`.
    #[inline(always)]
    pub(super) fn times(self, factor: Self) -> Self {
        let Self { s, halves: [first, second] } = self;
        let first = s.multiply(first, factor.halves[0]);
        let second = if Self::IS_WHOLE { first } else { s.multiply(second, factor.halves[1]) };
        Self { s, halves: [first, second] }
    }

    /// Their sum, by halves.
    #[inline(always)]
    pub(super) fn total(self) -> f32 {
        let mut sums = [0.0; SIDE];
        self.store(&mut sums);
        total(&mut sums)
    }
}

/// The sum of all, by halves.
#[inline(always)]
pub(super) fn total<T: Copy + std::ops::Add<Output = T>>(sums: &mut [T; SIDE]) -> T {
    for width in [8, 4, 2, 1] {
        let (low, high) = sums.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = *low + *high);
    }
    sums[0]
}

/// The first `count` lanes, and zeros.
#[inline(always)]
pub(super) fn first<T: Copy + Default>(x: &[T; SIDE], count: usize) -> [T; SIDE] {
    let mut some = [T::default(); SIDE];
    for (lane, (to, x)) in some.iter_mut().zip(x).enumerate() {
        *to = if lane < count { *x } else { T::default() };
    }
    some
}
