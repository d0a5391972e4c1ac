//! Registers of 32-bit lanes, as products see them, and the ones that every machine has.
#![allow(
    unsafe_code,
    reason = "registers are read from and written to unchecked places in the innermost loop"
)]

use std::fmt::Debug;

use super::tiles::{NoTiles, Tiles};

/// A kind of register; a value of it proves that this processor has them.
pub(super) trait Simd: Copy + Debug + Send + Sync + 'static {
    /// 32-bit lanes, of numbers or of bits.
    type Reg: Copy;
    /// The same registers with instructions for [`dot_pairs`](Self::dot_pairs), [`dot_quads`](Self::dot_quads) and
    /// [`dot_bytes`](Self::dot_bytes).
    type Dot: Simd;
    /// Tiles beside the registers.
    type Tiles: Tiles;
    /// Its name in logs.
    const NAME: &'static str;
    /// Lanes of a register.
    const LANES: usize;
    /// Rows of the largest tile whose sums stay in registers, at most [`MAX_ROWS`].
    const ROWS: usize;
    /// The same where weights are unpacked on the way.
    const UNPACKED_ROWS: usize;

    /// Whether this processor has them.
    fn dot(self) -> Option<Self::Dot>;

    /// Tiles, where this processor has them and the system permits them.
    fn tiles(self) -> Option<Self::Tiles> {
        None
    }

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

    /// The signed bytes 0 and 2 of each lane as 16-bit integers.
    fn even_bytes(self, x: Self::Reg) -> Self::Reg;

    /// The signed bytes 1 and 3 of each lane as 16-bit integers.
    fn odd_bytes(self, x: Self::Reg) -> Self::Reg;

    /// `a₀ b₀ + a₁ b₁ + sum` in each lane, over its two 16-bit integers.
    fn dot_pairs(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg;

    /// `a₀ b₀ + a₁ b₁ + a₂ b₂ + a₃ b₃ + sum` in each lane, over its four bytes: those of `a` without a sign, those of `b` from
    /// −63 to 63.
    fn dot_quads(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg;

    /// The same of two registers each, where bytes of `a` are at most 127: their sums fit 16 bits on the way.
    #[inline(always)]
    fn dot_quads_twice(self, a: [Self::Reg; 2], b: [Self::Reg; 2], sum: Self::Reg) -> Self::Reg {
        self.dot_quads(a[1], b[1], self.dot_quads(a[0], b[0], sum))
    }

    /// `a₀ b₀ + a₁ b₁ + a₂ b₂ + a₃ b₃ + sum` in each lane, over its four bytes: those of `a` without a sign, those of `b` with
    /// one.
    fn dot_bytes(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg;

    /// Asks that what lies there be brought to the level-2 cache; any address will do.
    fn prefetch(self, at: *const u32);

    /// Runs `work`, compiled for these registers.
    fn run<W: Kernel>(self, work: W) -> W::Output;
}

/// A computation over registers. A trait and not a closure, since only a function can be marked `inline(always)`, and
/// only its caller is compiled for the instruction set.
pub(super) trait Kernel {
    /// Its result.
    type Output;

    /// Runs it; every implementation is `inline(always)`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Registers side by side in a tile.
pub(super) const SIDE: usize = 2;

/// Rows of the largest tile of any kind of register.
pub(super) const MAX_ROWS: usize = 6;

/// Plain arrays of `LANES` lanes and tiles of `ROWS` rows, left to the compiler's vectoriser.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable<const LANES: usize, const ROWS: usize>;

/// As many lanes and rows as the registers of most machines without better ones hold.
pub(super) type Plain = Portable<8, { if cfg!(target_arch = "aarch64") { 6 } else { 2 } }>;

#[inline(always)]
fn lanes<const LANES: usize>(f: impl Fn(usize) -> u32) -> [u32; LANES] {
    // a loop is a tenth of the code that `array::from_fn` makes
    let mut words = [0; LANES];
    for (lane, word) in words.iter_mut().enumerate() {
        *word = f(lane);
    }
    words
}

#[inline(always)]
fn numbers<const LANES: usize>(f: impl Fn(usize) -> f32) -> [u32; LANES] {
    lanes(|lane| f(lane).to_bits())
}

#[inline(always)]
fn number<const LANES: usize>(words: &[u32; LANES], lane: usize) -> f32 {
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

impl<const LANES: usize, const ROWS: usize> Simd for Portable<LANES, ROWS> {
    type Reg = [u32; LANES];
    type Dot = Self;
    type Tiles = NoTiles;
    const NAME: &'static str = "portable";
    const LANES: usize = LANES;
    const ROWS: usize = ROWS;
    const UNPACKED_ROWS: usize = if ROWS > 4 { 4 } else { ROWS };

    fn dot(self) -> Option<Self> {
        None
    }

    #[inline(always)]
    fn zero(self) -> Self::Reg {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u32) -> Self::Reg {
        // SAFETY: the caller promises `LANES` words.
        unsafe { from.cast::<Self::Reg>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u32, x: Self::Reg) {
        // SAFETY: the caller promises `LANES` words of its own.
        unsafe { to.cast::<Self::Reg>().write(x) }
    }

    #[inline(always)]
    unsafe fn splat(self, from: *const u32) -> Self::Reg {
        // SAFETY: the caller promises a word.
        [unsafe { from.read() }; LANES]
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg {
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
    fn add(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
        numbers(|lane| number(&a, lane) + number(&b, lane))
    }

    #[inline(always)]
    fn add_integers(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
        lanes(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn scaled(self, x: Self::Reg, scale: Self::Reg) -> Self::Reg {
        numbers(|lane| x[lane] as i32 as f32 * number(&scale, lane))
    }

    #[inline(always)]
    fn multiply(self, a: Self::Reg, b: Self::Reg) -> Self::Reg {
        numbers(|lane| number(&a, lane) * number(&b, lane))
    }

    #[inline(always)]
    fn low_half(self, x: Self::Reg) -> Self::Reg {
        lanes(|lane| x[lane] << 16)
    }

    #[inline(always)]
    fn high_half(self, x: Self::Reg) -> Self::Reg {
        lanes(|lane| x[lane] & 0xffff_0000)
    }

    #[inline(always)]
    fn even_bytes(self, x: Self::Reg) -> Self::Reg {
        lanes(|lane| pair((x[lane] as i8).into(), ((x[lane] >> 16) as i8).into()))
    }

    #[inline(always)]
    fn odd_bytes(self, x: Self::Reg) -> Self::Reg {
        lanes(|lane| pair(((x[lane] >> 8) as i8).into(), ((x[lane] >> 24) as i8).into()))
    }

    #[inline(always)]
    fn dot_pairs(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg {
        lanes(|lane| {
            let ((a0, a1), (b0, b1)) = (halves(a[lane]), halves(b[lane]));
            let dot = i32::from(a0) * i32::from(b0) + i32::from(a1) * i32::from(b1);
            sum[lane].wrapping_add(dot as u32)
        })
    }

    #[inline(always)]
    fn dot_quads(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg {
        lanes(|lane| {
            let pairs = a[lane].to_le_bytes().into_iter().zip(b[lane].to_le_bytes());
            pairs.fold(sum[lane], |sum, (a, b)| sum.wrapping_add((i32::from(a) * i32::from(b as i8)) as u32))
        })
    }

    #[inline(always)]
    fn dot_bytes(self, a: Self::Reg, b: Self::Reg, sum: Self::Reg) -> Self::Reg {
        self.dot_quads(a, b, sum)
    }

    #[inline(always)]
    fn prefetch(self, _: *const u32) {}

    #[inline(always)]
    fn run<W: Kernel>(self, work: W) -> W::Output {
        work.run(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<S: Simd>(s: S, x: S::Reg) -> Vec<u32> {
        let mut words = vec![0; S::LANES];
        // SAFETY: there are as many words as lanes.
        unsafe { s.store(words.as_mut_ptr(), x) };
        words
    }

    /// Every operation of `s` against numbers that are worked out one by one.
    struct Check;

    impl Kernel for Check {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let seeds: Vec<f32> = (0..3 * S::LANES).map(|i| (i as f32 - 7.3) * 1.37e3).collect();
            let words: Vec<u32> = seeds.iter().map(|x| x.to_bits()).collect();
            let lanes = |f: &dyn Fn(usize) -> u32| (0..S::LANES).map(f).collect::<Vec<u32>>();
            let [a, b, c] = [0, 1, 2].map(|i| &words[i * S::LANES..(i + 1) * S::LANES]);
            let [x, y, z] = [0, 1, 2].map(|i| &seeds[i * S::LANES..(i + 1) * S::LANES]);
            // SAFETY: each has as many words as lanes.
            let ([ra, rb, rc], splat) =
                unsafe { ([a, b, c].map(|words| s.load(words.as_ptr())), s.splat(&c[1])) };
            assert_eq!(all(s, ra), a);
            assert_eq!(all(s, s.zero()), lanes(&|_| 0));
            assert_eq!(all(s, splat), lanes(&|_| c[1]));
            assert_eq!(all(s, s.add(ra, rb)), lanes(&|i| (x[i] + y[i]).to_bits()));
            assert_eq!(all(s, s.multiply(ra, rb)), lanes(&|i| (x[i] * y[i]).to_bits()));
            for (i, found) in all(s, s.multiply_add(ra, rb, rc)).into_iter().enumerate() {
                let expected = x[i] * y[i] + z[i];
                assert!((f32::from_bits(found) - expected).abs() <= expected.abs() * 1e-6);
            }
            assert_eq!(all(s, s.add_integers(ra, rb)), lanes(&|i| a[i].wrapping_add(b[i])));
            assert_eq!(all(s, s.scaled(ra, rb)), lanes(&|i| (a[i] as i32 as f32 * y[i]).to_bits()));
            assert_eq!(all(s, s.low_half(ra)), lanes(&|i| a[i] << 16));
            assert_eq!(all(s, s.high_half(ra)), lanes(&|i| a[i] >> 16 << 16));
            let byte = |i: usize, at: usize| i16::from(a[i].to_le_bytes()[at] as i8);
            assert_eq!(all(s, s.even_bytes(ra)), lanes(&|i| pair(byte(i, 0), byte(i, 2))));
            assert_eq!(all(s, s.odd_bytes(ra)), lanes(&|i| pair(byte(i, 1), byte(i, 3))));
            let dot = |i: usize| {
                let ((a0, a1), (b0, b1)) = (halves(a[i]), halves(b[i]));
                let wide = |a: i16, b: i16| i32::from(a).wrapping_mul(b.into());
                (c[i] as i32).wrapping_add(wide(a0, b0)).wrapping_add(wide(a1, b1)) as u32
            };
            assert_eq!(all(s, s.dot_pairs(ra, rb, rc)), lanes(&dot));
            let small: Vec<u32> =
                b.iter().map(|w| u32::from_le_bytes(w.to_le_bytes().map(|x| (x as i8 / 2) as u8))).collect();
            let four = |i: usize, b: u32| {
                let bytes = a[i].to_le_bytes().into_iter().zip(b.to_le_bytes());
                bytes.fold(c[i] as i32, |sum, (a, b)| sum.wrapping_add(i32::from(a) * i32::from(b as i8)))
                    as u32
            };
            let (quads, bytes) = (|i: usize| four(i, small[i]), |i: usize| four(i, b[i]));
            assert_eq!(all(s, s.dot_bytes(ra, rb, rc)), lanes(&bytes));
            // SAFETY: as above.
            let rs = unsafe { s.load(small.as_ptr()) };
            assert_eq!(all(s, s.dot_quads(ra, rs, rc)), lanes(&quads));
            // the largest that there may be, with either sign
            let (most, least): (Vec<u32>, Vec<u32>) = (0..S::LANES)
                .map(|i| match i % 3 {
                    0 => (0x7f7f_7f7f, 0x3f3f_3f3f),
                    1 => (0x7f7f_7f7f, 0xc1c1_c1c1),
                    _ => (0x7f00_7f01, 0x3fc1_01ff),
                })
                .unzip();
            let twice = |i: usize| {
                let bytes = most[i].to_le_bytes().into_iter().zip(least[i].to_le_bytes());
                let once: i32 = bytes.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum();
                (c[i] as i32).wrapping_add(2 * once) as u32
            };
            // SAFETY: as above.
            let [rm, rl] = [&most, &least].map(|words| unsafe { s.load(words.as_ptr()) });
            assert_eq!(all(s, s.dot_quads_twice([rm, rm], [rl, rl], rc)), lanes(&twice));
            if let Some(s) = s.dot() {
                let [ra, rb, rc, rs, rm, rl] =
                    // SAFETY: as above.
                    [a, b, c, &small, &most, &least].map(|words| unsafe { s.load(words.as_ptr()) });
                assert_eq!(all(s, s.dot_quads_twice([rm, rm], [rl, rl], rc)), lanes(&twice));
                assert_eq!(all(s, s.dot_pairs(ra, rb, rc)), lanes(&dot));
                assert_eq!(all(s, s.dot_quads(ra, rs, rc)), lanes(&quads));
                assert_eq!(all(s, s.dot_bytes(ra, rb, rc)), lanes(&bytes));
            }
        }
    }

    #[test]
    fn registers_do_what_their_operations_say() {
        Portable::<8, 2>.run(Check);
        Portable::<16, MAX_ROWS>.run(Check);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernels::cpu::avx2::Avx2;
            use crate::kernels::cpu::avx512::Avx512;
            if let Some(s) = Avx2::detect() {
                s.run(Check);
            }
            if let Some(s) = Avx512::detect() {
                s.run(Check);
            }
        }
    }
}
