//! Products in all registers that this machine has.

use proptest::prelude::*;

use super::pack::Packing;
use super::packed_weights::PackedWeights;
use super::product::{RowLayout, multiply};
use super::simd::{MAX_ROWS, Plain, Portable, Simd};
use super::tiles::Tiles;
use crate::kernels::{Matrix, Precision};

/// A product, with rows of inputs that overlap.
#[derive(Debug, Clone)]
struct Case {
    weights: Matrix,
    bias: Vec<f32>,
    inputs: Vec<f32>,
    rows: RowLayout,
}

impl Case {
    fn inputs(&self, row: usize) -> &[f32] {
        let RowLayout { frames, frame_step, stream_step, .. } = self.rows;
        &self.inputs[row / frames * stream_step + row % frames * frame_step..][..self.weights.rows]
    }

    /// Sums of exact numbers, row after row.
    fn exact(&self) -> Vec<Exact> {
        let of = |col: usize| self.weights.data.iter().skip(col).step_by(self.weights.cols).copied();
        let columns: Vec<Vec<f32>> = (0..self.weights.cols).map(|col| of(col).collect()).collect();
        let sums = (0..self.rows.count).flat_map(|row| {
            let bias = columns.iter().zip(&self.bias);
            bias.map(move |(column, bias)| Exact::new(self.inputs(row), column, *bias))
        });
        sums.collect()
    }

    /// Sums in these registers, row after row.
    fn sums<S: Simd>(&self, s: S, precision: Precision) -> Vec<f32> {
        let packed = PackedWeights::new(precision, S::LANES, &[&self.weights], &self.bias);
        let mut sums = vec![f32::NAN; self.rows.count * packed.padded()];
        multiply(s, &packed, (&self.inputs, self.rows), &mut sums, &mut Packing::default());
        sums.chunks_exact(packed.padded()).flat_map(|row| row[..self.weights.cols].to_vec()).collect()
    }

    /// The same in each kind of registers there is, with its name.
    fn everywhere(&self, precision: Precision) -> Vec<(String, Vec<f32>)> {
        let mut found = vec![
            ("plain arrays".to_owned(), self.sums::<Plain>(Portable, precision)),
            ("wide arrays".to_owned(), self.sums(Portable::<16, MAX_ROWS>, precision)),
        ];
        #[cfg(target_arch = "x86_64")]
        {
            use super::avx2::Avx2;
            use super::avx512::Avx512;
            let mut add = |name: &str, sums: Vec<f32>| found.push((name.to_owned(), sums));
            if let Some(s) = Avx2::detect() {
                add("AVX2", self.sums(s.alone(), precision));
                if s.dot().is_some() {
                    add("AVX2 with VNNI", self.sums(s, precision));
                }
            }
            if let Some(s) = Avx512::detect() {
                add("AVX-512", self.sums(s.without_tiles(false), precision));
                if s.dot().is_some() {
                    add("AVX-512 with VNNI", self.sums(s.without_tiles(true), precision));
                }
                if s.tiles().is_some() {
                    add(super::amx::Amx::NAME, self.sums(s, precision));
                }
            }
        }
        found
    }
}

/// A sum of exact numbers, and what explains its distance from one of rounded numbers.
struct Exact {
    sum: f64,
    count: f64,
    /// Magnitudes: the largest input, the heaviest weight, and sums of inputs, of weights and of their products.
    largest: f64,
    heaviest: f64,
    inputs: f64,
    weights: f64,
    products: f64,
}

impl Exact {
    fn new(inputs: &[f32], weights: &[f32], bias: f32) -> Self {
        let mut exact = Self {
            sum: f64::from(bias),
            count: inputs.len() as f64,
            largest: 0.0,
            heaviest: 0.0,
            inputs: 0.0,
            weights: 0.0,
            products: 0.0,
        };
        for (x, w) in inputs.iter().zip(weights) {
            let (x, w) = (f64::from(*x), f64::from(*w));
            exact.sum += x * w;
            exact.largest = exact.largest.max(x.abs());
            exact.heaviest = exact.heaviest.max(w.abs());
            exact.inputs += x.abs();
            exact.weights += w.abs();
            exact.products += (x * w).abs();
        }
        exact
    }

    /// The largest distance where weights and inputs are off by these parts of the largest ones.
    fn bound(&self, weight: f64, input: f64) -> f64 {
        let (off_inputs, off_weights) = (self.largest * input, self.heaviest * weight);
        let both = self.count * off_inputs * off_weights;
        1e-6 + off_inputs * self.weights + off_weights * self.inputs + both + 1e-5 * self.products
    }
}

