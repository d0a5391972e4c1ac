//! Functions of many numbers, written so that compilers make vectors of them.

use super::simd::{Kernel, Simd};
use crate::kernels::Norm;

/// Numbers that are summed side by side.
const SIDE: usize = 32;

/// Added to the variance of a norm.
const EPSILON: f32 = 1e-5;

/// `e^x` to 2e-7 of itself; below −87 and above 88 it stays what it is there.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // added to a small number it leaves the nearest integer in the lowest bits
    const ROUNDING: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let n = shifted - ROUNDING;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // the polynomial of Cephes' expf
    let p = [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]
        .into_iter()
        .fold(1.987_569_1e-4, |p, c| p * r + c);
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (p * r * r + r + 1.0) * scale
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// Sums `f` of all pairs, [`SIDE`] at a time.
#[inline(always)]
fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
    let mut sums = [0.0; SIDE];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f(*a, *b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum();
    rest + sums.iter().sum::<f32>()
}

/// `ln Σ e^x`.
#[inline(always)]
fn log_sum_exp(xs: &[f32]) -> f32 {
    let (chunks, rest) = xs.as_chunks::<SIDE>();
    let mut most = [f32::NEG_INFINITY; SIDE];
    for chunk in chunks {
        for (most, x) in most.iter_mut().zip(chunk) {
            *most = if *x > *most { *x } else { *most };
        }
    }
    let most = most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    most + sum_of(xs, xs, |x, _| exp(x - most)).ln()
}

/// max(x, 0); NaN stays NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// A frame of a convolution to `relu(norm(frame))`, or to `relu(frame)`.
pub(super) struct NormRelu<'a> {
    pub(super) norm: Option<&'a Norm>,
    pub(super) frame: &'a [f32],
    pub(super) into: &'a mut [f32],
}

impl Kernel for NormRelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { norm, frame, into } = self;
        let Some(norm) = norm else {
            for (y, x) in into.iter_mut().zip(frame) {
                *y = relu(*x);
            }
            return;
        };
        let channels = frame.len() as f32;
        let mean = sum_of(frame, frame, |x, _| x) / channels;
        let squares = sum_of(frame, frame, |x, _| (x - mean) * (x - mean));
        let scale = 1.0 / (squares / (channels - 1.0) + EPSILON).sqrt();
        for (((y, x), gain), bias) in into.iter_mut().zip(frame).zip(&norm.gain).zip(&norm.bias) {
            *y = relu((x - mean) * scale * gain + bias);
        }
    }
}

/// The inner product of prediction and truth, and `ln Σ e^x` of the logits.
pub(super) struct ScoreTerms<'a> {
    pub(super) prediction: &'a [f32],
    pub(super) truth: &'a [f32],
    pub(super) logits: &'a [f32],
}

impl Kernel for ScoreTerms<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, f32) {
        let prediction = &self.prediction[..self.truth.len()];
        (sum_of(prediction, self.truth, |a, b| a * b), log_sum_exp(self.logits))
    }
}

/// The new h of a gated recurrent unit from its two products, gates in the order r, z, n.
pub(super) struct GruGates<'a> {
    pub(super) from_input: &'a [f32],
    pub(super) from_hidden: &'a [f32],
    pub(super) hidden: &'a mut [f32],
}

impl Kernel for GruGates<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let h = self.hidden.len();
        let ([input_r, input_q, input_n], [hidden_r, hidden_q, hidden_n]) = (
            [0, 1, 2].map(|i| &self.from_input[i * h..][..h]),
            [0, 1, 2].map(|i| &self.from_hidden[i * h..][..h]),
        );
        let inputs = input_r.iter().zip(input_q).zip(input_n);
        let hiddens = hidden_r.iter().zip(hidden_q).zip(hidden_n);
        for ((h, ((ir, iq), i)), ((hr, hq), n)) in self.hidden.iter_mut().zip(inputs).zip(hiddens) {
            let (reset, update) = (sigmoid(ir + hr), sigmoid(iq + hq));
            let new = tanh(i + reset * n);
            *h = new + update * (*h - new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn functions_match_their_formulas(x in -80f32..80.0) {
            let wide = f64::from(x);
            prop_assert!((f64::from(exp(x)) / wide.exp() - 1.0).abs() < 3e-7);
            prop_assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 3e-7);
            prop_assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 3e-7);
        }

        #[test]
        fn log_sum_exp_is_the_formula(xs in proptest::collection::vec(-50f32..50.0, 1..70)) {
            let wide = xs.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
            prop_assert!((f64::from(log_sum_exp(&xs)) - wide).abs() < 1e-5);
        }
    }

    #[test]
    fn nan_stays_nan() {
        assert!(exp(f32::NAN).is_nan() && relu(f32::NAN).is_nan());
        assert!(log_sum_exp(&[0.0, f32::NAN, 1.0]).is_nan());
        assert!(exp(-1e30) < 1e-37 && exp(1e30).is_finite());
    }
}
