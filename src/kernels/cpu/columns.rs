//! Products with a matrix of one stream alone, which no other stream's step brings into a near cache.

use super::simd::{Kernel, Simd};
use super::widest::{Make, for_widest};

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

impl Make for Subtract<'_> {
    type Made = ();

    fn make<S: Simd>(self, s: S) {
        s.run(self);
    }
}

/// `sums` −= Σ `inputs[i]` · `weights[i]`, with `weights` `[inputs, 64]`, row after row: the same to the bit on every
/// machine.
pub fn subtract_products(inputs: &[f32], weights: &[f32], sums: &mut [f32; COLUMNS]) {
    for_widest(Subtract { inputs, weights, sums });
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
            *to += own * first + dot(others, beyond);
            later.iter_mut().zip(others).for_each(|(to, w)| *to += w * first);
        }
    }
}

impl Make for Symmetric<'_> {
    type Made = ();

    fn make<S: Simd>(self, s: S) {
        s.run(self);
    }
}

/// Σ aᵢ bᵢ, summed side by side.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
    let mut sums = [0.0; SIDE];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    rest + sums.iter().sum::<f32>()
}

/// `out` += M · `x` with a symmetric matrix M of the width of `out`, of which `upper` has the rows from the diagonal on: the
/// same to the bit on every machine. What `x` or `upper` lack counts as 0.
pub fn multiply_symmetric(upper: &[f32], x: &[f32], out: &mut [f32]) {
    let x = x.get(..out.len()).unwrap_or(x);
    for_widest(Symmetric { upper, x, out });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::widest::for_any;
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
            for_any(Subtract { inputs: &inputs, weights: &weights, sums: &mut portable });
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
            for_any(Symmetric { upper: &upper, x: &x, out: &mut portable });
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
    }
}
