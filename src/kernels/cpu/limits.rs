//! What no hop can be faster than.
#![allow(unsafe_code, reason = "reads words as products do")]

use std::hint::black_box;
use std::time::Instant;

use super::simd::{Simd, Work};
use crate::kernels::Precision;

/// What this machine does at best on one thread, measured.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes a second, reading the packed weights of a model again and again.
    pub bytes: f64,
    /// Multiply-adds a second of numbers that stay in registers, in the precision of the weights.
    pub multiply_adds: f64,
}

/// Registers that are read, or summed in, side by side.
const SIDE: usize = 12;

/// Steps of a measurement of arithmetic.
const STEPS: usize = 2_000_000;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 30;

/// Measures with weights of `len` bytes at `start`.
///
/// # Safety
/// They lie there.
pub(super) unsafe fn measure<S: Simd>(
    s: S,
    (start, len): (*const u8, usize),
    precision: Precision,
) -> Limits {
    let fastest = |work: &dyn Fn()| {
        let rounds = (0..ROUNDS).map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64()
        });
        rounds.fold(f64::INFINITY, f64::min)
    };
    let bytes = len as f64 / fastest(&|| s.run(Read { start, len }));
    let once = (STEPS * SIDE * S::LANES) as f64;
    let multiply_adds = match (precision, s.dot()) {
        (Precision::Int8, None) => 2.0 * once / fastest(&|| s.run(Dot)),
        (Precision::Int8, Some(s)) => 2.0 * once / fastest(&|| s.run(Dot)),
        _ => once / fastest(&|| s.run(MultiplyAdd)),
    };
    Limits { bytes, multiply_adds }
}

struct Read {
    start: *const u8,
    len: usize,
}

impl Work for Read {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.zero(); SIDE];
        let step = SIDE * S::LANES * size_of::<u32>();
        for at in (0..self.len / step * step).step_by(step) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `at + step <= len`, and that much lies there.
                let word = unsafe { s.load(self.start.add(at).cast::<u32>().add(i * S::LANES)) };
                *sum = s.add_integers(*sum, word);
            }
        }
        black_box(sums);
    }
}

struct MultiplyAdd;

impl Work for MultiplyAdd {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, mut sums) = (black_box(s.zero()), black_box([s.zero(); SIDE]));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.multiply_add(x, x, *sum);
            }
        }
        black_box(sums);
    }
}

struct Dot;

impl Work for Dot {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, mut sums) = (black_box(s.zero()), black_box([s.zero(); SIDE]));
        for _ in 0..STEPS {
            for sum in &mut sums {
                // of the sum itself, or the compiler would multiply once and for all
                *sum = s.dot_pairs(*sum, x, *sum);
            }
        }
        black_box(sums);
    }
}
