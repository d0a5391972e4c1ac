//! A stack of recurrent layers.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::nn::{BatchState, Geometry, Gru, GruState, Lstm, LstmState, StreamingModule, WeightSource};

/// The form of g_ar and its width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContextConfig {
    /// Gated recurrent units.
    Gru {
        /// Width h of the contexts c_t.
        hidden: usize,
        /// Layers, 1 or more.
        layers: usize,
    },
    /// Long short-term memories, as some published models have.
    Lstm {
        /// Width h of the contexts c_t.
        hidden: usize,
        /// Layers, 1 or more.
        layers: usize,
    },
}

impl ContextConfig {
    /// Width h of the contexts c_t.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Gru { hidden, .. } | Self::Lstm { hidden, .. } => *hidden,
        }
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        match self {
            Self::Gru { layers, .. } | Self::Lstm { layers, .. } => *layers,
        }
    }
}

/// g_ar: `[batch, frames, d]` to `[batch, frames, h]`, every number within (-1, 1).
#[derive(Debug, Clone)]
pub struct ContextNetwork {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
enum Layer {
    Gru(Gru),
    Lstm(Lstm),
}

/// The memory of every layer.
#[derive(Debug, Clone)]
pub struct ContextState {
    layers: Vec<LayerState>,
}

#[derive(Debug, Clone)]
enum LayerState {
    Gru(GruState),
    Lstm(LstmState),
}

impl BatchState for LayerState {
    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Gru(state) => state.tensors(),
            Self::Lstm(state) => state.tensors(),
        }
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        match self {
            Self::Gru(state) => Self::Gru(state.with_tensors(tensors)),
            Self::Lstm(state) => Self::Lstm(state.with_tensors(tensors)),
        }
    }
}

impl BatchState for ContextState {
    fn tensors(&self) -> Vec<&Tensor> {
        self.layers.iter().flat_map(BatchState::tensors).collect()
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        let part = |layer: &LayerState| {
            let count = layer.tensors().len();
            layer.with_tensors(tensors.by_ref().take(count).collect())
        };
        Self { layers: self.layers.iter().map(part).collect() }
    }
}

/// Name and inputs of each layer.
fn plan(config: &ContextConfig, latent: usize) -> impl Iterator<Item = (String, usize)> {
    let (kind, hidden) = match config {
        ContextConfig::Gru { hidden, .. } => ("gru", *hidden),
        ContextConfig::Lstm { hidden, .. } => ("lstm", *hidden),
    };
    (0..config.layers()).map(move |i| (format!("context.{kind}{i}"), if i == 0 { latent } else { hidden }))
}

impl ContextNetwork {
    /// Reads `context.gru{i}.*` or `context.lstm{i}.*` for each layer; `latent` is the width of z_t.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, config: &ContextConfig, latent: usize) -> Result<Self> {
        let layers = plan(config, latent)
            .map(|(name, inputs)| match config {
                ContextConfig::Gru { hidden, .. } => {
                    Gru::load(source, &name, inputs, *hidden).map(Layer::Gru)
                }
                ContextConfig::Lstm { hidden, .. } => {
                    Lstm::load(source, &name, inputs, *hidden).map(Layer::Lstm)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { layers })
    }

    /// The layers, where all of them are gated recurrent units.
    #[must_use]
    pub fn grus(&self) -> Option<Vec<&Gru>> {
        fn gru(layer: &Layer) -> Option<&Gru> {
            match layer {
                Layer::Gru(gru) => Some(gru),
                Layer::Lstm(_) => None,
            }
        }
        self.layers.iter().map(gru).collect()
    }

    /// Variables for a new network.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        config: &ContextConfig,
        latent: usize,
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let mut vars = Vec::new();
        for (name, inputs) in plan(config, latent) {
            vars.extend(match config {
                ContextConfig::Gru { hidden, .. } => Gru::init(rng, &name, (inputs, *hidden), device)?,
                ContextConfig::Lstm { hidden, .. } => Lstm::init(rng, &name, (inputs, *hidden), device)?,
            });
        }
        Ok(vars)
    }
}

impl StreamingModule for ContextNetwork {
    type State = ContextState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: 1, receptive_field: usize::MAX }
    }

    fn zero_state(&self, batch: usize) -> Result<ContextState> {
        let fresh = |layer: &Layer| match layer {
            Layer::Gru(gru) => gru.zero_state(batch).map(LayerState::Gru),
            Layer::Lstm(lstm) => lstm.zero_state(batch).map(LayerState::Lstm),
        };
        Ok(ContextState { layers: self.layers.iter().map(fresh).collect::<Result<_>>()? })
    }

    fn step(&self, xs: &Tensor, state: &mut ContextState) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (layer, state) in self.layers.iter().zip(&mut state.layers) {
            xs = match (layer, state) {
                (Layer::Gru(gru), LayerState::Gru(state)) => gru.step(&xs, state)?,
                (Layer::Lstm(lstm), LayerState::Lstm(state)) => lstm.step(&xs, state)?,
                _ => candle_core::bail!("the state belongs to another form of context network"),
            };
        }
        Ok(xs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn network(config: &ContextConfig) -> ContextNetwork {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let vars = ContextNetwork::init(&mut rng, config, 5, &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        ContextNetwork::load(WeightSource::new(&tensors), config, 5).unwrap()
    }

    proptest! {
        #[test]
        fn stacks_of_both_kinds_stream(seed: u64, layers in 1usize..4, long: bool, pieces in cuttings()) {
            let config = if long {
                ContextConfig::Lstm { hidden: 6, layers }
            } else {
                ContextConfig::Gru { hidden: 6, layers }
            };
            let network = network(&config);
            prop_assert!(difference_of_pieces(&network, &noise(seed, &[2, 20, 5]), &pieces).unwrap() <= 1e-5);
            assert_streams_independent(&network, &noise(seed, &[3, 8, 5])).unwrap();
        }
    }
}
