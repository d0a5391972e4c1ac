//! The network.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use rand::Rng;

use super::CriticConfig;
use crate::kernels::{CriticPlan, Matrix, Recurrence};
use crate::nn::{BatchState, Geometry, Gru, GruState, StreamingModule, WeightSource, he_uniform, uniform};
use crate::units::BANDS;

/// `[batch, rows, inputs]` to logits `[batch, rows, 1]`, causal; a row is the planes of 64 bands, then the distances.
///
/// One layer is shared by all pairs of bands (a pair and the pairs beside it), one by all fours of bands (this row and the
/// row 0.1 s before, a four and the fours beside it), both rectified; the mean and the maximum over bands and the distances
/// go into a GRU, and its state to the output. What a foreign sound looks like does not depend much on its pitch: hence
/// weights are shared over bands.
#[derive(Debug, Clone)]
pub struct Critic {
    config: CriticConfig,
    first: Affine,
    second: Affine,
    memory: Gru,
    last: Affine,
    usual: Vec<f32>,
}

/// Name of the tensor with the reference maxima: the largest output of each second without foreign sound.
pub const USUAL: &str = "critic.usual";

#[derive(Debug, Clone)]
struct Affine {
    /// `[inputs, outputs]`.
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn load(source: WeightSource<'_>, name: &str, (inputs, outputs): (usize, usize)) -> Result<Self> {
        Ok(Self {
            weight: source.get(&format!("{name}.weight"), &[inputs, outputs])?,
            bias: source.get(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn init<R: Rng>(
        rng: &mut R,
        name: &str,
        (inputs, outputs): (usize, usize),
        device: &Device,
    ) -> Result<[(String, Var); 2]> {
        Ok([
            (format!("{name}.weight"), he_uniform(rng, &[inputs, outputs], inputs, device)?),
            (format!("{name}.bias"), uniform(rng, &[outputs], 1.0 / (inputs as f32).sqrt(), device)?),
        ])
    }

    fn plain(&self) -> Result<(Matrix, Vec<f32>)> {
        Ok((plain(&self.weight)?, self.bias.to_vec1()?))
    }

    /// Over the last dimension.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let dims = xs.dims();
        let width = dims.last().copied().unwrap_or(0);
        let flat = xs.contiguous()?.reshape(((), width))?;
        let mut shape = dims.to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.bias.dim(0)?;
        }
        flat.matmul(&self.weight)?.broadcast_add(&self.bias)?.reshape(shape)
    }
}

/// The last two rows of the first layer, `[batch, 2, 32 · narrow]`, and the state of the GRU.
#[derive(Debug, Clone)]
pub struct CriticState {
    first: Tensor,
    memory: GruState,
}

impl BatchState for CriticState {
    fn tensors(&self) -> Vec<&Tensor> {
        let mut all = vec![&self.first];
        all.extend(self.memory.tensors());
        all
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        let first = tensors.next().unwrap_or_else(|| self.first.clone());
        Self { first, memory: self.memory.with_tensors(tensors.collect()) }
    }
}

const PAIRS: usize = BANDS / 2;
const FOURS: usize = BANDS / 4;

/// Rows between the two that the second layer looks at: 0.1 s.
const APART: usize = 2;

/// `(name, inputs, outputs)` of the feed-forward layers.
fn plan(config: &CriticConfig) -> [(&'static str, (usize, usize)); 3] {
    let CriticConfig { narrow, wide, hidden, .. } = *config;
    [
        ("critic.first", (3 * 2 * config.planes(), narrow)),
        ("critic.second", (2 * 3 * 2 * narrow, wide)),
        ("critic.last", (hidden, 1)),
    ]
}

/// Inputs of the GRU: mean and maximum over bands, distances.
fn pooled_width(config: &CriticConfig) -> usize {
    2 * config.wide + config.distances()
}

impl Critic {
    /// Reads `critic.{first,second,last}.{weight,bias}`, the GRU `critic.memory` and, if it is there, [`USUAL`].
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, config: &CriticConfig) -> Result<Self> {
        let [first, second, last] = plan(config).map(|(name, shape)| Affine::load(source, name, shape));
        let memory = Gru::load(source, "critic.memory", pooled_width(config), config.hidden)?;
        let usual = source.find(USUAL).map(|t| t.flatten_all()?.to_vec1::<f32>()).transpose()?;
        let usual = usual.unwrap_or_default();
        Ok(Self { config: config.clone(), first: first?, second: second?, memory, last: last?, usual })
    }

    /// Variables for a new critic, by the names that [`load`](Self::load) reads.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(rng: &mut R, config: &CriticConfig, device: &Device) -> Result<Vec<(String, Var)>> {
        let mut vars = Vec::new();
        for (name, shape) in plan(config) {
            vars.extend(Affine::init(rng, name, shape, device)?);
        }
        vars.extend(Gru::init(rng, "critic.memory", (pooled_width(config), config.hidden), device)?);
        Ok(vars)
    }

    /// Reference maxima: the largest output of each held-out second of many sites without foreign sound; empty for a
    /// critic without them.
    #[must_use]
    pub fn usual(&self) -> &[f32] {
        &self.usual
    }

    /// Where its weights live.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.first.bias.device()
    }

