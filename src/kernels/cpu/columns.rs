//! Products with a matrix of one stream alone, which no other stream's step brings into a near cache, and what else a stream
//! computes over its own rows of 64.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, MulAssign};

use super::simd::{Kernel, Simd};
use super::widest::run_widest;

/// Columns of such a matrix: as many sums as stay in wide registers.
pub const COLUMNS: usize = 64;

struct Subtract<'a> {
    inputs: &'a [f32],
    weights: &'a [f32],
    sums: &'a mut [f32; COLUMNS],
}

impl Kernel for Subtract<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut left = *self.sums;
        // row after row, so that memory is read in the order in which it lies
        for (&x, row) in self.inputs.iter().zip(self.weights.as_chunks::<COLUMNS>().0) {
            for (left, w) in left.iter_mut().zip(row) {
                *left -= x * w;
            }
        }
        *self.sums = left;
    }
}

/// `sums` −= Σ `inputs[i]` · `weights[i]`, with `weights` `[inputs, 64]`, row after row: the same to the bit on every
/// machine.
pub fn subtract_products(inputs: &[f32], weights: &[f32], sums: &mut [f32; COLUMNS]) {
    run_widest(Subtract { inputs, weights, sums });
}

/// Products that are summed side by side.
const SIDE: usize = 8;

struct Symmetric<'a> {
    upper: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Symmetric<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { upper: mut rest, x, out } = self;
        let width = out.len();
        for i in 0..x.len() {
            let (row, after) = rest.split_at((width - i).min(rest.len()));
            rest = after;
            let (Some(&first), Some((own, others))) = (x.get(i), row.split_first()) else { continue };
            let beyond = x.get(i + 1..).unwrap_or_default();
            let Some((to, later)) = out.get_mut(i..).and_then(<[f32]>::split_first_mut) else { continue };
            *to += own * first + dot_and_add((others, beyond), first, later);
        }
    }
}

/// Σ `w[i]` · `x[i]`, summed side by side, while `to[i]` += `w[i]` · `factor`: what `w` is read for once.
#[inline(always)]
fn dot_and_add((w, x): (&[f32], &[f32]), factor: f32, to: &mut [f32]) -> f32 {
    let (w, beyond) = w.split_at(w.len().min(x.len()));
    let (to, later) = to.split_at_mut(w.len().min(to.len()));
    later.iter_mut().zip(beyond).for_each(|(to, w)| *to += w * factor);
    let ((w, w_rest), (x, x_rest)) = (w.as_chunks::<SIDE>(), x.as_chunks::<SIDE>());
    let (to, to_rest) = to.as_chunks_mut::<SIDE>();
    let mut sums = [0.0; SIDE];
    for ((w, x), to) in w.iter().zip(x).zip(to) {
        sums = std::array::from_fn(|lane| sums[lane] + w[lane] * x[lane]);
        *to = std::array::from_fn(|lane| to[lane] + w[lane] * factor);
    }
    to_rest.iter_mut().zip(w_rest).for_each(|(to, w)| *to += w * factor);
    let rest: f32 = w_rest.iter().zip(x_rest).map(|(w, x)| w * x).sum();
    rest + sums.iter().sum::<f32>()
}

/// Σ aᵢ bᵢ over the shorter of the two, summed side by side.
#[inline(always)]
pub(super) fn dot<T>(a: &[T], b: &[T]) -> T
where
    T: Copy + Default + Add<Output = T> + AddAssign + Mul<Output = T> + Sum,
{
    let n = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..n].as_chunks::<SIDE>(), b[..n].as_chunks::<SIDE>());
    let mut sums = [T::default(); SIDE];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += *a * *b);
    }
    let rest: T = a_rest.iter().zip(b_rest).map(|(a, b)| *a * *b).sum();
    rest + sums.into_iter().sum::<T>()
}

/// Multiplies each number by `factor`.
#[inline(always)]
pub(super) fn multiply_each<T: Copy + MulAssign>(numbers: &mut [T], factor: T) {
    let (numbers, rest) = numbers.as_chunks_mut::<SIDE>();
    numbers.iter_mut().for_each(|numbers| numbers.iter_mut().for_each(|x| *x *= factor));
    rest.iter_mut().for_each(|x| *x *= factor);
}

/// `out` += M · `x` with a symmetric matrix M of the width of `out`, of which `upper` has the rows from the diagonal on: the
/// same to the bit on every machine. What `x` or `upper` lack counts as 0.
pub fn multiply_symmetric(upper: &[f32], x: &[f32], out: &mut [f32]) {
    let x = x.get(..out.len()).unwrap_or(x);
    run_widest(Symmetric { upper, x, out });
}

struct Dots<'a> {
    x: &'a [f32; COLUMNS],
    rows: &'a [[f32; COLUMNS]],
    out: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let x = *self.x;
        for (to, row) in self.out.iter_mut().zip(self.rows) {
            *to = dot(row, &x);
        }
    }
}

/// Writes Σ `rows[i]` · `x` to `out[i]`: the same to the bit on every machine.
pub fn dots(x: &[f32; COLUMNS], rows: &[[f32; COLUMNS]], out: &mut [f32]) {
    run_widest(Dots { x, rows, out });
}

struct Moments<'a> {
    ring: &'a [[f32; COLUMNS]],
    newest: usize,
    count: usize,
}

