//! Five convolutions on raw samples: the encoder of the CPC paper.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::Normalisation;
use super::config::STRIDES;
use crate::nn::{
    BatchState, BlockConv, BlockConvState, ChannelNorm, Geometry, StreamingModule, WeightSource,
};

/// Zeros that CPC_audio puts on both sides of each layer's input.
const FB_PADDING: [usize; 5] = [3, 2, 1, 1, 1];

/// Convolution, channel norm, rectifier; five times. Input `[batch, samples]` in [-1, 1], output
/// `[batch, samples / 160, d]`, every number ≥ 0.
#[derive(Debug, Clone)]
pub struct RawEncoder {
    layers: Vec<(BlockConv, Option<ChannelNorm>)>,
}

/// The last block of each layer.
#[derive(Debug, Clone)]
pub struct RawEncoderState {
    layers: Vec<BlockConvState>,
}

impl BatchState for RawEncoderState {
    fn tensors(&self) -> Vec<&Tensor> {
        self.layers.iter().flat_map(BatchState::tensors).collect()
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let layers = self.layers.iter().zip(tensors).map(|(layer, t)| layer.with_tensors(vec![t])).collect();
        Self { layers }
    }
}

/// `(name, c_in, c_out, stride)` of each layer.
fn plan(channels: [usize; 5]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let inputs = [1, channels[0], channels[1], channels[2], channels[3]];
    (0..5).map(move |i| (i, inputs[i], channels[i], STRIDES[i]))
}

fn rectified(norm: Option<&ChannelNorm>, xs: &Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(xs)?.relu(),
        None => xs.relu(),
    }
}

impl RawEncoder {
    /// Reads `encoder.conv{i}.*` and, where there are norms, `encoder.norm{i}.*` for i = 0..5.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(
        source: WeightSource<'_>,
        channels: [usize; 5],
        normalisation: Normalisation,
    ) -> Result<Self> {
        let layers = plan(channels)
            .map(|(i, c_in, c_out, stride)| {
                let conv = BlockConv::load(source, &format!("encoder.conv{i}"), c_in, c_out, stride)?;
                let norm = match normalisation {
                    Normalisation::Channel => {
                        Some(ChannelNorm::load(source, &format!("encoder.norm{i}"), c_out)?)
                    }
                    Normalisation::Folded => None,
                };
                Ok((conv, norm))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { layers })
    }

    /// Variables for a new encoder of these widths.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        channels: [usize; 5],
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let mut vars = Vec::new();
        for (i, c_in, c_out, stride) in plan(channels) {
            vars.extend(BlockConv::init(rng, &format!("encoder.conv{i}"), (c_in, c_out, stride), device)?);
            if normalisation == Normalisation::Channel {
                vars.extend(ChannelNorm::init(&format!("encoder.norm{i}"), c_out, device)?);
            }
        }
        Ok(vars)
    }

    /// The convolutions, each with the norm behind it where there is one.
    #[must_use]
    pub fn layers(&self) -> &[(BlockConv, Option<ChannelNorm>)] {
        &self.layers
    }

    /// A whole clip with the padding of CPC_audio on both sides of every layer.
    ///
    /// # Errors
    /// When the clip is too short for one frame.
    pub fn forward_fb_exact(&self, samples: &Tensor) -> Result<Tensor> {
        let mut xs = samples.unsqueeze(2)?;
        for ((conv, norm), padding) in self.layers.iter().zip(FB_PADDING) {
            let padded = xs.pad_with_zeros(1, padding, padding)?;
            xs = rectified(norm.as_ref(), &conv.valid(&padded)?)?;
        }
        Ok(xs)
    }
}

impl StreamingModule for RawEncoder {
    type State = RawEncoderState;

    fn geometry(&self) -> Geometry {
        let sample = Geometry { stride: 1, receptive_field: 1 };
        self.layers.iter().fold(sample, |geometry, (conv, _)| geometry.then(conv.geometry()))
    }

    fn zero_state(&self, batch: usize) -> Result<RawEncoderState> {
        let layers =
            self.layers.iter().map(|(conv, _)| conv.zero_state(batch)).collect::<Result<Vec<_>>>()?;
        Ok(RawEncoderState { layers })
    }

    fn step(&self, xs: &Tensor, state: &mut RawEncoderState) -> Result<Tensor> {
        let mut xs = xs.unsqueeze(2)?;
        for ((conv, norm), state) in self.layers.iter().zip(&mut state.layers) {
            xs = rectified(norm.as_ref(), &conv.step(&xs, state)?)?;
        }
        Ok(xs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use crate::units::HOP;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn encoder() -> RawEncoder {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let channels = [4, 6, 8, 8, 10];
        let vars = RawEncoder::init(&mut rng, channels, Normalisation::Channel, &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        RawEncoder::load(WeightSource::new(&tensors), channels, Normalisation::Channel).unwrap()
    }

    #[test]
    fn a_frame_covers_465_samples_every_160() {
        assert_eq!(encoder().geometry(), Geometry { stride: 160, receptive_field: 465 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn steps_equal_forward(seed: u64, pieces in cuttings()) {
            let xs = noise(seed, &[2, 12 * HOP]);
            prop_assert!(difference_of_pieces(&encoder(), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn sample_n_first_shows_in_frame_n_over_160(seed: u64, at in 0usize..1200) {
            assert_causal(&encoder(), &noise(seed, &[1, 8 * HOP]), at).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&encoder(), &noise(6, &[3, 8 * HOP])).unwrap();
    }

    #[test]
    fn the_padding_of_cpc_audio_shifts_by_8_samples() {
        // frame t of the original padding is causal frame t + 1 of the signal delayed by 8 samples
        let xs = noise(11, &[1, 20 * HOP]);
        let delayed = xs.narrow(1, 0, 20 * HOP - 8).unwrap().pad_with_zeros(1, 8, 0).unwrap();
        let fb = encoder().forward_fb_exact(&xs).unwrap();
        let causal = encoder().forward(&delayed).unwrap();
        let inner = fb.narrow(1, 4, 12).unwrap();
        let shifted = causal.narrow(1, 5, 12).unwrap();
        assert!(crate::nn::streaming_properties::largest_difference(&inner, &shifted).unwrap() < 1e-5);
    }
}
