//! Packed lower triangles: the rows of a matrix, each up to its diagonal, one after another. Each stream has its own, which no other
//! stream's step brings into a near cache.

use super::columns::{dot, multiply_each};
use super::simd::{Kernel, Simd};
use super::widest::run_widest;

/// Numbers that are added side by side.
const SIDE: usize = 8;

/// Where row `i` begins.
const fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

struct SquaredNorm<'a> {
    factor: &'a [f32],
    x: &'a [f32],
}

impl Kernel for SquaredNorm<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        let (mut rest, mut sum) = (self.factor, 0.0);
        for i in 0..self.x.len() {
            let (row, after) = rest.split_at((i + 1).min(rest.len()));
            rest = after;
            let product = dot(row, &self.x[..=i]);
            sum += product * product;
        }
        sum
    }
}

/// |L `x`|² for a triangle L: the same to the bit on every machine. What `factor` lacks counts as 0.
#[must_use]
pub fn squared_norm(factor: &[f32], x: &[f32]) -> f32 {
    run_widest(SquaredNorm { factor, x })
}

struct AddOuter<'a> {
    sums: &'a mut [f32],
    x: &'a [f32],
    kept: f32,
    added: f32,
}

impl Kernel for AddOuter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { sums: mut rest, x, kept, added } = self;
        for (i, own) in x.iter().enumerate() {
            let (row, after) = rest.split_at_mut((i + 1).min(rest.len()));
            rest = after;
            let own = added * own;
            let ((row, row_rest), (x, x_rest)) = (row.as_chunks_mut::<SIDE>(), x[..=i].as_chunks::<SIDE>());
            for (row, x) in row.iter_mut().zip(x) {
                *row = std::array::from_fn(|lane| kept * row[lane] + own * x[lane]);
            }
            row_rest.iter_mut().zip(x_rest).for_each(|(sum, x)| *sum = kept * *sum + own * x);
        }
    }
}

/// `sums` = `kept` · `sums` + `added` · `x` `x`ᵀ, of which the triangle is kept: the same to the bit on every machine.
pub fn add_outer(sums: &mut [f32], x: &[f32], kept: f32, added: f32) {
    run_widest(AddOuter { sums, x, kept, added });
}

struct FactoriseRow<'a> {
    factor: &'a mut [f64],
    inverse: &'a mut [f64],
    i: usize,
    least: f64,
}

impl Kernel for FactoriseRow<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        let Self { factor, inverse, i, least } = self;
        let (before, from_here) = factor.split_at_mut(start(i));
        let (line, from_pivot) = from_here.split_at_mut(i);
        let pivot = &mut from_pivot[0];
        for j in 0..i {
            let other = &before[start(j)..=start(j) + j];
            let (done, rest) = line.split_at_mut(j);
            rest[0] = (rest[0] - dot(done, &other[..j])) / other[j];
        }
        let left = *pivot - dot(line, line);
        if left.is_nan() || left <= least {
            return false;
        }
        *pivot = left.sqrt();
        let (before, from_here) = inverse.split_at_mut(start(i));
        let (to, from_diagonal) = from_here.split_at_mut(i);
        to.fill(0.0);
        for (k, factor) in line.iter().enumerate() {
            let other = &before[start(k)..=start(k) + k];
            let (to, to_rest) = to[..=k].as_chunks_mut::<SIDE>();
            let (other, other_rest) = other.as_chunks::<SIDE>();
            for (to, x) in to.iter_mut().zip(other) {
                *to = std::array::from_fn(|lane| to[lane] - factor * x[lane]);
            }
            to_rest.iter_mut().zip(other_rest).for_each(|(to, x)| *to -= factor * x);
        }
        let reciprocal = 1.0 / *pivot;
        from_diagonal[0] = reciprocal;
        multiply_each(to, reciprocal);
        true
    }
}

