//! The long short-term memory in PyTorch's form and gate order.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::recurrent::{RecurrentWeights, frames_of, sigmoid};
use super::{BatchState, Geometry, StreamingModule, WeightSource};

/// One LSTM layer over `[batch, time, inputs]`:
///
/// ```text
/// i = σ(W_ii z + W_hi h + b_i)   f = σ(W_if z + W_hf h + b_f)   g = tanh(W_ig z + W_hg h + b_g)
/// o = σ(W_io z + W_ho h + b_o)   m' = f ⊙ m + i ⊙ g             h' = o ⊙ tanh(m')
/// ```
///
/// Rows of the weights come in the order i, f, g, o (`torch.nn.LSTM`); both biases of PyTorch are kept. The
/// input product is one matrix product for the whole piece.
#[derive(Debug, Clone)]
pub struct Lstm {
    weights: RecurrentWeights,
}

/// The hidden vector and the cell of each stream, `[batch, h]` each; hidden numbers lie within (-1, 1).
#[derive(Debug, Clone)]
pub struct LstmState {
    h: Tensor,
    cell: Tensor,
}

impl BatchState for LstmState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.h, &self.cell]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        match (tensors.next(), tensors.next()) {
            (Some(h), Some(cell)) => Self { h, cell },
            _ => self.clone(),
        }
    }
}

impl Lstm {
    /// Reads `{name}.weight_ih` `[4 h, inputs]`, `{name}.weight_hh` `[4 h, h]`, `{name}.bias_ih` and
    /// `{name}.bias_hh` `[4 h]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, name: &str, inputs: usize, hidden: usize) -> Result<Self> {
        Ok(Self { weights: RecurrentWeights::load(source, name, 4, (inputs, hidden))? })
    }

    /// Variables for a new layer, uniform in ±1/√h as `torch.nn.LSTM` starts.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        name: &str,
        shape: (usize, usize),
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        RecurrentWeights::init(rng, name, 4, shape, device)
    }

    fn cell(&self, from_input: &Tensor, state: &LstmState) -> Result<LstmState> {
        let n = self.weights.hidden;
        let sums = (from_input + self.weights.hidden_sums(&state.h)?)?;
        let admit = sigmoid(&sums.narrow(1, 0, 2 * n)?)?;
        let (input, forget) = (admit.narrow(1, 0, n)?, admit.narrow(1, n, n)?);
        let new = sums.narrow(1, 2 * n, n)?.tanh()?;
        let output = sigmoid(&sums.narrow(1, 3 * n, n)?)?;
        let cell = ((forget * &state.cell)? + (input * new)?)?;
        let h = (output * cell.tanh()?)?;
        Ok(LstmState { h, cell })
    }
}

impl StreamingModule for Lstm {
    type State = LstmState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: 1, receptive_field: usize::MAX }
    }

    fn zero_state(&self, batch: usize) -> Result<LstmState> {
        let zeros = self.weights.zeros(batch)?;
        Ok(LstmState { h: zeros.clone(), cell: zeros })
    }

    fn step(&self, xs: &Tensor, state: &mut LstmState) -> Result<Tensor> {
        let frames = frames_of(&self.weights.input_sums(xs)?)?;
        let mut outputs = Vec::with_capacity(frames.len());
        for frame in &frames {
            *state = self.cell(frame, state)?;
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

    fn layer() -> Lstm {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        let vars = Lstm::init(&mut rng, "l", (5, 6), &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        Lstm::load(WeightSource::new(&tensors), "l", 5, 6).unwrap()
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
        // 1 input, 1 unit, all weights 1, biases 0, x = 1, h = m = 0: m' = σ(1)·tanh(1), h' = σ(1)·tanh(m')
        let tensors: Tensors = [("weight_ih", vec![4usize, 1], 1.0f32), ("weight_hh", vec![4, 1], 1.0)]
            .into_iter()
            .chain([("bias_ih", vec![4usize], 0.0f32), ("bias_hh", vec![4], 0.0)])
            .map(|(n, shape, v)| (format!("l.{n}"), Tensor::full(v, shape, &Device::Cpu).unwrap()))
            .collect();
        let lstm = Lstm::load(WeightSource::new(&tensors), "l", 1, 1).unwrap();
        let one = Tensor::ones((1, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let found = lstm.forward(&one).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        let gate = 1.0 / (1.0 + (-1.0f32).exp());
        assert!((found - gate * (gate * 1.0f32.tanh()).tanh()).abs() < 1e-6);
    }
}
