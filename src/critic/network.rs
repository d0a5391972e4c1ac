//! The network.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use rand::Rng;

use super::{CriticConfig, FRAMES_A_ROW};
use crate::nn::{BatchState, Geometry, StreamingModule, WeightSource, he_uniform, uniform};
use crate::units::BANDS;

/// `[batch, frames, channels · 64]` to logits `[batch, frames / 5, 1]`, causal.
///
/// Three layers: one shared by all pairs of bands (5 frames, a pair and the pairs beside it), one shared by all fours
/// of bands (the last two rows, a four and the fours beside it), both rectified; the mean and the maximum over bands;
/// then one over the last rows, and the output. What a foreign sound looks like does not depend much on its pitch: hence
/// weights are shared over bands.
#[derive(Debug, Clone)]
pub struct Critic {
    config: CriticConfig,
    first: Affine,
    second: Affine,
    third: Affine,
    last: Affine,
}

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

/// The last row of the first layer, `[batch, 1, 32 · narrow]`, and the last rows over bands, `[batch, rows − 1, 2 ·
/// wide]`.
#[derive(Debug, Clone)]
pub struct CriticState {
    first: Tensor,
    pooled: Tensor,
}

impl BatchState for CriticState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.first, &self.pooled]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        match (tensors.next(), tensors.next()) {
            (Some(first), Some(pooled)) => Self { first, pooled },
            _ => self.clone(),
        }
    }
}

const PAIRS: usize = BANDS / 2;
const FOURS: usize = BANDS / 4;

/// `(name, inputs, outputs)` of the layers.
fn plan(config: &CriticConfig) -> [(&'static str, (usize, usize)); 4] {
    let CriticConfig { ref channels, narrow, wide, hidden, rows } = *config;
    [
        ("critic.first", (3 * 2 * FRAMES_A_ROW * channels.len(), narrow)),
        ("critic.second", (2 * 3 * 2 * narrow, wide)),
        ("critic.third", (rows * 2 * wide, hidden)),
        ("critic.last", (hidden, 1)),
    ]
}

impl Critic {
    /// Reads `critic.{first,second,third,last}.{weight,bias}`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, config: &CriticConfig) -> Result<Self> {
        let [first, second, third, last] =
            plan(config).map(|(name, shape)| Affine::load(source, name, shape));
        Ok(Self { config: config.clone(), first: first?, second: second?, third: third?, last: last? })
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
        Ok(vars)
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }
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
        Geometry { stride: FRAMES_A_ROW, receptive_field: FRAMES_A_ROW * (self.config.rows + 1) }
    }

    fn zero_state(&self, batch: usize) -> Result<CriticState> {
        let device = self.first.bias.device();
        let zeros = |rows: usize, width: usize| Tensor::zeros((batch, rows, width), DType::F32, device);
        Ok(CriticState {
            first: zeros(1, PAIRS * self.config.narrow)?,
            pooled: zeros(self.config.rows - 1, 2 * self.config.wide)?,
        })
    }

    fn step(&self, xs: &Tensor, state: &mut CriticState) -> Result<Tensor> {
        let (batch, frames, width) = xs.dims3()?;
        let CriticConfig { narrow, wide, rows: span, .. } = self.config;
        let channels = self.config.channels.len();
        if width != channels * BANDS || frames == 0 || frames % FRAMES_A_ROW != 0 {
            candle_core::bail!(
                "a piece of {frames} frames of {width} features; expected a multiple of {FRAMES_A_ROW} frames of {}",
                channels * BANDS
            );
        }
        let rows = frames / FRAMES_A_ROW;
        let cells = xs.contiguous()?.reshape((batch * rows, FRAMES_A_ROW * channels, PAIRS, 2))?;
        let cells = cells.transpose(1, 2)?.contiguous()?;
        let cells = cells.reshape((batch, rows, PAIRS, FRAMES_A_ROW * channels * 2))?;
        let first = self.first.forward(&with_neighbours(&cells)?)?.relu()?;

        let flat = first.reshape((batch, rows, PAIRS * narrow))?;
        let known = Tensor::cat(&[&state.first, &flat], 1)?;
        state.first = known.narrow(1, rows, 1)?.contiguous()?;
        let fours = |rows_from: usize| {
            with_neighbours(&known.narrow(1, rows_from, rows)?.contiguous()?.reshape((
                batch,
                rows,
                FOURS,
                2 * narrow,
            ))?)
        };
        let second = self.second.forward(&Tensor::cat(&[fours(0)?, fours(1)?], 3)?)?.relu()?;
        let pooled = Tensor::cat(&[second.mean(2)?, second.max(2)?], D::Minus1)?;

        let known = Tensor::cat(&[&state.pooled, &pooled], 1)?;
        state.pooled = known.narrow(1, rows, span - 1)?.contiguous()?;
        let shifted: Vec<Tensor> = (0..span).map(|i| known.narrow(1, i, rows)).collect::<Result<_>>()?;
        let window = Tensor::cat(&shifted, 2)?;
        debug_assert_eq!(window.dim(2)?, span * 2 * wide);
        self.last.forward(&self.third.forward(&window)?.relu()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::Channel;
    use crate::nn::Tensors;
    use crate::nn::laws::{assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise};
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn vars(config: &CriticConfig) -> Vec<(String, Var)> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        Critic::init(&mut rng, config, &Device::Cpu).unwrap()
    }

    fn critic() -> Critic {
        let config = CriticConfig {
            channels: vec![Channel::Band, Channel::Shape],
            narrow: 6,
            wide: 8,
            hidden: 10,
            rows: 3,
        };
        let tensors: Tensors = vars(&config).into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        Critic::load(WeightSource::new(&tensors), &config).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn pieces_equal_the_whole(seed: u64, pieces in cuttings()) {
            let xs = noise(seed, &[2, 60, 128]);
            prop_assert!(difference_of_pieces(&critic(), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_frames_change_no_earlier_row(seed: u64, at in 0usize..60) {
            assert_causal(&critic(), &noise(seed, &[1, 60, 128]), at).unwrap();
        }
    }

    #[test]
    fn streams_do_not_hear_one_another() {
        assert_streams_independent(&critic(), &noise(6, &[3, 40, 128])).unwrap();
    }

    #[test]
    fn every_weight_learns() {
        let config = CriticConfig { channels: vec![Channel::Band], narrow: 4, wide: 4, hidden: 5, rows: 2 };
        let vars = vars(&config);
        let tensors: Tensors = vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        let critic = Critic::load(WeightSource::new(&tensors), &config).unwrap();
        let loss = critic.forward(&noise(2, &[2, 30, 64])).unwrap().sqr().unwrap().mean_all().unwrap();
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
        assert!(CriticConfig::edge(vec![Channel::Band]).validate().is_ok());
        assert!(
            CriticConfig { rows: 0, ..CriticConfig::edge(vec![Channel::Band]) }
                .validate()
                .unwrap_err()
                .contains("rows")
        );
    }
}
