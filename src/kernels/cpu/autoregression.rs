//! Products of 8 × 8 matrices: how the prediction of a stream from its own past is made, and what it is made of.

use super::simd::{Kernel, Simd};
use super::widest::run_widest;

/// Rows and columns of a block.
const SIDE: usize = 8;

/// A matrix, column after column.
pub type Block = [[f64; SIDE]; SIDE];

/// Products of a step with an earlier one, row after row.
pub type LagProducts = [[f32; SIDE]; SIDE];

/// `a` · `b`, each sum in the order of the columns of `a`; `b(k, j)` is row k of column j.
#[inline(always)]
fn product(a: &Block, b: impl Fn(usize, usize) -> f64) -> Block {
    // loops, since the closures of `array::from_fn` are compiled for any processor where they are not inlined
    let mut out = [[0.0; SIDE]; SIDE];
    for (j, column) in out.iter_mut().enumerate() {
        for (k, a) in a.iter().enumerate() {
            let factor = b(k, j);
            for (sum, x) in column.iter_mut().zip(a) {
                *sum = if k == 0 { x * factor } else { *sum + x * factor };
            }
        }
    }
    out
}

#[inline(always)]
fn subtract(from: &mut Block, what: &Block) {
    let numbers = from.as_flattened_mut().iter_mut().zip(what.as_flattened());
    numbers.for_each(|(from, what)| *from -= what);
}

struct SubtractPredictions<'a> {
    rest: &'a mut Block,
    weights: &'a [Block],
    lagged: &'a [LagProducts],
}

impl Kernel for SubtractPredictions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (weights, lagged) in self.weights.iter().zip(self.lagged.iter().rev()) {
            subtract(self.rest, &product(weights, |k, j| f64::from(lagged[k][j])));
        }
    }
}

/// `rest` −= Σ `weights[i]` · `lagged[n − 1 − i]` for the n of both: the same to the bit on every machine.
pub fn subtract_predictions(rest: &mut Block, weights: &[Block], lagged: &[LagProducts]) {
    run_widest(SubtractPredictions { rest, weights, lagged });
}

struct Reflect<'a> {
    forward: &'a mut [Block],
    backward: &'a mut [Block],
    of: [&'a Block; 2],
}

impl Kernel for Reflect<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [ahead, behind] = self.of;
        for (a, b) in self.forward.iter_mut().zip(self.backward.iter_mut().rev()) {
            let (by_ahead, by_behind) = (product(ahead, |k, j| b[j][k]), product(behind, |k, j| a[j][k]));
            subtract(a, &by_ahead);
            subtract(b, &by_behind);
        }
    }
}

/// Each a of `forward`, with the b of `backward` that is as far from its end, becomes a − F · b, and b becomes b − G · a, with F and G
/// in `of`: the same to the bit on every machine.
pub fn reflect(forward: &mut [Block], backward: &mut [Block], of: [&Block; 2]) {
    run_widest(Reflect { forward, backward, of });
}

struct AddLagProducts<'a> {
    sums: &'a mut [LagProducts],
    kept: f32,
    now: &'a [f32; SIDE],
    past: [&'a [[f32; SIDE]]; 2],
}

impl Kernel for AddLagProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { sums, kept, now, past: [newer, older] } = self;
        let (near, far) = sums.split_at_mut(newer.len().min(sums.len()));
        for (sums, past) in [(near, newer), (far, older)] {
            for (sums, past) in sums.iter_mut().zip(past.iter().rev()) {
                for (sums, x) in sums.iter_mut().zip(now) {
                    sums.iter_mut().zip(past).for_each(|(sum, y)| *sum = kept * *sum + x * y);
                }
            }
        }
    }
}

/// `sums[l]` becomes `kept` times what it was, plus the products of `now` with the step that is l steps old: the last l of the first part
/// of `past`, then of the second. The same to the bit on every machine.
pub fn add_lag_products(sums: &mut [LagProducts], kept: f32, now: &[f32; SIDE], past: [&[[f32; SIDE]]; 2]) {
    run_widest(AddLagProducts { sums, kept, now, past });
}

#[cfg(test)]
mod tests {
    use nalgebra::SMatrix;
    use proptest::array::uniform8;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    type Matrix = SMatrix<f64, SIDE, SIDE>;

    fn matrix(block: &Block) -> Matrix {
        Matrix::from_fn(|i, j| block[j][i])
    }

    proptest! {
        #[test]
        fn a_recursion_in_wide_registers_gives_the_same_bits_and_what_matrices_give(
            blocks in vec((uniform8(uniform8(-2f64..2.0)), uniform8(uniform8(-2f64..2.0))), 0..5),
            lagged in vec(uniform8(uniform8(-2f32..2.0)), 5),
            of in (uniform8(uniform8(-1f64..1.0)), uniform8(uniform8(-1f64..1.0))),
        ) {
            let (forward, backward): (Vec<Block>, Vec<Block>) = blocks.into_iter().unzip();
            let lagged = &lagged[..forward.len()];
            let (mut wide, mut plain) = (of.0, of.0);
            subtract_predictions(&mut wide, &forward, lagged);
            run_for_any(SubtractPredictions { rest: &mut plain, weights: &forward, lagged });
            prop_assert_eq!(wide, plain);
            let mut exact = matrix(&of.0);
            for (weights, lagged) in forward.iter().zip(lagged.iter().rev()) {
                exact -= matrix(weights) * Matrix::from_fn(|i, j| f64::from(lagged[i][j]));
            }
            prop_assert!((matrix(&wide) - exact).amax() < 1e-12);

            let (mut a, mut b) = (forward.clone(), backward.clone());
            let (mut c, mut d) = (forward.clone(), backward.clone());
            reflect(&mut a, &mut b, [&of.0, &of.1]);
            run_for_any(Reflect { forward: &mut c, backward: &mut d, of: [&of.0, &of.1] });
            prop_assert_eq!((&a, &b), (&c, &d));
            for (i, before) in forward.iter().enumerate() {
                let j = forward.len() - 1 - i;
                let (ahead, behind) = (matrix(before), matrix(&backward[j]));
                prop_assert!((matrix(&a[i]) - (ahead - matrix(&of.0) * behind)).amax() < 1e-12);
                prop_assert!((matrix(&b[j]) - (behind - matrix(&of.1) * ahead)).amax() < 1e-12);
            }
        }

        #[test]
        fn products_of_a_ring_are_those_of_its_steps(
            ring in vec(uniform8(-3f32..3.0), 1..12),
            newest in 0..12usize,
            kept in 0.5f32..1.0,
        ) {
            let newest = newest % ring.len();
            let first: Vec<LagProducts> = vec![[[0.25; SIDE]; SIDE]; ring.len()];
            let (mut wide, mut plain) = (first.clone(), first);
            let (newer, older) = ring.split_at(newest + 1);
            let (now, past) = (&ring[newest], [newer, older]);
            add_lag_products(&mut wide, kept, now, past);
            run_for_any(AddLagProducts { sums: &mut plain, kept, now, past });
            prop_assert_eq!(&wide, &plain);
            for (lag, products) in wide.iter().enumerate() {
                let old = &ring[(newest + ring.len() - lag) % ring.len()];
                for (row, x) in products.iter().zip(now) {
                    for (sum, y) in row.iter().zip(old) {
                        prop_assert_eq!(*sum, kept * 0.25 + x * y);
                    }
                }
            }
        }
    }
}