/// Numbers between −1 and 1 of different sizes; without a sign where rectified.
fn numbers(seed: &mut u64, count: usize, rectified: bool) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * next().abs()).map(|x| if rectified { x.max(0.0) } else { x }).collect()
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (1usize..80, 1usize..5, 1usize..70, 1usize..5);
    (sizes, any::<u64>(), any::<bool>()).prop_map(|((count, frames, part, scale), mut seed, rectified)| {
        // rows of up to 4,140 numbers reach over several blocks of depth, each of which is two parts
        let (depth, cols) = (part * [1, 5, 20, 60][scale - 1], 1 + seed as usize % 100);
        let frame_step = depth.div_ceil(2);
        let stream_step = (frames - 1) * frame_step + depth;
        let rows = RowLayout { count, frames, frame_step, stream_step };
        let weights = Matrix { rows: depth, cols, data: numbers(&mut seed, depth * cols, false) };
        let bias = numbers(&mut seed, cols, false);
        let mut inputs = numbers(&mut seed, count.div_ceil(frames) * stream_step, rectified);
        // a row of zeros has no scale
        inputs[..depth].iter_mut().for_each(|x| *x *= (seed % 3) as f32);
        Case { weights, bias, inputs, rows }
    })
}

fn bits(sums: &[f32]) -> Vec<u32> {
    sums.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    // fewer where PROPTEST_CASES says so, as for an emulated processor
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(48)))]

    /// Sums of integers are exact, and what makes numbers of them is the same everywhere.
    #[test]
    fn integers_are_the_same_to_the_bit(case in case()) {
        for precision in Precision::OF_PROCESSORS.into_iter().filter(|precision| precision.is_integer()) {
            let found = case.everywhere(precision);
            let expected = bits(&found[0].1);
            for (name, sums) in &found {
                prop_assert!(bits(sums) == expected, "{} on {}", precision, name);
            }
        }
    }

    /// The sums of a row do not depend on how many rows there are, where they are of integers or made by tiles.
    #[test]
    fn rows_are_independent(case in case(), at in any::<prop::sample::Index>()) {
        let row = at.index(case.rows.count);
        let inputs = case.inputs(row).to_vec();
        let alone = Case { rows: RowLayout::plain(1, inputs.len()), inputs, ..case.clone() };
        for precision in Precision::OF_PROCESSORS {
            for ((name, among), (_, alone)) in case.everywhere(precision).iter().zip(alone.everywhere(precision)) {
                let among = &among[row * case.weights.cols..][..case.weights.cols];
                if precision.is_integer() || precision == Precision::Bf16 && name == "AMX" {
                    prop_assert!(bits(among) == bits(&alone), "{} on {}", precision, name);
                }
            }
        }
    }

    /// No sum is farther from that of exact numbers than rounding explains.
    #[test]
    fn sums_are_near_the_exact_ones(case in case()) {
        let exact = case.exact();
        for (precision, weight, input) in [
            (Precision::F32, 0.0, 0.0),
            (Precision::Bf16, 1.0 / 256.0, 1.0 / 32768.0),
            (Precision::Int8, 1.0 / 254.0, 1.0 / 32766.0),
            (Precision::W8a8, 1.0 / 254.0, 1.0 / 254.0),
            (Precision::Int7, 1.0 / 126.0, 1.0 / 126.0),
        ] {
            for (name, sums) in case.everywhere(precision) {
                for (at, (sum, exact)) in sums.iter().zip(&exact).enumerate() {
                    let (off, bound) = ((f64::from(*sum) - exact.sum).abs(), exact.bound(weight, input));
                    prop_assert!(off <= bound, "{} on {}: {} off by {}, {} allowed", precision, name, at, off, bound);
                }
            }
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "it says which paths the tests of this machine take")]
fn paths_of_this_machine() {
    let weights = Matrix { rows: 70, cols: 3, data: vec![0.5; 210] };
    let case = Case { weights, bias: vec![0.0; 3], inputs: vec![1.0; 70], rows: RowLayout::plain(1, 70) };
    for precision in Precision::OF_PROCESSORS {
        let found = case.everywhere(precision);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        eprintln!("products of {precision} are tested on {}", names.join(", "));
        assert!(found.iter().all(|(_, sums)| sums.iter().all(|sum| (sum - 35.0).abs() < 0.1)), "{found:?}");
    }
}
