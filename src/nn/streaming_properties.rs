//! Property checks of streaming modules, shared by their tests.

use candle_core::{Result, Tensor};
use proptest::prelude::*;

use super::{BatchState, StreamingModule};

/// Outputs over pieces of the given lengths (in strides), concatenated, against the whole: the largest
/// difference. `xs` is `[batch, time, …]`.
pub(crate) fn difference_of_pieces<M: StreamingModule>(
    module: &M,
    xs: &Tensor,
    pieces: &[usize],
) -> Result<f32> {
    let stride = module.geometry().stride;
    let whole = module.forward(xs)?;
    let mut state = module.zero_state(xs.dim(0)?)?;
    let (mut outputs, mut at) = (Vec::new(), 0);
    for piece in pieces {
        let length = (piece * stride).min(xs.dim(1)? - at);
        if length > 0 {
            outputs.push(module.step(&xs.narrow(1, at, length)?, &mut state)?);
            at += length;
        }
    }
    if at < xs.dim(1)? {
        outputs.push(module.step(&xs.narrow(1, at, xs.dim(1)? - at)?, &mut state)?);
    }
    largest_difference(&whole, &Tensor::cat(&outputs, 1)?)
}

/// max |a - b|; infinite where a number is not finite.
pub(crate) fn largest_difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    let d = (a - b)?.abs()?.flatten_all()?.to_vec1::<f32>()?;
    Ok(d.into_iter().fold(0.0, |m, x| if x.is_finite() { m.max(x) } else { f32::INFINITY }))
}

/// Output frames before the one that input frame `at` can first touch are bit-equal when that input changes.
pub(crate) fn assert_causal<M: StreamingModule>(module: &M, xs: &Tensor, at: usize) -> Result<()> {
    let stride = module.geometry().stride;
    let before = module.forward(xs)?;
    let time = xs.dim(1)?;
    let louder = (xs.narrow(1, at, time - at)? + 0.5)?;
    let changed = if at == 0 { louder } else { Tensor::cat(&[&xs.narrow(1, 0, at)?, &louder], 1)? };
    let after = module.forward(&changed)?;
    let safe = at / stride;
    if safe > 0 {
        assert_eq!(largest_difference(&before.narrow(1, 0, safe)?, &after.narrow(1, 0, safe)?)?, 0.0);
    }
    assert!(largest_difference(&before, &after)? > 0.0, "the change at {at} was not heard at all");
    Ok(())
}

/// A stream gives the same outputs alone, among others, and after another one has joined or left.
pub(crate) fn assert_streams_independent<M: StreamingModule>(module: &M, xs: &Tensor) -> Result<()> {
    let batch = xs.dim(0)?;
    let together = module.forward(xs)?;
    for stream in 0..batch {
        let alone = module.forward(&xs.narrow(0, stream, 1)?)?;
        assert!(largest_difference(&alone, &together.narrow(0, stream, 1)?)? <= 1e-5);
    }
    let half = xs.dim(1)? / module.geometry().stride / 2 * module.geometry().stride;
    let mut state = module.zero_state(batch)?;
    module.step(&xs.narrow(1, 0, half)?, &mut state)?;
    let mut rest = state.leave(0)?;
    let later = module.step(&xs.narrow(0, 1, batch - 1)?.narrow(1, half, half)?, &mut rest)?;
    let frames = half / module.geometry().stride;
    let expected = together.narrow(0, 1, batch - 1)?.narrow(1, frames, frames)?;
    assert!(largest_difference(&later, &expected)? <= 1e-5);
    // a reset stream is a fresh one
    let mut reset = state.replace(&[1], &module.zero_state(1)?)?;
    let after = module.step(&xs.narrow(1, 0, half)?, &mut reset)?.narrow(0, 1, 1)?;
    assert!(largest_difference(&after, &together.narrow(0, 1, 1)?.narrow(1, 0, frames)?)? <= 1e-5);
    Ok(())
}

/// Lengths of pieces, in strides.
pub(crate) fn cuttings() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..6, 0..12)
}

/// Uniform noise in [-1, 1] from a seed.
pub(crate) fn noise(seed: u64, shape: &[usize]) -> Tensor {
    use rand::SeedableRng;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    super::uniform(&mut rng, shape, 1.0, &candle_core::Device::Cpu).unwrap().as_detached_tensor()
}