impl Kernel for Moments<'_> {
    type Output = [[f32; COLUMNS]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [[f32; COLUMNS]; 2] {
        let Self { ring, newest, count } = self;
        let (newer, older) = ring.split_at((newest + 1).min(ring.len()));
        let newer = &newer[newer.len() - count.min(newer.len())..];
        let older = &older[older.len() - (count - newer.len()).min(older.len())..];
        let share = 1.0 / count as f32;
        let (mut means, mut deviations) = ([0.0f32; COLUMNS], [0.0f32; COLUMNS]);
        for rows in [newer, older] {
            for row in rows.iter().rev() {
                means.iter_mut().zip(row).for_each(|(mean, x)| *mean += share * x);
            }
        }
        for rows in [newer, older] {
            for row in rows.iter().rev() {
                for ((deviation, mean), x) in deviations.iter_mut().zip(&means).zip(row) {
                    *deviation += share * (x - mean) * (x - mean);
                }
            }
        }
        [means, deviations.map(f32::sqrt)]
    }
}

/// Means and deviations over the last `count` rows, 1 or more, of a ring whose last one is `newest`: the same to the bit on every
/// machine.
#[must_use]
pub fn moments(ring: &[[f32; COLUMNS]], newest: usize, count: usize) -> [[f32; COLUMNS]; 2] {
    run_widest(Moments { ring, newest, count: count.max(1) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    proptest! {
        #[test]
        fn wide_registers_give_the_same_bits(
            rows in proptest::collection::vec((-10f32..10.0, proptest::array::uniform32(-3f32..3.0)), 0..70),
            start in -5f32..5.0,
        ) {
            let inputs: Vec<f32> = rows.iter().map(|(x, _)| *x).collect();
            let weights: Vec<f32> = rows.iter().flat_map(|(_, half)| [*half, half.map(|w| w * 0.7)].concat()).collect();
            let (mut wide, mut portable) = ([start; COLUMNS], [start; COLUMNS]);
            subtract_products(&inputs, &weights, &mut wide);
            run_for_any(Subtract { inputs: &inputs, weights: &weights, sums: &mut portable });
            let mut plain = [start; COLUMNS];
            for (column, sum) in plain.iter_mut().enumerate() {
                for (row, x) in inputs.iter().enumerate() {
                    *sum -= x * weights[row * COLUMNS + column];
                }
            }
            let bits = |sums: [f32; COLUMNS]| sums.map(f32::to_bits);
            prop_assert_eq!(bits(wide), bits(plain));
            prop_assert_eq!(bits(portable), bits(plain));
        }

        #[test]
        fn a_symmetric_matrix_is_the_same_in_any_registers(
            (x, upper) in (0..40usize).prop_flat_map(|width| (
                proptest::collection::vec(-3f32..3.0, width),
                proptest::collection::vec(-2f32..2.0, width * (width + 1) / 2),
            )),
        ) {
            let (mut wide, mut portable) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            multiply_symmetric(&upper, &x, &mut wide);
            run_for_any(Symmetric { upper: &upper, x: &x, out: &mut portable });
            let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&wide), bits(&portable));
            let at = |i: usize, j: usize| {
                let (i, j) = (i.min(j), i.max(j));
                upper[i * x.len() - i * i.saturating_sub(1) / 2 + j - i]
            };
            for (i, sum) in wide.iter().enumerate() {
                let exact: f64 = x.iter().enumerate().map(|(j, x)| f64::from(at(i, j)) * f64::from(*x)).sum();
                prop_assert!((f64::from(*sum) - exact).abs() < 1e-3, "{i}: {sum} {exact}");
            }
        }

        #[test]
        fn rows_of_a_ring_give_the_same_in_any_registers(
            ring in proptest::collection::vec(proptest::array::uniform32(-3f32..3.0), 1..30),
            (newest, count) in (0..30usize, 1..30usize),
        ) {
            let ring: Vec<[f32; COLUMNS]> =
                ring.iter().map(|half| std::array::from_fn(|i| half[i % 32] * (1.0 + (i / 32) as f32))).collect();
            let (newest, count) = (newest % ring.len(), count.min(ring.len()));
            let found = moments(&ring, newest, count);
            prop_assert_eq!(found, run_for_any(Moments { ring: &ring, newest, count }));
            let last: Vec<&[f32; COLUMNS]> =
                (0..count).map(|back| &ring[(newest + ring.len() - back) % ring.len()]).collect();
            for column in 0..COLUMNS {
                let mean = last.iter().map(|row| row[column]).sum::<f32>() / count as f32;
                let square = last.iter().map(|row| (row[column] - mean).powi(2)).sum::<f32>() / count as f32;
                prop_assert!((found[0][column] - mean).abs() < 1e-5);
                prop_assert!((found[1][column].powi(2) - square).abs() < 1e-4);
            }
            let (mut wide, mut portable) = (vec![0.0; ring.len()], vec![0.0; ring.len()]);
            dots(&ring[0], &ring, &mut wide);
            run_for_any(Dots { x: &ring[0], rows: &ring, out: &mut portable });
            prop_assert_eq!(&wide, &portable);
            let squared: f32 = ring[0].iter().map(|x| x * x).sum();
            prop_assert!((wide[0] - squared).abs() < 1e-4 * squared.max(1.0));
        }
    }
}
