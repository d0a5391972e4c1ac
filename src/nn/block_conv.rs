//! A causal strided convolution whose kernel is twice its stride, as two matrix products on blocks.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::{BatchState, Geometry, StreamingModule, WeightSource, he_uniform, uniform};

/// A convolution with kernel `2 s` and stride `s` over `[batch, time, c_in]`.
///
/// With the input cut into blocks `B_n` of `s` frames (flattened to `s · c_in` numbers), every output frame
/// is `y_n = B_{n-1} · W_past + B_n · W_now + b`: no im2col, and the state is one block a stream.
#[derive(Debug, Clone)]
pub struct BlockConv {
    /// `[s · c_in, c_out]`.
    past: Tensor,
    /// `[s · c_in, c_out]`.
    now: Tensor,
    /// `[c_out]`.
    bias: Tensor,
    stride: usize,
    c_in: usize,
    c_out: usize,
}

/// The last block of each stream, `[batch, s · c_in]`.
#[derive(Debug, Clone)]
pub struct BlockConvState {
    past_block: Tensor,
}

impl BatchState for BlockConvState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.past_block]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let past_block = tensors.into_iter().next().unwrap_or_else(|| self.past_block.clone());
        Self { past_block }
    }
}

impl BlockConv {
    /// Packs `{name}.weight` `[c_out, c_in, 2 s]` (PyTorch's order) and `{name}.bias` `[c_out]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(
        source: WeightSource<'_>,
        name: &str,
        c_in: usize,
        c_out: usize,
        stride: usize,
    ) -> Result<Self> {
        let weight = source.get(&format!("{name}.weight"), &[c_out, c_in, 2 * stride])?;
        let bias = source.get(&format!("{name}.bias"), &[c_out])?;
        let half = |from: usize| -> Result<Tensor> {
            weight.narrow(2, from, stride)?.permute((2, 1, 0))?.contiguous()?.reshape((stride * c_in, c_out))
        };
        Ok(Self { past: half(0)?, now: half(stride)?, bias, stride, c_in, c_out })
    }

    /// Variables for a new layer of this shape, by the names that [`load`](Self::load) reads.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        name: &str,
        (c_in, c_out, stride): (usize, usize, usize),
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let fan_in = c_in * 2 * stride;
        Ok(vec![
            (format!("{name}.weight"), he_uniform(rng, &[c_out, c_in, 2 * stride], fan_in, device)?),
            (format!("{name}.bias"), uniform(rng, &[c_out], 1.0 / (fan_in as f32).sqrt(), device)?),
        ])
    }

    /// Device of the weights.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.now.device()
    }

    /// Input frames an output frame.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `W_past` and `W_now`, `[s · c_in, c_out]` each, and `b`, `[c_out]`.
    #[must_use]
    pub fn weights(&self) -> (&Tensor, &Tensor, &Tensor) {
        (&self.past, &self.now, &self.bias)
    }

    /// The convolution without any frames before or after `xs`: `⌊(time - 2 s) / s⌋ + 1` outputs.
    ///
    /// # Errors
    /// When the input is shorter than the kernel.
    pub fn valid(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, time, _) = xs.dims3()?;
        let count = time / self.stride;
        if count < 2 {
            candle_core::bail!("{time} input frames are fewer than the kernel of {}", 2 * self.stride);
        }
        let blocks = xs.narrow(1, 0, count * self.stride)?.contiguous()?;
        let blocks = blocks.reshape((batch, count, self.stride * self.c_in))?;
        self.products(&blocks.narrow(1, 0, count - 1)?, &blocks.narrow(1, 1, count - 1)?)
    }

    fn products(&self, before: &Tensor, blocks: &Tensor) -> Result<Tensor> {
        let (batch, count, width) = blocks.dims3()?;
        let flat = |t: &Tensor| t.contiguous()?.reshape((batch * count, width));
        let y = (flat(before)?.matmul(&self.past)? + flat(blocks)?.matmul(&self.now)?)?;
        y.broadcast_add(&self.bias)?.reshape((batch, count, self.c_out))
    }
}

impl StreamingModule for BlockConv {
    type State = BlockConvState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: self.stride, receptive_field: 2 * self.stride }
    }

    fn zero_state(&self, batch: usize) -> Result<BlockConvState> {
        let shape = (batch, self.stride * self.c_in);
        Ok(BlockConvState { past_block: Tensor::zeros(shape, self.now.dtype(), self.now.device())? })
    }

    fn step(&self, xs: &Tensor, state: &mut BlockConvState) -> Result<Tensor> {
        let (batch, time, channels) = xs.dims3()?;
        if channels != self.c_in || time == 0 || time % self.stride != 0 {
            candle_core::bail!(
                "a piece of {time} frames of {channels} channels; expected a multiple of {} frames of {}",
                self.stride,
                self.c_in
            );
        }
        let count = time / self.stride;
        let blocks = xs.contiguous()?.reshape((batch, count, self.stride * self.c_in))?;
        let first = state.past_block.unsqueeze(1)?;
        let before =
            if count == 1 { first } else { Tensor::cat(&[&first, &blocks.narrow(1, 0, count - 1)?], 1)? };
        let y = self.products(&before, &blocks)?;
        state.past_block = blocks.narrow(1, count - 1, 1)?.squeeze(1)?.contiguous()?;
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, largest_difference, noise,
    };
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn layer(stride: usize) -> (BlockConv, Tensors) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let vars = BlockConv::init(&mut rng, "c", (3, 7, stride), &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        (BlockConv::load(WeightSource::new(&tensors), "c", 3, 7, stride).unwrap(), tensors)
    }

    proptest! {
        #[test]
        fn steps_equal_forward(seed: u64, stride in 1usize..6, pieces in cuttings()) {
            let xs = noise(seed, &[2, 24 * stride, 3]);
            prop_assert!(difference_of_pieces(&layer(stride).0, &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_samples_change_no_earlier_frame(seed: u64, stride in 1usize..6, at in 0usize..24) {
            assert_causal(&layer(stride).0, &noise(seed, &[1, 24 * stride, 3]), at * stride).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&layer(4).0, &noise(5, &[3, 32, 3])).unwrap();
    }

    #[test]
    fn it_is_the_convolution() {
        let (conv, tensors) = layer(4);
        let xs = noise(8, &[2, 40, 3]);
        let padded = xs.transpose(1, 2).unwrap().pad_with_zeros(2, 4, 0).unwrap();
        let reference = padded.conv1d(&tensors["c.weight"], 0, 4, 1, 1).unwrap();
        let reference = reference.broadcast_add(&tensors["c.bias"].reshape((1, 7, 1)).unwrap()).unwrap();
        let found = conv.forward(&xs).unwrap();
        assert!(largest_difference(&found, &reference.transpose(1, 2).unwrap()).unwrap() < 1e-5);
        let valid = conv.valid(&xs).unwrap();
        assert!(largest_difference(&valid, &found.narrow(1, 1, 9).unwrap()).unwrap() < 1e-6);
    }

    #[test]
    fn a_piece_that_is_no_multiple_of_the_stride_is_refused() {
        let error = layer(4).0.forward(&noise(1, &[1, 6, 3])).unwrap_err();
        assert!(error.to_string().contains("multiple of 4"));
    }
}
