//! Normalisation over the channels of one frame, as CPC_audio does it.

use candle_core::{D, Device, Result, Tensor, Var};

use super::WeightSource;

/// `y = (x - μ) / sqrt(v + 1e-5) · gain + bias` over the channels of each frame, with the *unbiased* variance
/// `v = Σ (x - μ)² / (C - 1)` (the default of `torch.var`, which CPC_audio's ChannelNorm uses).
///
/// It keeps no statistic over time, so it is causal and needs no state. Written from primitives, since the
/// fused layer norms of candle-nn have no backward pass.
#[derive(Debug, Clone)]
pub struct ChannelNorm {
    gain: Tensor,
    bias: Tensor,
    channels: usize,
}

impl ChannelNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;

    /// Reads `{name}.weight` and `{name}.bias`, `[channels]` each.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, name: &str, channels: usize) -> Result<Self> {
        let gain = source.get(&format!("{name}.weight"), &[channels])?;
        let bias = source.get(&format!("{name}.bias"), &[channels])?;
        Ok(Self { gain, bias, channels })
    }

    /// Variables for a new layer: gain 1, bias 0.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init(name: &str, channels: usize, device: &Device) -> Result<Vec<(String, Var)>> {
        let gain = Var::from_tensor(&Tensor::ones(channels, candle_core::DType::F32, device)?)?;
        let bias = Var::from_tensor(&Tensor::zeros(channels, candle_core::DType::F32, device)?)?;
        Ok(vec![(format!("{name}.weight"), gain), (format!("{name}.bias"), bias)])
    }

    /// Gain and bias, `[channels]` each.
    #[must_use]
    pub fn weights(&self) -> (&Tensor, &Tensor) {
        (&self.gain, &self.bias)
    }

    /// Normalises the last dimension of `xs`.
    ///
    /// # Errors
    /// When the last dimension is not `channels`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let centred = xs.broadcast_sub(&xs.mean_keepdim(D::Minus1)?)?;
        let scale = 1.0 / (self.channels as f64 - 1.0);
        let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? * scale)?;
        let deviation = (variance + Self::EPSILON)?.sqrt()?;
        centred.broadcast_div(&deviation)?.broadcast_mul(&self.gain)?.broadcast_add(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::streaming_properties::noise;

    #[test]
    fn mean_is_0_and_unbiased_variance_is_1() {
        let tensors = ["n.weight", "n.bias"].into_iter().zip([1.0f32, 0.0]);
        let tensors =
            tensors.map(|(n, v)| (n.to_owned(), Tensor::full(v, 16, &Device::Cpu).unwrap())).collect();
        let norm = ChannelNorm::load(WeightSource::new(&tensors), "n", 16).unwrap();
        for frame in norm.forward(&noise(4, &[5, 16])).unwrap().to_vec2::<f32>().unwrap() {
            assert!((frame.iter().sum::<f32>() / 16.0).abs() < 1e-5);
            assert!((frame.iter().map(|x| x * x).sum::<f32>() / 15.0 - 1.0).abs() < 1e-3);
        }
    }
}
