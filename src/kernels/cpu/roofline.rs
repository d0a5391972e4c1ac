//! Roofline: the lower bound of a hop's duration, from memory bandwidth and arithmetic throughput.
#![allow(unsafe_code, reason = "reads words as products do")]

use std::hint::black_box;
use std::time::Instant;

use super::format::{Bf16, Format, Int7, Int8, W8a8};
use super::packed_weights::CacheLine;
use super::simd::{Kernel, Simd};
use super::tiles::{self, COLUMNS, ROW_BYTES, ROWS, TileBlock, TileProduct, Tiles};
use crate::kernels::Precision;

/// Measured peak rates of one thread of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Roofline {
    /// Bytes a second, reading the packed weights of a model again and again.
    pub bytes: f64,
    /// Multiply-adds a second of numbers in near registers, in the precision of the weights.
    pub multiply_adds: f64,
    /// The same of numbers of 32 bits.
    pub f32_multiply_adds: f64,
}

/// Registers that are summed in side by side.
const SIDE: usize = 12;

/// Cache lines that are read side by side.
const LINES: usize = 4;

/// Steps of a measurement of arithmetic.
const STEPS: usize = 2_000_000;

/// Products of matrix registers in such a measurement.
const PRODUCTS: usize = 20_000;

/// Groups of steps in a product: 16 KB of weights.
const GROUPS: usize = 8;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 30;

/// Measures with these weights.
pub(super) fn measure<S: Simd>(s: S, weights: &[CacheLine], precision: Precision) -> Roofline {
    let bytes = size_of_val(weights) as f64 / fastest(|| s.run(Read(weights)));
    let f32_multiply_adds = (STEPS * SIDE * S::LANES) as f64 / fastest(|| s.run(Sums::<1>));
    let multiply_adds = match precision {
        Precision::F32 | Precision::Tf32 | Precision::Auto => None,
        Precision::Bf16 => tile_rate::<S, Bf16>(s),
        Precision::Int8 => {
            tile_rate::<S, Int8>(s).or(s.dot().map(dot_rate::<_, 2>)).or(Some(dot_rate::<_, 2>(s)))
        }
        Precision::W8a8 => {
            tile_rate::<S, W8a8>(s).or(s.dot().map(dot_rate::<_, 4>)).or(Some(dot_rate::<_, 4>(s)))
        }
        Precision::Int7 => {
            tile_rate::<S, Int7>(s).or(s.dot().map(dot_rate::<_, 8>)).or(Some(dot_rate::<_, 8>(s)))
        }
    };
    Roofline { bytes, multiply_adds: multiply_adds.unwrap_or(f32_multiply_adds), f32_multiply_adds }
}

/// Seconds of the fastest round.
fn fastest(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64()
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// Multiply-adds a second of products of `DEPTH` small integers.
fn dot_rate<S: Simd, const DEPTH: usize>(s: S) -> f64 {
    (DEPTH * STEPS * SIDE * S::LANES) as f64 / fastest(|| s.run(Sums::<DEPTH>))
}

/// Multiply-adds a second of matrix registers, which read from a level-1 cache; none where there are none.
fn tile_rate<S: Simd, F: Format>(s: S) -> Option<f64> {
    let (tiles, product) = (s.tiles()?, F::TILES?);
    let [weights, inputs] = [32, 32].map(|lines| vec![CacheLine([0; 64]); lines * GROUPS]);
    let mut sums = vec![CacheLine([0; 64]); 64];
    let block = TileBlock {
        inputs: [inputs.as_ptr().cast(), inputs[ROWS * GROUPS..].as_ptr().cast()],
        stride: GROUPS * ROW_BYTES,
        weights: weights.as_ptr().cast(),
        groups: GROUPS,
        next: (weights.as_ptr().cast(), 1),
        sums: sums.as_mut_ptr().cast(),
    };
    tiles.configure(ROWS);
    let seconds = fastest(|| {
        for _ in 0..PRODUCTS {
            // SAFETY: tiles are configured; 16 rows at both places, a panel of all groups and 32 rows of sums are there.
            unsafe { tiles.multiply(product, &block) };
        }
    });
    tiles.release();
    black_box(sums);
    let rows = if product == TileProduct::Unsigned { 2 * ROWS } else { ROWS };
    Some((PRODUCTS * rows * COLUMNS * GROUPS * tiles::STEPS * F::DEPTH) as f64 / seconds)
}

struct Read<'a>(&'a [CacheLine]);

impl Kernel for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.zero(); LINES * 16 / 4];
        for lines in self.0.as_chunks::<LINES>().0 {
            for (line, sums) in lines.iter().zip(sums.chunks_exact_mut(16 / S::LANES)) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a line is 16 words, a multiple of the lanes of any register.
                    let words = unsafe { s.load(line.0.as_ptr().cast::<u32>().add(i * S::LANES)) };
                    *sum = s.add_integers(*sum, words);
                }
            }
        }
        black_box(sums);
    }
}

/// Sums that grow side by side: of products, of products of pairs of 16 bits, of four bytes, or of twice four smaller ones.
struct Sums<const DEPTH: usize>;

impl<const DEPTH: usize> Kernel for Sums<DEPTH> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, mut sums) = (black_box(s.zero()), black_box([s.zero(); SIDE]));
        for _ in 0..STEPS {
            for sum in &mut sums {
                // integers are of the sum itself, or the compiler would multiply once and for all
                *sum = match DEPTH {
                    1 => s.multiply_add(x, x, *sum),
                    2 => s.dot_pairs(*sum, x, *sum),
                    4 => s.dot_bytes(*sum, x, *sum),
                    _ => s.dot_quads_twice([*sum, x], [x, *sum], *sum),
                };
            }
        }
        black_box(sums);
    }
}
