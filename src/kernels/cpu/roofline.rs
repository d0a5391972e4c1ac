//! Roofline: the lower bound of a hop's duration, from memory bandwidth and arithmetic throughput.
#![allow(unsafe_code, reason = "reads words as products do")]

use std::hint::black_box;
use std::time::Instant;

use super::packed_weights::CacheLine;
use super::simd::{Kernel, Simd};
use crate::kernels::Precision;

/// Measured peak rates of one thread of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Roofline {
    /// Bytes a second, reading the packed weights of a model again and again.
    pub bytes: f64,
    /// Multiply-adds a second of numbers that stay in registers, in the precision of the weights.
    pub multiply_adds: f64,
}

/// Registers that are summed in side by side.
const SIDE: usize = 12;

/// Cache lines that are read side by side.
const LINES: usize = 4;

/// Steps of a measurement of arithmetic.
const STEPS: usize = 2_000_000;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 30;

/// Measures with these weights.
pub(super) fn measure<S: Simd>(s: S, weights: &[CacheLine], precision: Precision) -> Roofline {
    let fastest = |work: &dyn Fn()| {
        let rounds = (0..ROUNDS).map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64()
        });
        rounds.fold(f64::INFINITY, f64::min)
    };
    let bytes = size_of_val(weights) as f64 / fastest(&|| s.run(Read(weights)));
    let once = (STEPS * SIDE * S::LANES) as f64;
    let multiply_adds = match (precision, s.dot()) {
        (Precision::Int8, None) => 2.0 * once / fastest(&|| s.run(Sums::<2>)),
        (Precision::Int8, Some(s)) => 2.0 * once / fastest(&|| s.run(Sums::<2>)),
        (Precision::Int7, None) => 8.0 * once / fastest(&|| s.run(Sums::<8>)),
        (Precision::Int7, Some(s)) => 8.0 * once / fastest(&|| s.run(Sums::<8>)),
        _ => once / fastest(&|| s.run(Sums::<1>)),
    };
    Roofline { bytes, multiply_adds }
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

/// Sums that grow side by side: of products, of products of pairs of 16 bits, or of twice four bytes.
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
                    _ => s.dot_quads_twice([*sum, x], [x, *sum], *sum),
                };
            }
        }
        black_box(sums);
    }
}