    /// Its weights as kernels read them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn plan(&self) -> Result<CriticPlan> {
        let (first, first_bias) = self.first.plain()?;
        let (second, second_bias) = self.second.plain()?;
        let (last, last_bias) = self.last.plain()?;
        let [input, hidden, input_bias, hidden_bias] = self.memory.weights();
        let memory = Recurrence {
            input: plain(input)?,
            hidden: plain(hidden)?,
            input_bias: input_bias.to_vec1()?,
            hidden_bias: hidden_bias.to_vec1()?,
        };
        let (planes, distances) = (self.config.planes(), self.config.distances());
        Ok(CriticPlan { planes, distances, first, first_bias, second, second_bias, memory, last, last_bias })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }
}

fn plain(matrix: &Tensor) -> Result<Matrix> {
    let (rows, cols) = matrix.dims2()?;
    Ok(Matrix { rows, cols, data: matrix.flatten_all()?.to_vec1()? })
}

/// Each cell of `[batch, rows, cells, width]` with the cells below and above it, zeros beyond the edge.
fn with_neighbours(xs: &Tensor) -> Result<Tensor> {
    let (batch, rows, cells, width) = xs.dims4()?;
    let edge = Tensor::zeros((batch, rows, 1, width), xs.dtype(), xs.device())?;
    let below = Tensor::cat(&[&edge, &xs.narrow(2, 0, cells - 1)?], 2)?;
    let above = Tensor::cat(&[&xs.narrow(2, 1, cells - 1)?, &edge], 2)?;
    Tensor::cat(&[&below, xs, &above], 3)
}

