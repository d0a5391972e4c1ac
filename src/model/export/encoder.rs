//! g_enc: `samples`, `[batch, samples]`, to `z`, `[batch, frames, d]`.

use super::graph::Export;
use crate::encode::{EncoderConfig, KERNELS, Normalisation, STRIDES};
use crate::error::Result;
use crate::nn::{ChannelNorm, LogMel, WINDOW_SAMPLES};
use crate::onnx_file::Attribute;
use crate::units::HOP;
use candle_core::{D, Device, Tensor};

/// A convolution: its place, channels in and out, kernel and stride.
type Layer = (usize, usize, usize, (usize, usize));

impl Export<'_> {
    pub(super) fn encoder(&mut self, config: &EncoderConfig) -> Result<()> {
        let axes = self.graph.ints(&[1]);
        self.graph.node("Unsqueeze", &["samples", &axes], &["sound"], &[]);
        match config {
            EncoderConfig::Raw { channels, normalisation } => {
                let inputs = [1, channels[0], channels[1], channels[2], channels[3]];
                let layers = (0..5).map(|i| (i, inputs[i], channels[i], (KERNELS[i], STRIDES[i])));
                self.layers("sound", &layers.collect::<Vec<_>>(), *normalisation)
            }
            EncoderConfig::Spectral { bands, channels, site_seconds, statistics } => {
                self.log_mel(*bands)?;
                self.site("bands", *site_seconds, statistics)?;
                let inputs = std::iter::once(bands).chain(channels);
                let layers = channels.iter().zip(inputs).enumerate();
                let layers = layers.map(|(i, (&to, &from))| (i, from, to, (2, 1)));
                self.layers("bands.normalised", &layers.collect::<Vec<_>>(), Normalisation::Channel)
            }
        }
    }

    /// `bands`, `[batch, bands, frames]`: the Fourier transform as a convolution with windowed cosines and sines, squares, and the sums of
    /// squares in triangles.
    fn log_mel(&mut self, bands: usize) -> Result<()> {
        let bank = LogMel::new(bands, &Device::Cpu)?;
        let (fourier, mel) = bank.weights();
        let silent = fourier.dim(0)? - WINDOW_SAMPLES;
        let fourier = fourier.narrow(0, silent, WINDOW_SAMPLES)?.t()?;
        let waves = fourier.dim(0)?;
        self.graph.floats("fourier", &[waves, 1, WINDOW_SAMPLES], &numbers(&fourier)?);
        let triangles = Tensor::cat(&[mel, mel], 0)?.t()?;
        self.graph.floats("triangles", &[bands, waves, 1], &numbers(&triangles)?);
        self.graph.floats("floor", &[bands], &vec![LogMel::FLOOR as f32; bands]);
        self.convolution(("sound", "spectrum"), &["fourier"], 1, (WINDOW_SAMPLES, HOP));
        self.graph.node("Mul", &["spectrum", "spectrum"], &["squares"], &[]);
        let kernel = [("kernel_shape", Attribute::Ints(&[1]))];
        self.graph.node("Conv", &["squares", "triangles", "floor"], &["power"], &kernel);
        self.graph.node("Log", &["power"], &["bands"], &[]);
        Ok(())
    }

    /// Convolution, norm and rectifier; the last gives `z`.
    fn layers(&mut self, from: &str, layers: &[Layer], normalisation: Normalisation) -> Result<()> {
        let mut input = from.to_owned();
        for &(i, c_in, c_out, (kernel, stride)) in layers {
            let (conv, norm) = (format!("encoder.conv{i}"), format!("encoder.norm{i}"));
            let [weight, bias] = ["weight", "bias"].map(|part| format!("{conv}.{part}"));
            self.weights(&weight, &[c_out, c_in, kernel])?;
            self.weights(&bias, &[c_out])?;
            self.convolution((&input, &conv), &[&weight, &bias], c_in, (kernel, stride));
            let mut frames = format!("{conv}.frames");
            self.transpose(&conv, &frames, &[0, 2, 1]);
            if normalisation == Normalisation::Channel {
                self.norm(&frames, &norm, c_out)?;
                frames = norm;
            }
            let last = i + 1 == layers.len();
            let relu = if last { "z".to_owned() } else { format!("encoder.relu{i}") };
            self.graph.node("Relu", &[&frames], &[&relu], &[]);
            if !last {
                input = format!("encoder.out{i}");
                self.transpose(&relu, &input, &[0, 2, 1]);
            }
        }
        Ok(())
    }

    /// The norm over the channels of a frame. That of ONNX divides by the biased deviation: both numerator and denominator are multiplied by
    /// sqrt((C - 1) / C).
    fn norm(&mut self, from: &str, name: &str, channels: usize) -> Result<()> {
        let biased = (channels as f64 - 1.0) / channels as f64;
        let [gain, bias] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        let values = (self.source.get(&gain, &[channels])? * biased.sqrt())?;
        self.graph.floats(&gain, &[channels], &numbers(&values)?);
        self.weights(&bias, &[channels])?;
        let with = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float((ChannelNorm::EPSILON * biased) as f32)),
        ];
        self.graph.node("LayerNormalization", &[from, &gain, &bias], &[name], &with);
        Ok(())
    }
}

/// All numbers of a tensor, in order.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.contiguous()?.flatten_to(D::Minus1)?.to_vec1()?)
}
