//! The K prediction heads.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::nn::{WeightSource, he_uniform, uniform};

/// How far ahead the heads look, what they are made of, and how their logits are scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsConfig {
    /// K: heads for k = 1..=K frames ahead.
    pub horizons: usize,
    /// Factor of the inner product zᵀ ŷ_k; CPC_audio has 1/d.
    pub scale: f64,
    /// Units of the one hidden layer of each head; `None` for linear heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
}

/// W_1 … W_K: linear and without bias, or with one rectified hidden layer.
#[derive(Debug, Clone)]
pub struct PredictionHeads {
    form: Form,
    scale: f64,
    /// K, h, d.
    shape: (usize, usize, usize),
}

#[derive(Debug, Clone)]
enum Form {
    /// `[K, h, d]`: W_kᵀ.
    Linear(Tensor),
    /// `[K, h, m]`, `[K, 1, m]`, `[K, m, d]`, `[K, 1, d]`.
    Hidden { first: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor },
}

impl PredictionHeads {
    /// Reads `heads.weight` `[K, d, h]`; with a hidden layer of m units `heads.lin1.weight` `[K, m, h]`,
    /// `heads.lin1.bias` `[K, m]`, `heads.lin2.weight` `[K, d, m]` and `heads.lin2.bias` `[K, d]`.
    ///
    /// # Errors
    /// When one is missing or has another shape.
    pub fn load(
        source: WeightSource<'_>,
        config: &HeadsConfig,
        latent: usize,
        context: usize,
    ) -> Result<Self> {
        let k = config.horizons;
        let matrix = |name: &str, to: usize, from: usize| {
            source.get(name, &[k, to, from])?.transpose(1, 2)?.contiguous()
        };
        let bias = |name: &str, width: usize| source.get(name, &[k, width])?.unsqueeze(1);
        let form = match config.hidden {
            None => Form::Linear(matrix("heads.weight", latent, context)?),
            Some(units) => Form::Hidden {
                first: matrix("heads.lin1.weight", units, context)?,
                first_bias: bias("heads.lin1.bias", units)?,
                second: matrix("heads.lin2.weight", latent, units)?,
                second_bias: bias("heads.lin2.bias", latent)?,
            },
        };
        Ok(Self { form, scale: config.scale, shape: (k, context, latent) })
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
        let k = config.horizons;
        let bound = |inputs: usize| 1.0 / (inputs as f32).sqrt();
        let Some(units) = config.hidden else {
            let weight = uniform(rng, &[k, latent, context], bound(context), device)?;
            return Ok(vec![("heads.weight".to_owned(), weight)]);
        };
        Ok(vec![
            ("heads.lin1.weight".to_owned(), he_uniform(rng, &[k, units, context], context, device)?),
            ("heads.lin1.bias".to_owned(), uniform(rng, &[k, units], bound(context), device)?),
            ("heads.lin2.weight".to_owned(), uniform(rng, &[k, latent, units], bound(units), device)?),
            ("heads.lin2.bias".to_owned(), uniform(rng, &[k, latent], bound(units), device)?),
        ])
    }

    /// W_kᵀ of linear heads, `[K, h, d]`, and the factor of their logits.
    #[must_use]
    pub fn linear(&self) -> Option<(&Tensor, f64)> {
        match &self.form {
            Form::Linear(weights) => Some((weights, self.scale)),
            Form::Hidden { .. } => None,
        }
    }

    /// K, the number of heads.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.shape.0
    }

    /// Width h of the contexts.
    #[must_use]
    pub fn context(&self) -> usize {
        self.shape.1
    }

    /// Width d of the latents they predict.
    #[must_use]
    pub fn latent(&self) -> usize {
        self.shape.2
    }

    /// Device of the weights.
    #[must_use]
    pub fn device(&self) -> &Device {
        match &self.form {
            Form::Linear(weights) => weights.device(),
            Form::Hidden { first, .. } => first.device(),
        }
    }

    /// Scaled predictions from one context per head: `[K, n, h]` to `[K, n, d]`. The inner product of a
    /// prediction with a candidate z is its logit.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, contexts: &Tensor) -> Result<Tensor> {
        let raw = match &self.form {
            Form::Linear(weights) => contexts.matmul(weights)?,
            Form::Hidden { first, first_bias, second, second_bias } => {
                let inner = contexts.matmul(first)?.broadcast_add(first_bias)?.relu()?;
                inner.matmul(second)?.broadcast_add(second_bias)?
            }
        };
        raw * self.scale
    }

    /// Scaled predictions of all heads from each context: `[b, a, h]` to `[b, K, a, d]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict_all(&self, contexts: &Tensor) -> Result<Tensor> {
        let (batch, anchors, context) = contexts.dims3()?;
        let (horizons, _, latent) = self.shape;
        let rows = batch * anchors;
        let flat = contexts.contiguous()?.reshape((rows, context))?;
        let split = match &self.form {
            // one product for all heads
            Form::Linear(weights) => {
                let side_by_side =
                    weights.transpose(0, 1)?.contiguous()?.reshape((context, horizons * latent))?;
                let raw = (flat.matmul(&side_by_side)? * self.scale)?;
                raw.reshape((batch, anchors, horizons, latent))?.transpose(1, 2)?
            }
            Form::Hidden { .. } => {
                let for_each = flat.unsqueeze(0)?.broadcast_as((horizons, rows, context))?.contiguous()?;
                self.predict(&for_each)?.reshape((horizons, batch, anchors, latent))?.transpose(0, 1)?
            }
        };
        split.contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{largest_difference, noise};
    use rand::SeedableRng;

    #[test]
    fn one_context_or_all_at_once_predict_the_same() {
        for hidden in [None, Some(7)] {
            let config = HeadsConfig { horizons: 3, scale: 0.5, hidden };
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
            let vars = PredictionHeads::init(&mut rng, &config, (4, 5), &Device::Cpu).unwrap();
            let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
            let heads = PredictionHeads::load(WeightSource::new(&tensors), &config, 4, 5).unwrap();
            let contexts = noise(3, &[2, 6, 5]);
            let all = heads.predict_all(&contexts).unwrap();
            assert_eq!(all.dims(), &[2, 3, 6, 4]);
            for b in 0..2 {
                let one = contexts.narrow(0, b, 1).unwrap().repeat((3, 1, 1)).unwrap();
                let found = heads.predict(&one).unwrap();
                let expected = all.narrow(0, b, 1).unwrap().squeeze(0).unwrap();
                assert!(largest_difference(&found, &expected).unwrap() < 1e-6);
            }
        }
    }
}
