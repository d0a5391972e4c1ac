//! `gEncoder.*`: five convolutions with their norms.

use candle_core::{DType, Tensor};

use super::ImportReport;
use super::settings::Settings;
use super::weights::Weights;
use crate::encode::{EncoderConfig, KERNELS, Normalisation};
use crate::error::{Error, Result};
use crate::nn::Tensors;

/// ε of torch.nn.BatchNorm1d.
const EPSILON: f64 = 1e-5;

/// The norms of CPC_audio that a stream can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norm {
    Channel,
    Batch,
    None,
}

impl Norm {
    fn name(self) -> &'static str {
        match self {
            Self::Channel => "layerNorm",
            Self::Batch => "batchNorm",
            Self::None => "ID",
        }
    }

    /// The norm that the tensors of layer 0 show.
    fn of(weights: &Weights) -> Result<Self> {
        let running = weights.shape("gEncoder.batchNorm0.running_mean").is_some();
        match weights.shape("gEncoder.batchNorm0.weight").map(<[usize]>::len) {
            None => Ok(Self::None),
            Some(3) => Ok(Self::Channel),
            Some(_) if running => Ok(Self::Batch),
            Some(_) => Err(Error::model(
                "instance norm (`gEncoder.batchNorm0` without running statistics), which needs those of a whole window",
                "give a model trained with normMode layerNorm or batchNorm",
            )),
        }
    }
}

/// Moves the encoder from `weights` to `tensors`.
pub(super) fn convert(
    weights: &mut Weights,
    settings: &Settings,
    tensors: &mut Tensors,
    report: &mut ImportReport,
) -> Result<EncoderConfig> {
    let norm = Norm::of(weights)?;
    settings.agree_text("normMode", norm.name(), report)?;
    let mut channels = [0; 5];
    let mut inputs = 1;
    for ((i, kernel), width) in KERNELS.into_iter().enumerate().zip(&mut channels) {
        let name = format!("gEncoder.conv{i}");
        let outputs = match weights.shape(&format!("{name}.weight")) {
            Some([outputs, ..]) => *outputs,
            _ => {
                return Err(Error::model(
                    format!("no tensor `{name}.weight`: the encoder is not that of encoder_type cpc"),
                    "give a checkpoint of CPC_audio with encoder_type cpc (five convolutions on raw samples)",
                ));
            }
        };
        let mut weight = weights.take(&format!("{name}.weight"), &[outputs, inputs, kernel])?;
        let mut bias = weights.take(&format!("{name}.bias"), &[outputs])?;
        match norm {
            Norm::Channel => {
                for part in ["weight", "bias"] {
                    let values = weights.take(&format!("gEncoder.batchNorm{i}.{part}"), &[1, outputs, 1])?;
                    tensors.insert(format!("encoder.norm{i}.{part}"), values.flatten_all()?);
                }
            }
            Norm::Batch => {
                (weight, bias) = fold(weights, &format!("gEncoder.batchNorm{i}"), &weight, &bias)?;
            }
            Norm::None => {}
        }
        tensors.insert(format!("encoder.conv{i}.weight"), weight);
        tensors.insert(format!("encoder.conv{i}.bias"), bias);
        *width = outputs;
        inputs = outputs;
    }
    settings.agree_int("hiddenEncoder", inputs, report)?;
    let counters = weights.skip(|name| name.ends_with(".num_batches_tracked"));
    if counters > 0 {
        report.skipped.push(format!("{counters} counters num_batches_tracked"));
    }
    if norm == Norm::Batch {
        report.folded.push("5 batch norms into their convolutions".to_owned());
    }
    let normalisation = if norm == Norm::Channel { Normalisation::Channel } else { Normalisation::Folded };
    Ok(EncoderConfig::Raw { channels, normalisation })
}

/// A convolution that does what it and the batch norm behind it do together.
fn fold(weights: &mut Weights, name: &str, weight: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
    let width = bias.dim(0)?;
    let mut of = |part: &str| -> Result<Tensor> {
        Ok(weights.take(&format!("{name}.{part}"), &[width])?.to_dtype(DType::F64)?)
    };
    let (gain, shift, mean, variance) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
    let factor = gain.div(&(variance + EPSILON)?.sqrt()?)?;
    let weight = weight.to_dtype(DType::F64)?.broadcast_mul(&factor.reshape((width, 1, 1))?)?;
    let bias = ((bias.to_dtype(DType::F64)? - mean)? * &factor)?.add(&shift)?;
    Ok((weight.to_dtype(DType::F32)?, bias.to_dtype(DType::F32)?))
}
