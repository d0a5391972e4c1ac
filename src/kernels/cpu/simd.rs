//! Registers of 32-bit lanes, as products see them, and the ones that every machine has.
#![allow(
    unsafe_code,
    reason = "registers are read from and written to unchecked places in the innermost loop"
)]

use std::fmt::Debug;

/// A kind of register; a value of it proves that this processor has them.
pub(super) trait Simd: Copy + Debug + Send + Sync + 'static {
    /// 32-bit lanes, of numbers or of bits.
    type Reg: Copy;
    /// The same registers with an instruction for [`dot_pairs`](Self::dot_pairs).
    type Dot: Simd;
    /// What it is called in a log.
    const NAME: &'static str;
    /// Lanes of a register.
    const LANES: usize;
    /// Rows of the largest tile whose sums stay in registers, at most [`MOST_ROWS`].
    const ROWS: usize;
    /// The same where weights are unpacked on the way.
    const UNPACKED_ROWS: usize;

    /// Whether this processor has that instruction.
    fn dot(self) -> Option<Self::Dot>;

    /// Zeros.
    fn zero(self) -> Self::Reg;

    /// Reads a register.
    ///
    /// # Safety
    /// `LANES` words lie at `from`.
    unsafe fn load(self, from: *const u32) -> Self::Reg;

    /// Writes a register.
    ///
    /// # Safety
    /// `LANES` words lie at `to`, which nobody else reads or writes meanwhile.
    unsafe fn store(self, to: *mut u32, x: Self::Reg);

    /// One word in all lanes.
    ///
    /// # Safety
    /// A word lies at `from`.
    unsafe fn splat(self, from: *const u32) -> Self::Reg;

    /// `a · b + sum`.
    fn multiply_add(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg;

    /// `a + b` of numbers.
    fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;

    /// `a + b` of integers.
    fn add_integers(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;

    /// Integers as numbers, times `scale`.
    fn scaled(self, x: Self::Reg, scale: Self::Reg) -> Self::Reg;

    /// `a · b` of numbers.
    fn multiply(self, a: Self::Reg, b: Self::Reg) -> Self::Reg;

    /// The lower 16 bits of each lane as a number with these upper bits.
    fn low_half(self, x: Self::Reg) -> Self::Reg;

    /// The upper 16 bits of each lane as a number with these upper bits.
    fn high_half(self, x: Self::Reg) -> Self::Reg;

    /// Two signed bytes a lane as 16-bit integers.
    ///
    /// # Safety
    /// `2 · LANES` bytes lie at `from`.
    unsafe fn load_bytes(self, from: *const u8) -> Self::Reg;

    /// `a₀ b₀ + a₁ b₁ + sum` in each lane, over its two 16-bit integers.
    fn dot_pairs(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg;

    /// Asks that what lies there be brought to the level-2 cache; any address will do.
    fn prefetch(self, at: *const u32);

    /// Runs `work` compiled for these registers.
    fn run<W: Work>(self, work: W) -> W::Output;
}

/// Something to do with registers. A trait where a closure would do, since only a function can be told to become part of
/// its caller, which alone is compiled for them.
pub(super) trait Work {
    /// What comes of it.
    type Output;

    /// Does it; every implementation is `inline(always)`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Registers side by side in a tile.
pub(super) const SIDE: usize = 2;

/// Rows of the largest tile of any kind of register.
pub(super) const MOST_ROWS: usize = 8;

/// Plain arrays, for the compiler to make of what it can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 8;

type Words = [u32; LANES];

#[inline(always)]
fn lanes(f: impl Fn(usize) -> u32) -> Words {
    // a loop is a tenth of the code that `array::from_fn` makes
    let mut words = [0; LANES];
    for (lane, word) in words.iter_mut().enumerate() {
        *word = f(lane);
    }
    words
}

#[inline(always)]
fn numbers(f: impl Fn(usize) -> f32) -> Words {
    lanes(|lane| f(lane).to_bits())
}

#[inline(always)]
fn number(words: &Words, lane: usize) -> f32 {
    f32::from_bits(words[lane])
}

#[inline(always)]
fn halves(x: u32) -> (i16, i16) {
    (x as i16, (x >> 16) as i16)
}

#[inline(always)]
fn pair(low: i16, high: i16) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}

impl Simd for Portable {
    type Reg = Words;
    type Dot = Self;
    const NAME: &'static str = "portable";
    const LANES: usize = LANES;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 2 };
    const UNPACKED_ROWS: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

    fn dot(self) -> Option<Self> {
        None
    }

    #[inline(always)]
    fn zero(self) -> Words {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> Words {
        // SAFETY: the caller promises `LANES` words.
        unsafe { from.cast::<Words>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u32, x: Words) {
        // SAFETY: the caller promises `LANES` words of its own.
        unsafe { to.cast::<Words>().write(x) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const u32) -> Words {
        // SAFETY: the caller promises a word.
        [unsafe { from.read() }; LANES]
    }

    #[inline(always)]
    fn multiply_add(self, a: Words, b: Words, sum: Words) -> Words {
        numbers(|lane| {
            let (a, b, sum) = (number(&a, lane), number(&b, lane), number(&sum, lane));
            // without such an instruction it would be a call of a library
            if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a.mul_add(b, sum)
            } else {
                a * b + sum
            }
        })
    }

    #[inline(always)]
    fn add(self, a: Words, b: Words) -> Words {
        numbers(|lane| number(&a, lane) + number(&b, lane))
    }

    #[inline(always)]
    fn add_integers(self, a: Words, b: Words) -> Words {
        lanes(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn scaled(self, x: Words, scale: Words) -> Words {
        numbers(|lane| x[lane] as i32 as f32 * number(&scale, lane))
    }

    #[inline(always)]
    fn multiply(self, a: Words, b: Words) -> Words {
        numbers(|lane| number(&a, lane) * number(&b, lane))
    }

    #[inline(always)]
    fn low_half(self, x: Words) -> Words {
        lanes(|lane| x[lane] << 16)
    }

    #[inline(always)]
    fn high_half(self, x: Words) -> Words {
        lanes(|lane| x[lane] & 0xffff_0000)
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Words {
        // SAFETY: the caller promises two bytes a lane.
        let bytes = unsafe { from.cast::<[[i8; 2]; LANES]>().read() };
        lanes(|lane| pair(bytes[lane][0].into(), bytes[lane][1].into()))
    }

    #[inline(always)]
    fn dot_pairs(self, a: Words, b: Words, sum: Words) -> Words {
        lanes(|lane| {
            let ((a0, a1), (b0, b1)) = (halves(a[lane]), halves(b[lane]));
            let dot = i32::from(a0) * i32::from(b0) + i32::from(a1) * i32::from(b1);
            sum[lane].wrapping_add(dot as u32)
        })
    }

    #[inline(always)]
    fn prefetch(self, _: *const u32) {}

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }
}
