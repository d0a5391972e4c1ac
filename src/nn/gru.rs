//! The gated recurrent unit in PyTorch's form and gate order.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::recurrent::{RecurrentWeights, frames_of, sigmoid};
use super::{BatchState, Geometry, StreamingModule, WeightSource};

/// One GRU layer over `[batch, time, inputs]`:
///
/// ```text
/// r = σ(W_ir z + b_ir + W_hr h + b_hr)      q = σ(W_iz z + b_iz + W_hz h + b_hz)
/// n = tanh(W_in z + b_in + r ⊙ (W_hn h + b_hn))      h' = (1 - q) ⊙ n + q ⊙ h
/// ```
///
/// Rows of the weights come in the order r, z, n (`torch.nn.GRU`). The input product is one matrix product
/// for the whole piece.
#[derive(Debug, Clone)]
pub struct Gru {
    weights: RecurrentWeights,
}

/// The hidden vector of each stream, `[batch, h]`, each number within (-1, 1).
#[derive(Debug, Clone)]
pub struct GruState {
    h: Tensor,
}

impl BatchState for GruState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.h]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        Self { h: tensors.into_iter().next().unwrap_or_else(|| self.h.clone()) }
    }
}

impl Gru {
    /// Reads `{name}.weight_ih` `[3 h, inputs]`, `{name}.weight_hh` `[3 h, h]`, `{name}.bias_ih` and
    /// `{name}.bias_hh` `[3 h]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, name: &str, inputs: usize, hidden: usize) -> Result<Self> {
        Ok(Self { weights: RecurrentWeights::load(source, name, 3, (inputs, hidden))? })
    }

    /// Variables for a new layer, uniform in ±1/√h as `torch.nn.GRU` starts.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        name: &str,
        shape: (usize, usize),
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        RecurrentWeights::init(rng, name, 3, shape, device)
    }

    /// Input weights `[inputs, 3 h]` and hidden weights `[h, 3 h]`, then the bias of each, `[3 h]`.
    #[must_use]
    pub fn weights(&self) -> [&Tensor; 4] {
        self.weights.parts()
    }

    fn cell(&self, from_input: &Tensor, h: &Tensor) -> Result<Tensor> {
        let n = self.weights.hidden;
        let from_hidden = self.weights.hidden_sums(h)?;
        let gates = sigmoid(&(from_input.narrow(1, 0, 2 * n)? + from_hidden.narrow(1, 0, 2 * n)?)?)?;
        let (reset, update) = (gates.narrow(1, 0, n)?, gates.narrow(1, n, n)?);
        let new = (from_input.narrow(1, 2 * n, n)? + (reset * from_hidden.narrow(1, 2 * n, n)?)?)?.tanh()?;
        // h' = n + q ⊙ (h - n): the same as (1 - q) ⊙ n + q ⊙ h with one product less
        &new + (update * (h - &new)?)?
    }
}

impl StreamingModule for Gru {
    type State = GruState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: 1, receptive_field: usize::MAX }
    }

    fn zero_state(&self, batch: usize) -> Result<GruState> {
        Ok(GruState { h: self.weights.zeros(batch)? })
    }

    fn step(&self, xs: &Tensor, state: &mut GruState) -> Result<Tensor> {
        let frames = frames_of(&self.weights.input_sums(xs)?)?;
        let mut outputs = Vec::with_capacity(frames.len());
        for frame in &frames {
            state.h = self.cell(frame, &state.h)?;
            outputs.push(state.h.clone());
        }
        Tensor::stack(&outputs, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn layer() -> Gru {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        let vars = Gru::init(&mut rng, "g", (5, 6), &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        Gru::load(WeightSource::new(&tensors), "g", 5, 6).unwrap()
    }

    proptest! {
        #[test]
        fn steps_equal_forward(seed: u64, pieces in cuttings()) {
            prop_assert!(difference_of_pieces(&layer(), &noise(seed, &[2, 20, 5]), &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_frames_change_no_earlier_context(seed: u64, at in 0usize..20) {
            assert_causal(&layer(), &noise(seed, &[1, 20, 5]), at).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&layer(), &noise(2, &[4, 10, 5])).unwrap();
    }

    #[test]
    fn one_step_by_hand() {
        // h = 1 input, 1 unit, all weights 1, biases 0, x = 1, h = 0: r = q = σ(1), n = tanh(1), h' = (1-q) n
        let named = [("weight_ih", vec![3usize, 1], 1.0f32), ("weight_hh", vec![3, 1], 1.0)];
        let biases = [("bias_ih", vec![3usize], 0.0f32), ("bias_hh", vec![3], 0.0)];
        let tensors: Tensors = named
            .into_iter()
            .chain(biases)
            .map(|(n, shape, v)| (format!("g.{n}"), Tensor::full(v, shape, &Device::Cpu).unwrap()))
            .collect();
        let gru = Gru::load(WeightSource::new(&tensors), "g", 1, 1).unwrap();
        let out =
            gru.forward(&Tensor::ones((1, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let q = 1.0 / (1.0 + (-1.0f32).exp());
        let expected = (1.0 - q) * 1.0f32.tanh();
        assert!((out.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0] - expected).abs() < 1e-6);
    }
}
