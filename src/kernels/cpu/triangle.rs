//! Lower triangles of symmetric matrices. Each stream has its own, which no other stream's step brings into a near
//! cache, so that they are read once, in the order in which they lie.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::simd::{Kernel, Simd};
use super::sums::{SIDE, Sums, first};
use super::widest::run_widest;

/// Rows whose sums are made together.
const TOGETHER: usize = 4;

/// The most rows of a triangle that is multiplied with a vector.
const MOST_ROWS: usize = 256;

/// A lower triangle, row by row. Rows are filled up with zeros to whole registers, and the triangle with rows of zeros to whole blocks of
/// so many rows, so that nothing is left over; what fills up is not part of what is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Triangle<T> {
    pub(super) width: usize,
    pub(super) registers: Vec<[T; SIDE]>,
}

/// Registers before block `block` of rows.
const fn before(block: usize) -> usize {
    SIDE * (block * (block + 1) / 2)
}

/// Where row `i` lies: its first register, and how many it has.
pub(super) const fn place(i: usize) -> (usize, usize) {
    let length = i / SIDE + 1;
    (before(i / SIDE) + i % SIDE * length, length)
}

impl<T: Copy + Default> Triangle<T> {
    /// `width` rows of zeros.
    #[must_use]
    pub fn zeros(width: usize) -> Self {
        Self { width, registers: vec![[T::default(); SIDE]; before(width.div_ceil(SIDE))] }
    }

    /// Of the number at each row and column, column ≤ row.
    #[must_use]
    pub fn of(width: usize, number: impl Fn(usize, usize) -> T) -> Self {
        let mut made = Self::zeros(width);
        for i in 0..width {
            made.row_mut(i).iter_mut().enumerate().for_each(|(j, to)| *to = number(i, j));
        }
        made
    }

    /// Of its rows one after another; none where no triangle has so many numbers.
    #[must_use]
    pub fn from_packed(packed: &[T]) -> Option<Self> {
        let width = (0..=packed.len()).find(|width| width * (width + 1) / 2 >= packed.len())?;
        let is_whole = width * (width + 1) / 2 == packed.len();
        is_whole.then(|| Self::of(width, |i, j| packed[i * (i + 1) / 2 + j]))
    }

    /// The numbers of its rows one after another.
    pub fn numbers(&self) -> impl Iterator<Item = T> {
        (0..self.width).flat_map(|i| self.row(i).iter().copied())
    }

    /// Rows.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `i` up to its diagonal; empty where there is none.
    #[must_use]
    pub fn row(&self, i: usize) -> &[T] {
        let (start, length) = place(i);
        let row = self.registers.get(start..start + length).unwrap_or_default().as_flattened();
        row.get(..=i).unwrap_or_default()
    }

    /// The same, to be written.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        let (start, length) = place(i);
        let row = self.registers.get_mut(start..start + length).unwrap_or_default().as_flattened_mut();
        row.get_mut(..=i).unwrap_or_default()
    }

    /// Becomes like `other`. Does not allocate where it was as wide before.
    pub fn take(&mut self, other: &Self) {
        self.width = other.width;
        self.registers.clone_from(&other.registers);
    }

    /// Replaces its numbers by those of a triangle that is as wide or wider, each `made` of one. Does not allocate.
    pub fn convert<U: Copy>(&mut self, other: &Triangle<U>, made: impl Fn(U) -> T) {
        for i in 0..self.width {
            let (start, length) = place(i);
            let both = self.registers.iter_mut().zip(&other.registers);
            both.skip(start).take(length).for_each(|(to, from)| *to = from.map(&made));
        }
    }
}

impl<T: Copy + Default + Serialize> Serialize for Triangle<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.numbers())
    }
}

impl<'de, T: Copy + Default + Deserialize<'de>> Deserialize<'de> for Triangle<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let packed = Vec::<T>::deserialize(from)?;
        Self::from_packed(&packed)
            .ok_or_else(|| D::Error::custom(format!("{} numbers make no triangle", packed.len())))
    }
}

/// The blocks of rows: how many registers a row of it has, and the rows.
fn blocks<T>(registers: &[[T; SIDE]]) -> impl Iterator<Item = (usize, &[[T; SIDE]])> {
    let mut rest = registers;
    (1..).map_while(move |length| {
        let (rows, after) = rest.split_at_checked(SIDE * length)?;
        rest = after;
        Some((length, rows))
    })
}

