//! Cholesky factors of symmetric matrices, a row at a time.

use super::simd::{Kernel, Simd};
use super::sums::{SIDE, first, total};
use super::triangle::{Triangle, place};
use super::widest::run_widest;

/// `sums` += `a` · `b`, lane by lane.
#[inline(always)]
fn add_products(sums: &mut [f64; SIDE], a: &[f64; SIDE], b: &[f64; SIDE]) {
    sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
}

struct FactoriseRow<'a> {
    factor: &'a mut [[f64; SIDE]],
    inverse: &'a mut [[f64; SIDE]],
    i: usize,
    least: f64,
}

impl Kernel for FactoriseRow<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        let Self { factor, inverse, i, least } = self;
        let (start, length) = place(i);
        let (above, from_here) = factor.split_at_mut(start);
        let line = &mut from_here[..length];
        for j in 0..i {
            let (start, length) = place(j);
            let (other, lane) = (&above[start..][..length], j % SIDE);
            let mut sums = [0.0; SIDE];
            for (line, other) in line.iter().zip(&other[..length - 1]) {
                add_products(&mut sums, line, other);
            }
            let last = &other[length - 1];
            add_products(&mut sums, &line[length - 1], &first(last, lane));
            line[length - 1][lane] = (line[length - 1][lane] - total(&mut sums)) / last[lane];
        }
        let (last, lane) = (length - 1, i % SIDE);
        let mut sums = [0.0; SIDE];
        for register in &line[..last] {
            add_products(&mut sums, register, register);
        }
        let rest = first(&line[last], lane);
        add_products(&mut sums, &rest, &rest);
        let left = line[last][lane] - total(&mut sums);
        if left.is_nan() || left <= least {
            return false;
        }
        let pivot = left.sqrt();
        line[last][lane] = pivot;

        let (above, from_here) = inverse.split_at_mut(start);
        let to = &mut from_here[..length];
        to.fill([0.0; SIDE]);
        for (k, factor) in line.as_flattened()[..i].iter().enumerate() {
            let (start, length) = place(k);
            for (to, x) in to.iter_mut().zip(&above[start..][..length]) {
                to.iter_mut().zip(x).for_each(|(to, x)| *to -= factor * x);
            }
        }
        let reciprocal = 1.0 / pivot;
        to.as_flattened_mut().iter_mut().for_each(|to| *to *= reciprocal);
        to[last][lane] = reciprocal;
        true
    }
}

/// Replaces row `i` of a symmetric matrix A by that of its Cholesky factor L, of which the rows before are there, and writes that of L⁻¹ to
/// `inverse`: Lᵢⱼ = (Aᵢⱼ − Σₖ LᵢₖLⱼₖ)/Lⱼⱼ and (L⁻¹)ᵢ = (eᵢ − Σₖ Lᵢₖ (L⁻¹)ₖ)/Lᵢᵢ. False where the square of the pivot is not above
/// `least`, or where either triangle has no such row. The same to the bit on every machine.
#[must_use]
pub fn factorise_row(factor: &mut Triangle<f64>, inverse: &mut Triangle<f64>, i: usize, least: f64) -> bool {
    let has_row = i < factor.width.min(inverse.width);
    let (factor, inverse) = (&mut factor.registers, &mut inverse.registers);
    has_row && run_widest(FactoriseRow { factor, inverse, i, least })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    proptest! {
        #[test]
        fn a_factor_and_its_inverse_are_the_same_in_any_registers(
            root in (1..40usize).prop_flat_map(|width| vec(vec(-1f64..1.0, width), width)),
        ) {
            let width = root.len();
            let product = |i: usize, j: usize| {
                let sum: f64 = root[i].iter().zip(&root[j]).map(|(a, b)| a * b).sum();
                if i == j { sum + 1.0 } else { sum }
            };
            let mut wide = Triangle::of(width, product);
            let mut portable = wide.clone();
            // what a factorisation before has left is written over
            let (mut inverse, mut other) = (Triangle::of(width, |_, _| 7.0), Triangle::zeros(width));
            for i in 0..width {
                prop_assert!(factorise_row(&mut wide, &mut inverse, i, 1e-9));
                let (factor, inverse) = (&mut portable.registers, &mut other.registers);
                let row = FactoriseRow { factor, inverse, i, least: 1e-9 };
                prop_assert!(run_for_any(row));
            }
            prop_assert_eq!(&wide, &portable);
            prop_assert_eq!(&inverse, &other);
            for i in 0..width {
                for j in 0..=i {
                    let sum: f64 = (0..=j).map(|k| wide.row(i)[k] * wide.row(j)[k]).sum();
                    prop_assert!((sum - product(i, j)).abs() < 1e-9);
                    let unit: f64 = (j..=i).map(|k| inverse.row(i)[k] * wide.row(k)[j]).sum();
                    prop_assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-9);
                }
            }
            prop_assert!(!factorise_row(&mut wide, &mut inverse, width, 1e-9));
            prop_assert!(!factorise_row(&mut Triangle::of(1, |_, _| -1.0), &mut Triangle::zeros(1), 0, 1e-9));
        }
    }
}