impl StreamingModule for Critic {
    type State = CriticState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: 1, receptive_field: usize::MAX }
    }

    fn zero_state(&self, batch: usize) -> Result<CriticState> {
        let device = self.first.bias.device();
        let shape = (batch, APART, PAIRS * self.config.narrow);
        let first = Tensor::zeros(shape, DType::F32, device)?;
        Ok(CriticState { first, memory: self.memory.zero_state(batch)? })
    }

    fn step(&self, xs: &Tensor, state: &mut CriticState) -> Result<Tensor> {
        let (batch, rows, width) = xs.dims3()?;
        let (planes, narrow) = (self.config.planes(), self.config.narrow);
        if width != self.config.inputs() || rows == 0 {
            candle_core::bail!("{rows} rows of {width} numbers; expected rows of {}", self.config.inputs());
        }
        let cells = xs.narrow(2, 0, planes * BANDS)?.reshape((batch * rows, planes, PAIRS, 2))?;
        let cells = cells.transpose(1, 2)?.contiguous()?.reshape((batch, rows, PAIRS, planes * 2))?;
        let first = self.first.forward(&with_neighbours(&cells)?)?.relu()?;

        let flat = first.reshape((batch, rows, PAIRS * narrow))?;
        let known = Tensor::cat(&[&state.first, &flat], 1)?;
        state.first = known.narrow(1, rows, APART)?.contiguous()?;
        let fours = |from: usize| {
            let part = known.narrow(1, from, rows)?.contiguous()?;
            with_neighbours(&part.reshape((batch, rows, FOURS, 2 * narrow))?)
        };
        let second = self.second.forward(&Tensor::cat(&[fours(0)?, fours(APART)?], 3)?)?.relu()?;
        let distances = xs.narrow(2, planes * BANDS, self.config.distances())?;
        let pooled = Tensor::cat(&[second.mean(2)?, second.max(2)?, distances], D::Minus1)?;

        self.last.forward(&self.memory.step(&pooled, &mut state.memory)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::Channel;
    use crate::kernels::CpuCritic;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn vars(config: &CriticConfig) -> Vec<(String, Var)> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        Critic::init(&mut rng, config, &Device::Cpu).unwrap()
    }

    fn critic() -> Critic {
        let config =
            CriticConfig { channels: vec![Channel::Brief, Channel::Half], narrow: 6, wide: 8, hidden: 10 };
        let tensors: Tensors = vars(&config).into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        Critic::load(WeightSource::new(&tensors), &config).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn steps_equal_forward(seed: u64, pieces in cuttings()) {
            let xs = noise(seed, &[2, 20, 193]);
            prop_assert!(difference_of_pieces(&critic(), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_frames_change_no_earlier_row(seed: u64, at in 0usize..20) {
            assert_causal(&critic(), &noise(seed, &[1, 20, 193]), at).unwrap();
        }
    }

    proptest! {
        #[test]
        fn kernels_are_the_layers(seed: u64, narrow in 1usize..40, wide in 1usize..70, hidden in 1usize..70) {
            let channels = vec![Channel::Brief, Channel::Half, Channel::Slow, Channel::Short];
            let config = CriticConfig { channels, narrow, wide, hidden };
            let tensors: Tensors =
                vars(&config).into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
            let critic = Critic::load(WeightSource::new(&tensors), &config).unwrap();
            let xs = noise(seed, &[1, 6, config.inputs()]);
            let layers = critic.forward(&xs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let rows = xs.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            let plan = critic.plan().unwrap();
            for kernels in [CpuCritic::new(&plan).unwrap(), CpuCritic::portable(&plan).unwrap()] {
                let mut memory = kernels.fresh();
                for (row, expected) in rows.iter().zip(&layers) {
                    let found = kernels.step(row, &mut memory);
                    prop_assert!((found - expected).abs() <= 1e-5 * (1.0 + expected.abs()), "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_plan_that_does_not_fit_together_is_refused() {
        let mut plan = critic().plan().unwrap();
        plan.second.rows -= 1;
        assert!(CpuCritic::new(&plan).is_err());
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&critic(), &noise(6, &[3, 9, 193])).unwrap();
    }

    #[test]
    fn every_weight_learns() {
        let config = CriticConfig { channels: vec![Channel::Half], narrow: 4, wide: 4, hidden: 5 };
        let vars = vars(&config);
        let tensors: Tensors = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        let critic = Critic::load(WeightSource::new(&tensors), &config).unwrap();
        let loss = critic.forward(&noise(2, &[2, 9, 129])).unwrap().sqr().unwrap().mean_all().unwrap();
        let gradients = loss.backward().unwrap();
        for (name, var) in &vars {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has none"));
            let largest =
                gradient.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(largest > 0.0, "{name}");
        }
    }

    #[test]
    fn sizes_are_checked() {
        assert!(CriticConfig::edge(vec![Channel::Brief]).validate().is_ok());
        assert!(
            CriticConfig { wide: 0, ..CriticConfig::edge(vec![Channel::Brief]) }
                .validate()
                .unwrap_err()
                .contains("wide")
        );
    }
}