/// The registers of a vector, filled up with zeros.
#[inline(always)]
fn vector(x: &[f32]) -> [[f32; SIDE]; MOST_ROWS / SIDE] {
    let mut registers = [[0.0; SIDE]; MOST_ROWS / SIDE];
    registers.as_flattened_mut().iter_mut().zip(x).for_each(|(to, x)| *to = *x);
    registers
}

struct SquaredNorm<'a> {
    factor: &'a [[f32; SIDE]],
    x: &'a [f32],
}

impl Kernel for SquaredNorm<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let x = vector(self.x);
        let mut norm = 0.0;
        for (length, rows) in blocks(self.factor) {
            for rows in rows.chunks_exact(TOGETHER * length) {
                let rows: [_; TOGETHER] = std::array::from_fn(|row| &rows[row * length..][..length]);
                let mut sums = [Sums::zero(s); TOGETHER];
                for (at, x) in x[..length].iter().enumerate() {
                    let x = Sums::load(s, x);
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        *sums = sums.add_product(Sums::load(s, &row[at]), x);
                    }
                }
                for sums in sums {
                    let product = sums.total();
                    norm += product * product;
                }
            }
        }
        norm
    }
}

/// |L `x`|² for a triangle L of 256 rows or fewer: the same to the bit on every machine. What `x` lacks counts as 0.
#[must_use]
pub fn squared_norm(factor: &Triangle<f32>, x: &[f32]) -> f32 {
    run_widest(SquaredNorm { factor: &factor.registers, x })
}

struct Symmetric<'a> {
    lower: &'a [[f32; SIDE]],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Symmetric<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, mut sums) = (vector(self.x), vector(&[]));
        for (length, rows) in blocks(self.lower) {
            let block = length - 1;
            for (four, rows) in rows.chunks_exact(TOGETHER * length).enumerate() {
                let rows: [_; TOGETHER] = std::array::from_fn(|row| &rows[row * length..][..length]);
                let mut own = [Sums::zero(s); TOGETHER];
                for (own, x) in own.iter_mut().zip(&x[block][TOGETHER * four..]) {
                    *own = Sums::splat(s, *x);
                }
                let mut across = [Sums::zero(s); TOGETHER];
                // what is read once is a part both of its row and of its column
                for (at, (x, sums)) in x.iter().zip(&mut sums).enumerate().take(block) {
                    let (x, mut down) = (Sums::load(s, x), Sums::load(s, sums));
                    for ((across, row), own) in across.iter_mut().zip(rows).zip(own) {
                        let weights = Sums::load(s, &row[at]);
                        *across = across.add_product(weights, x);
                        down = down.add_product(weights, own);
                    }
                    down.store(sums);
                }
                let mut down = Sums::load(s, &sums[block]);
                for (row, (across, own)) in across.iter_mut().zip(own).enumerate() {
                    let last = &rows[row][block];
                    *across = across.add_product(Sums::load(s, last), Sums::load(s, &x[block]));
                    down = down.add_product(Sums::load(s, &first(last, TOGETHER * four + row)), own);
                }
                down.store(&mut sums[block]);
                for (to, across) in sums[block][TOGETHER * four..].iter_mut().zip(across) {
                    *to += across.total();
                }
            }
        }
        self.out.iter_mut().zip(sums.as_flattened()).for_each(|(to, sum)| *to = *sum);
    }
}

/// Writes M · `x` to `out`, with a symmetric matrix M of 256 rows or fewer, of which `lower` is the triangle: the same to the bit on
/// every machine. What `x` lacks counts as 0.
pub fn multiply_symmetric(lower: &Triangle<f32>, x: &[f32], out: &mut [f32]) {
    run_widest(Symmetric { lower: &lower.registers, x, out });
}

struct AddOuter<'a> {
    sums: &'a mut [[f32; SIDE]],
    x: &'a [f32],
    kept: f32,
    added: f32,
}