/// Replaces row `i` of a symmetric matrix A by that of its Cholesky factor L, of which the rows before are there, and writes that of L⁻¹ to
/// `inverse`: Lᵢⱼ = (Aᵢⱼ − Σₖ LᵢₖLⱼₖ)/Lⱼⱼ and (L⁻¹)ᵢ = (eᵢ − Σₖ Lᵢₖ (L⁻¹)ₖ)/Lᵢᵢ. False where the square of the pivot is not above
/// `least`, or where either triangle has no such row. The same to the bit on every machine.
#[must_use]
pub fn factorise_row(factor: &mut [f64], inverse: &mut [f64], i: usize, least: f64) -> bool {
    let has_row = factor.len().min(inverse.len()) >= start(i + 1);
    has_row && run_widest(FactoriseRow { factor, inverse, i, least })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    proptest! {
        #[test]
        fn triangles_are_the_same_in_any_registers(
            (x, triangle) in (0..50usize).prop_flat_map(|width| (
                proptest::collection::vec(-3f32..3.0, width),
                proptest::collection::vec(-2f32..2.0, start(width)),
            )),
            (kept, added) in (0f32..1.0, 0f32..0.5),
        ) {
            let norm = squared_norm(&triangle, &x);
            prop_assert_eq!(norm.to_bits(), run_for_any(SquaredNorm { factor: &triangle, x: &x }).to_bits());
            let at = |i: usize, j: usize| triangle[start(i) + j];
            let product = |i: usize| (0..=i).map(|j| f64::from(at(i, j)) * f64::from(x[j])).sum::<f64>();
            let exact: f64 = (0..x.len()).map(|i| product(i).powi(2)).sum();
            prop_assert!((f64::from(norm) - exact).abs() <= 1e-4 * exact.max(1.0), "{norm} {exact}");

            let (mut wide, mut portable) = (triangle.clone(), triangle.clone());
            add_outer(&mut wide, &x, kept, added);
            run_for_any(AddOuter { sums: &mut portable, x: &x, kept, added });
            let plain: Vec<f32> = (0..x.len())
                .flat_map(|i| (0..=i).map(move |j| (i, j)))
                .map(|(i, j)| kept * at(i, j) + (added * x[i]) * x[j])
                .collect();
            prop_assert_eq!(&wide, &plain);
            prop_assert_eq!(&portable, &plain);
        }

        #[test]
        fn a_factor_and_its_inverse_are_the_same_in_any_registers(
            root in (1..30usize).prop_flat_map(|width| proptest::collection::vec(
                proptest::collection::vec(-1f64..1.0, width), width,
            )),
        ) {
            let width = root.len();
            let product = |i: usize, j: usize| {
                let sum: f64 = root[i].iter().zip(&root[j]).map(|(a, b)| a * b).sum();
                if i == j { sum + 1.0 } else { sum }
            };
            let matrix: Vec<f64> = (0..width).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| product(i, j)).collect();
            let (mut wide, mut portable) = (matrix.clone(), matrix);
            let (mut inverse, mut other) = (vec![0.0; start(width)], vec![0.0; start(width)]);
            for i in 0..width {
                prop_assert!(factorise_row(&mut wide, &mut inverse, i, 1e-9));
                let is_factorised = run_for_any(FactoriseRow { factor: &mut portable, inverse: &mut other, i, least: 1e-9 });
                prop_assert!(is_factorised);
            }
            prop_assert_eq!(&wide, &portable);
            prop_assert_eq!(&inverse, &other);
            for i in 0..width {
                for j in 0..=i {
                    let sum: f64 = (0..=j).map(|k| wide[start(i) + k] * wide[start(j) + k]).sum();
                    prop_assert!((sum - product(i, j)).abs() < 1e-9);
                    let unit: f64 = (j..=i).map(|k| inverse[start(i) + k] * wide[start(k) + j]).sum();
                    prop_assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-9);
                }
            }
            prop_assert!(!factorise_row(&mut wide, &mut inverse, width, 1e-9));
            prop_assert!(!factorise_row(&mut [-1.0], &mut [0.0], 0, 1e-9));
        }
    }
}
