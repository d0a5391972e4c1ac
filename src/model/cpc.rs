//! The model: immutable, shared by every stream; and its memory, a value apart.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::Architecture;
use crate::context::{ContextNetwork, ContextState};
use crate::encode::{Encoder, EncoderState, Padding};
use crate::nn::{BatchState, Geometry, StreamingModule, Tensors, WeightSource};
use crate::predict::{DelayedScorer, PredictionHeads, ScorerState};

/// g_enc, g_ar, W_k and, once it has a bank of negatives, the scorer.
#[derive(Debug, Clone)]
pub struct Cpc {
    encoder: Encoder,
    context: ContextNetwork,
    heads: PredictionHeads,
    scorer: Option<DelayedScorer>,
}

/// What the model remembers of a batch of streams.
#[derive(Debug, Clone)]
pub struct CpcState {
    encoder: EncoderState,
    context: ContextState,
    scorer: Option<ScorerState>,
}

impl BatchState for CpcState {
    fn tensors(&self) -> Vec<&Tensor> {
        let mut all = self.encoder.tensors();
        all.extend(self.context.tensors());
        all.extend(self.scorer.iter().flat_map(BatchState::tensors));
        all
    }

    fn with_tensors(&self, mut tensors: Vec<Tensor>) -> Self {
        let mut rest = tensors.split_off(self.encoder.tensors().len().min(tensors.len()));
        let last = rest.split_off(self.context.tensors().len().min(rest.len()));
        Self {
            encoder: self.encoder.with_tensors(tensors),
            context: self.context.with_tensors(rest),
            scorer: self.scorer.as_ref().map(|state| state.with_tensors(last)),
        }
    }
}

/// What the model says of a piece of sound.
#[derive(Debug, Clone)]
pub struct CpcOutput {
    /// z, `[batch, frames, d]`.
    pub latents: Tensor,
    /// c, `[batch, frames, h]`.
    pub contexts: Tensor,
    /// PMI of z_u with c_{u-k} in nats, `[batch, frames, K]`; NaN where that context does not exist. `None`
    /// for a model without a bank of negatives.
    pub pmi: Option<Tensor>,
}

impl Cpc {
    /// Builds the model from named tensors; `bank.prototypes` `[N, d]`, if there, become the negatives.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the architecture says.
    pub fn load(tensors: &Tensors, architecture: &Architecture) -> Result<Self> {
        let source = WeightSource::new(tensors);
        let (latent, width) = (architecture.encoder.latent(), architecture.context.width());
        let heads = PredictionHeads::load(source, &architecture.heads, latent, width)?;
        let scorer = match tensors.get("bank.prototypes") {
            Some(bank) => Some(DelayedScorer::new(heads.clone(), bank)?),
            None => None,
        };
        Ok(Self {
            encoder: Encoder::load(source, &architecture.encoder)?,
            context: ContextNetwork::load(source, &architecture.context, latent)?,
            heads,
            scorer,
        })
    }

    /// Variables for a new model, by the names that [`load`](Self::load) reads.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        architecture: &Architecture,
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let (latent, width) = (architecture.encoder.latent(), architecture.context.width());
        let mut vars = Encoder::init(rng, &architecture.encoder, device)?;
        vars.extend(ContextNetwork::init(rng, &architecture.context, latent, device)?);
        vars.extend(PredictionHeads::init(rng, &architecture.heads, (latent, width), device)?);
        Ok(vars)
    }

    /// Hop and receptive field of a latent, in samples.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.encoder.geometry()
    }

    /// The heads.
    #[must_use]
    pub fn heads(&self) -> &PredictionHeads {
        &self.heads
    }

    /// Whether the model can score surprise: it has negatives.
    #[must_use]
    pub fn scores(&self) -> bool {
        self.scorer.is_some()
    }

    /// Where the weights live.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.heads.device()
    }

    /// Streams that have heard nothing yet.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn zero_state(&self, batch: usize) -> Result<CpcState> {
        Ok(CpcState {
            encoder: self.encoder.zero_state(batch)?,
            context: self.context.zero_state(batch)?,
            scorer: self.scorer.as_ref().map(|scorer| scorer.zero_state(batch)).transpose()?,
        })
    }

    /// The next piece of every stream, `[batch, samples]`, a whole number of hops.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn step(&self, samples: &Tensor, state: &mut CpcState) -> Result<CpcOutput> {
        let latents = self.encoder.step(samples, &mut state.encoder)?;
        let contexts = self.context.step(&latents, &mut state.context)?;
        let pmi = match (&self.scorer, &mut state.scorer) {
            (Some(scorer), Some(memory)) => Some(scorer.step(&latents, &contexts, memory)?),
            _ => None,
        };
        Ok(CpcOutput { latents, contexts, pmi })
    }

    /// Whole clips at once, `[batch, samples]`, with silence before them.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, samples: &Tensor) -> Result<CpcOutput> {
        let mut state = self.zero_state(samples.dim(0)?)?;
        self.step(samples, &mut state)
    }

    /// Latents and contexts of whole clips with the given padding.
    ///
    /// # Errors
    /// When the clip is too short for one frame.
    pub fn features(&self, samples: &Tensor, padding: Padding) -> Result<(Tensor, Tensor)> {
        let latents = self.encoder.forward_padded(samples, padding)?;
        let contexts = self.context.forward(&latents)?;
        Ok((latents, contexts))
    }

    /// Latents and contexts of a training window, `[batch, samples]`, with the context carried over from the
    /// window before and cut from its gradients.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn train_step(&self, samples: &Tensor, state: &mut ContextState) -> Result<(Tensor, Tensor)> {
        let latents = self.encoder.forward(samples)?;
        let contexts = self.context.step(&latents, state)?;
        *state = state.detach();
        Ok((latents, contexts))
    }

    /// Contexts that have seen nothing, for training.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn zero_context(&self, batch: usize) -> Result<ContextState> {
        self.context.zero_state(batch)
    }
}
