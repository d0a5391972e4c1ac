//! A stack of recurrent layers.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::nn::{BatchState, Geometry, Gru, GruState, StreamingModule, WeightSource};

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
}

impl ContextConfig {
    /// Width h of the contexts c_t.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Gru { hidden, .. } => *hidden,
        }
    }
}

/// g_ar: `[batch, frames, d]` to `[batch, frames, h]`, every number within (-1, 1).
#[derive(Debug, Clone)]
pub struct ContextNetwork {
    layers: Vec<Gru>,
}

/// The hidden vectors of every layer.
#[derive(Debug, Clone)]
pub struct ContextState {
    layers: Vec<GruState>,
}

impl ContextState {
    /// The same values, cut from the graph of gradients.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { layers: self.layers.iter().map(GruState::detach).collect() }
    }
}

impl BatchState for ContextState {
    fn tensors(&self) -> Vec<&Tensor> {
        self.layers.iter().flat_map(BatchState::tensors).collect()
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let layers = self.layers.iter().zip(tensors).map(|(layer, t)| layer.with_tensors(vec![t])).collect();
        Self { layers }
    }
}

fn inputs_of(layer: usize, latent: usize, hidden: usize) -> usize {
    if layer == 0 { latent } else { hidden }
}

impl ContextNetwork {
    /// Reads `context.gru{i}.*` for each layer; `latent` is the width of z_t.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: WeightSource<'_>, config: &ContextConfig, latent: usize) -> Result<Self> {
        let ContextConfig::Gru { hidden, layers } = *config;
        let layers = (0..layers)
            .map(|i| Gru::load(source, &format!("context.gru{i}"), inputs_of(i, latent, hidden), hidden))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { layers })
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
        let ContextConfig::Gru { hidden, layers } = *config;
        let mut vars = Vec::new();
        for i in 0..layers {
            let shape = (inputs_of(i, latent, hidden), hidden);
            vars.extend(Gru::init(rng, &format!("context.gru{i}"), shape, device)?);
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
        let layers = self.layers.iter().map(|gru| gru.zero_state(batch)).collect::<Result<Vec<_>>>()?;
        Ok(ContextState { layers })
    }

    fn step(&self, xs: &Tensor, state: &mut ContextState) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (gru, state) in self.layers.iter().zip(&mut state.layers) {
            xs = gru.step(&xs, state)?;
        }
        Ok(xs)
    }
}