impl Kernel for AddOuter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = vector(self.x);
        let (mut rest, kept) = (self.sums, Sums::splat(s, self.kept));
        for block in 0..x.len() {
            let length = block + 1;
            let Some((rows, after)) = rest.split_at_mut_checked(SIDE * length) else { return };
            rest = after;
            for (row, registers) in rows.chunks_exact_mut(length).enumerate() {
                let own = Sums::splat(s, self.added * x[block][row]);
                let (full, last) = registers.split_at_mut(block);
                let last_x = first(&x[block], row + 1);
                for (to, x) in full.iter_mut().zip(&x).chain([(&mut last[0], &last_x)]) {
                    Sums::load(s, to).times(kept).add_product(own, Sums::load(s, x)).store(to);
                }
            }
        }
    }
}

/// `sums` = `kept` · `sums` + `added` · `x` `x`ᵀ, of which the triangle is kept: the same to the bit on every machine. It has 256 rows
/// or fewer.
pub fn add_outer(sums: &mut Triangle<f32>, x: &[f32], kept: f32, added: f32) {
    run_widest(AddOuter { sums: &mut sums.registers, x, kept, added });
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::widest::run_for_any;
    use super::*;

    /// A vector, and the packed numbers of a triangle as wide.
    fn with_triangle(most: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        let triangle = |width: usize| vec(-2f32..2.0, width * (width + 1) / 2);
        (0..most).prop_flat_map(move |width| (vec(-3f32..3.0, width), triangle(width)))
    }

    proptest! {
        #[test]
        fn what_fills_up_is_not_kept((_, packed) in with_triangle(40)) {
            let triangle = Triangle::from_packed(&packed).unwrap();
            prop_assert_eq!(triangle.numbers().collect::<Vec<_>>(), packed.clone());
            let json = serde_json::to_string(&triangle).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&packed).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Triangle<f32>>(&json).unwrap(), &triangle);
            let mut other = Triangle::zeros(3);
            other.take(&triangle);
            prop_assert_eq!(&other, &triangle);
            let rows: Vec<f32> = (0..triangle.width()).flat_map(|i| other.row_mut(i).to_vec()).collect();
            prop_assert_eq!(rows, packed.clone());
            let more = [&packed[..], &[1.0, 2.0]].concat();
            prop_assert_eq!(Triangle::from_packed(&more).is_none(), packed.len() != 1);
            prop_assert!(triangle.row(triangle.width() + SIDE).is_empty());
        }

        #[test]
        fn triangles_are_the_same_in_any_registers(
            (x, packed) in with_triangle(150), (kept, added) in (0f32..1.0, 0f32..0.5),
        ) {
            let triangle = Triangle::from_packed(&packed).unwrap();
            let norm = squared_norm(&triangle, &x);
            let portable = run_for_any(SquaredNorm { factor: &triangle.registers, x: &x });
            prop_assert_eq!(norm.to_bits(), portable.to_bits());
            let product = |i: usize| triangle.row(i).iter().zip(&x).map(|(a, x)| f64::from(*a) * f64::from(*x)).sum::<f64>();
            let exact: f64 = (0..x.len()).map(|i| product(i).powi(2)).sum();
            prop_assert!((f64::from(norm) - exact).abs() <= 1e-4 * exact.max(1.0), "{norm} {exact}");

            let (mut wide, mut portable) = (triangle.clone(), triangle.clone());
            add_outer(&mut wide, &x, kept, added);
            run_for_any(AddOuter { sums: &mut portable.registers, x: &x, kept, added });
            let plain = Triangle::of(x.len(), |i, j| kept * triangle.row(i)[j] + (added * x[i]) * x[j]);
            prop_assert_eq!(&wide, &plain);
            prop_assert_eq!(&portable, &plain);
        }

        #[test]
        fn a_symmetric_matrix_is_the_same_in_any_registers((x, packed) in with_triangle(150)) {
            let lower = Triangle::from_packed(&packed).unwrap();
            let (mut wide, mut portable) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            multiply_symmetric(&lower, &x, &mut wide);
            run_for_any(Symmetric { lower: &lower.registers, x: &x, out: &mut portable });
            let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&wide), bits(&portable));
            let at = |i: usize, j: usize| lower.row(i.max(j))[i.min(j)];
            for (i, sum) in wide.iter().enumerate() {
                let exact: f64 = x.iter().enumerate().map(|(j, x)| f64::from(at(i, j)) * f64::from(*x)).sum();
                prop_assert!((f64::from(*sum) - exact).abs() < 2e-3, "{i}: {sum} {exact}");
            }
        }
    }
}
