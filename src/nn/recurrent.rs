//! Common parts of recurrent layers: their four tensors, the input product of a whole piece, its frames.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::{WeightSource, uniform};

/// Weights of a recurrent layer with `gates` gates in PyTorch's layout, transposed once.
#[derive(Debug, Clone)]
pub(super) struct RecurrentWeights {
    /// `[inputs, gates · h]`.
    w_input: Tensor,
    /// `[h, gates · h]`.
    w_hidden: Tensor,
    b_input: Tensor,
    b_hidden: Tensor,
    /// Width h.
    pub(super) hidden: usize,
    inputs: usize,
}

impl RecurrentWeights {
    pub(super) fn load(
        source: WeightSource<'_>,
        name: &str,
        gates: usize,
        (inputs, hidden): (usize, usize),
    ) -> Result<Self> {
        let weight = |part: &str, width: usize| {
            source.get(&format!("{name}.weight_{part}"), &[gates * hidden, width])?.t()?.contiguous()
        };
        let bias = |part: &str| source.get(&format!("{name}.bias_{part}"), &[gates * hidden]);
        Ok(Self {
            w_input: weight("ih", inputs)?,
            w_hidden: weight("hh", hidden)?,
            b_input: bias("ih")?,
            b_hidden: bias("hh")?,
            hidden,
            inputs,
        })
    }

    pub(super) fn init<R: Rng>(
        rng: &mut R,
        name: &str,
        gates: usize,
        (inputs, hidden): (usize, usize),
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let bound = 1.0 / (hidden as f32).sqrt();
        let rows = gates * hidden;
        Ok(vec![
            (format!("{name}.weight_ih"), uniform(rng, &[rows, inputs], bound, device)?),
            (format!("{name}.weight_hh"), uniform(rng, &[rows, hidden], bound, device)?),
            (format!("{name}.bias_ih"), uniform(rng, &[rows], bound, device)?),
            (format!("{name}.bias_hh"), uniform(rng, &[rows], bound, device)?),
        ])
    }

    /// Input weights, hidden weights, input bias, hidden bias.
    pub(super) fn parts(&self) -> [&Tensor; 4] {
        [&self.w_input, &self.w_hidden, &self.b_input, &self.b_hidden]
    }

    /// `W_i x + b_i` of every frame of a piece, `[batch, time, gates · h]`, as one product.
    pub(super) fn input_sums(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, time, width) = xs.dims3()?;
        if width != self.inputs || time == 0 {
            candle_core::bail!(
                "a piece of {time} frames of {width} channels; expected at least 1 of {}",
                self.inputs
            );
        }
        let flat = xs.contiguous()?.reshape((batch * time, width))?;
        flat.matmul(&self.w_input)?.broadcast_add(&self.b_input)?.reshape((batch, time, self.b_input.dim(0)?))
    }

    /// `W_h h + b_h`, `[batch, gates · h]`.
    pub(super) fn hidden_sums(&self, h: &Tensor) -> Result<Tensor> {
        h.matmul(&self.w_hidden)?.broadcast_add(&self.b_hidden)
    }

    /// A hidden vector of zeros for each stream.
    pub(super) fn zeros(&self, batch: usize) -> Result<Tensor> {
        Tensor::zeros((batch, self.hidden), self.w_hidden.dtype(), self.w_hidden.device())
    }
}

pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// The frames of `[batch, time, channels]`, `[batch, channels]` each.
///
/// Cut by halves: the gradient of a narrow is as large as what it was cut from, so cutting frame by frame would
/// cost time² in the backward pass.
pub(super) fn frames_of(xs: &Tensor) -> Result<Vec<Tensor>> {
    fn split(xs: &Tensor, frames: &mut Vec<Tensor>) -> Result<()> {
        let time = xs.dim(1)?;
        if time == 1 {
            frames.push(xs.squeeze(1)?);
            return Ok(());
        }
        let half = time / 2;
        split(&xs.narrow(1, 0, half)?, frames)?;
        split(&xs.narrow(1, half, time - half)?, frames)
    }
    let mut frames = Vec::with_capacity(xs.dim(1)?);
    split(xs, &mut frames)?;
    Ok(frames)
}
