//! Products with a matrix of one stream alone, which no other stream's step brings into a near cache, so that it is read once for a few
//! rows of the stream; and what else a stream computes over its own rows of 64.

use super::simd::{Kernel, Simd};
use super::sums::{SIDE, Sums};
use super::widest::run_widest;

/// Columns of such a matrix: as many sums as stay in wide registers.
pub const COLUMNS: usize = 64;

/// Rows for which the weights are read once.
const TOGETHER: usize = 5;

struct Subtract<'a> {
    inputs: &'a [&'a [f32]],
    weights: &'a [[f32; COLUMNS]],
    sums: &'a mut [[f32; COLUMNS]],
}

impl Kernel for Subtract<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (inputs, inputs_left) = self.inputs.as_chunks::<TOGETHER>();
        let (sums, sums_left) = self.sums.as_chunks_mut::<TOGETHER>();
        for (inputs, sums) in inputs.iter().zip(sums) {
            subtract_rows(s, inputs, self.weights, sums);
        }
        for (inputs, sums) in inputs_left.iter().zip(sums_left) {
            subtract_rows(s, &[*inputs], self.weights, std::array::from_mut(sums));
        }
    }
}

/// Some columns of all rows at a time: as many as leave their sums in registers. Each sum is made in the order of the inputs.
#[inline(always)]
fn subtract_rows<S: Simd, const ROWS: usize>(
    s: S,
    inputs: &[&[f32]; ROWS],
    weights: &[[f32; COLUMNS]],
    sums: &mut [[f32; COLUMNS]; ROWS],
) {
    let count = inputs.iter().map(|inputs| inputs.len()).fold(weights.len(), usize::min);
    let inputs = inputs.map(|inputs| &inputs[..count]);
    for part in 0..COLUMNS / SIDE {
        let mut left = [Sums::zero(s); ROWS];
        for (left, sums) in left.iter_mut().zip(&*sums) {
            *left = Sums::load(s, &sums.as_chunks().0[part]);
        }
        for (i, weights) in weights[..count].iter().enumerate() {
            let weights = Sums::load(s, &weights.as_chunks().0[part]);
            for (left, inputs) in left.iter_mut().zip(inputs) {
                *left = left.add_product(Sums::splat(s, -inputs[i]), weights);
            }
        }
        for (sums, left) in sums.iter_mut().zip(left) {
            left.store(&mut sums.as_chunks_mut().0[part]);
        }
    }
}

/// `sums[row]` −= Σ `inputs[row][i]` · `weights[i]` for each row, with `weights` `[inputs, 64]`: the same to the bit on every machine,
/// whatever rows are given together.
pub fn subtract_products(inputs: &[&[f32]], weights: &[f32], sums: &mut [[f32; COLUMNS]]) {
    run_widest(Subtract { inputs, weights: weights.as_chunks().0, sums });
}

struct Dots<'a> {
    x: &'a [f32; COLUMNS],
    rows: &'a [[f32; COLUMNS]],
    out: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = self.x.as_chunks::<SIDE>().0;
        for (to, row) in self.out.iter_mut().zip(self.rows) {
            let mut sums = Sums::zero(s);
            for (row, x) in row.as_chunks::<SIDE>().0.iter().zip(x) {
                sums = sums.add_product(Sums::load(s, row), Sums::load(s, x));
            }
            *to = sums.total();
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

struct AddSquares<'a> {
    numbers: &'a [f32],
    sums: &'a mut [f64],
    squares: &'a mut [f64],
}

impl Kernel for AddSquares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for ((sum, square), x) in self.sums.iter_mut().zip(self.squares).zip(self.numbers) {
            let x = f64::from(*x);
            *sum += x;
            *square += x * x;
        }
    }
}

/// Adds each of the `numbers` to its sum, and its square to the sum of its squares: the same to the bit on every machine.
pub fn add_squares(numbers: &[f32], sums: &mut [f64], squares: &mut [f64]) {
    run_widest(AddSquares { numbers, sums, squares });
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    proptest! {
        #[test]
        fn rows_together_and_wide_registers_give_the_same_bits(
            (inputs, weights) in (0..40usize, 0..12usize).prop_flat_map(|(width, rows)| (
                vec(vec(-10f32..10.0, width), rows), vec(-3f32..3.0, width * COLUMNS),
            )),
            start in -5f32..5.0,
        ) {
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let first = vec![[start; COLUMNS]; inputs.len()];
            let (mut wide, mut portable, mut plain) = (first.clone(), first.clone(), first);
            subtract_products(&inputs, &weights, &mut wide);
            let sums = &mut portable[..];
            run_for_any(Subtract { inputs: &inputs, weights: weights.as_chunks().0, sums });
            for (inputs, sums) in inputs.iter().zip(&mut plain) {
                for (column, sum) in sums.iter_mut().enumerate() {
                    for (i, x) in inputs.iter().enumerate() {
                        *sum -= x * weights[i * COLUMNS + column];
                    }
                }
            }
            let bits = |sums: &[[f32; COLUMNS]]| sums.as_flattened().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&wide), bits(&plain));
            prop_assert_eq!(bits(&portable), bits(&plain));
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
            let [mut sums, mut squares] = [[0.25f64; COLUMNS]; 2];
            let (mut portable_sums, mut portable_squares) = (sums, squares);
            add_squares(&ring[0], &mut sums, &mut squares);
            let (numbers, squares_of) = (&ring[0], &mut portable_squares);
            run_for_any(AddSquares { numbers, sums: &mut portable_sums, squares: squares_of });
            prop_assert_eq!((sums, squares), (portable_sums, portable_squares));
            let expected = ring[0].map(|x| 0.25 + f64::from(x) * f64::from(x));
            prop_assert_eq!((sums, squares), (ring[0].map(|x| 0.25 + f64::from(x)), expected));
            let squared: f32 = ring[0].iter().map(|x| x * x).sum();
            prop_assert!((wide[0] - squared).abs() < 1e-4 * squared.max(1.0));
        }
    }
}
