//! The K linear prediction heads.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::nn::{WeightSource, uniform};

/// How far ahead the heads look, and how their logits are scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsConfig {
    /// K: heads for k = 1..=K frames ahead.
    pub horizons: usize,
    /// Factor of the inner product zᵀ W_k c; CPC_audio has 1/d.
    pub scale: f64,
}

/// W_1 … W_K, linear and without bias.
#[derive(Debug, Clone)]
pub struct PredictionHeads {
    /// `[K, h, d]`: W_kᵀ.
    weights: Tensor,
    scale: f64,
}

impl PredictionHeads {
    /// Reads `heads.weight` `[K, d, h]`.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn load(
        source: WeightSource<'_>,
        config: &HeadsConfig,
        latent: usize,
        context: usize,
    ) -> Result<Self> {
        let weights = source.get("heads.weight", &[config.horizons, latent, context])?;
        Ok(Self { weights: weights.transpose(1, 2)?.contiguous()?, scale: config.scale })
    }

    /// Variables for new heads.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        config: &HeadsConfig,
        (latent, context): (usize, usize),
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let bound = 1.0 / (context as f32).sqrt();
        let weight = uniform(rng, &[config.horizons, latent, context], bound, device)?;
        Ok(vec![("heads.weight".to_owned(), weight)])
    }

    /// K, the number of heads.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.weights.dims().first().copied().unwrap_or(0)
    }

    /// Width h of the contexts.
    #[must_use]
    pub fn context(&self) -> usize {
        self.weights.dims().get(1).copied().unwrap_or(0)
    }

    /// Width d of the latents they predict.
    #[must_use]
    pub fn latent(&self) -> usize {
        self.weights.dims().get(2).copied().unwrap_or(0)
    }

    /// Device of the weights.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.weights.device()
    }

    /// Scaled predictions from one context per head: `[K, n, h]` to `[K, n, d]`. The inner product of a
    /// prediction with a candidate z is its logit.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, contexts: &Tensor) -> Result<Tensor> {
        contexts.matmul(&self.weights)? * self.scale
    }

    /// Scaled predictions of all heads from each context: `[b, a, h]` to `[b, K, a, d]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict_all(&self, contexts: &Tensor) -> Result<Tensor> {
        let (batch, anchors, context) = contexts.dims3()?;
        let (horizons, _, latent) = self.weights.dims3()?;
        let side_by_side =
            self.weights.transpose(0, 1)?.contiguous()?.reshape((context, horizons * latent))?;
        let flat = contexts.contiguous()?.reshape((batch * anchors, context))?.matmul(&side_by_side)?;
        let split = flat.reshape((batch, anchors, horizons, latent))?.transpose(1, 2)?.contiguous()?;
        split * self.scale
    }
}
