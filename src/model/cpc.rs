//! The model, immutable and shared by every stream, and its state, a separate value.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::Architecture;
use crate::context::{ContextNetwork, ContextState};
use crate::critic::Critic;
use crate::encode::{Encoder, EncoderState, Padding};
use crate::error::{self, Error};
use crate::nn::{BatchState, Geometry, LogMel, LogMelState, StreamingModule, Tensors, WeightSource};
use crate::predict::{DelayedScorer, PredictionHeads, ScorerState};
use crate::units::BANDS;

/// Name of the tensor that holds the negatives of live scoring, `[N, d]`.
pub const BANK: &str = "bank.prototypes";

const NO_HEADS: &str = "make them with `cpc-lab train --heads-only --init MODEL --data DIR --out FILE`";
const NO_BANK: &str =
    "import it again with `--bank-from DIR`, or run `cpc-lab train --heads-only --init MODEL`";

/// g_enc, g_ar, W_k and, once it has a bank of negatives, the scorer.
#[derive(Debug, Clone)]
pub struct Cpc {
    encoder: Encoder,
    context: ContextNetwork,
    /// `None` for a network without heads.
    heads: Option<PredictionHeads>,
    scorer: Option<DelayedScorer>,
    bank: Option<Tensor>,
    critic: Option<Critic>,
    /// Filterbank of detection, for an encoder that does not compute these bands itself.
    log_mel: Option<LogMel>,
    device: Device,
}

/// State of the model for a batch of streams.
#[derive(Debug, Clone)]
pub struct CpcState {
    encoder: EncoderState,
    context: ContextState,
    scorer: Option<ScorerState>,
    log_mel: Option<LogMelState>,
}

impl BatchState for CpcState {
    fn tensors(&self) -> Vec<&Tensor> {
        let mut all = self.encoder.tensors();
        all.extend(self.context.tensors());
        all.extend(self.scorer.iter().flat_map(BatchState::tensors));
        all.extend(self.log_mel.iter().flat_map(BatchState::tensors));
        all
    }

    fn with_tensors(&self, mut tensors: Vec<Tensor>) -> Self {
        let mut rest = tensors.split_off(self.encoder.tensors().len().min(tensors.len()));
        let mut last = rest.split_off(self.context.tensors().len().min(rest.len()));
        let scorer = self.scorer.as_ref().map_or(0, |state| state.tensors().len());
        let log_mel = last.split_off(scorer.min(last.len()));
        Self {
            encoder: self.encoder.with_tensors(tensors),
            context: self.context.with_tensors(rest),
            scorer: self.scorer.as_ref().map(|state| state.with_tensors(last)),
            log_mel: self.log_mel.as_ref().map(|state| state.with_tensors(log_mel)),
        }
    }
}

/// Output of the model for a piece of sound.
#[derive(Debug, Clone)]
pub struct CpcOutput {
    /// z, `[batch, frames, d]`.
    pub latents: Tensor,
    /// c, `[batch, frames, h]`.
    pub contexts: Tensor,
    /// PMI of z_u with c_{u-k} in nats, `[batch, frames, K]`; NaN where that context does not exist. `None`
    /// for a model without a bank of negatives.
    pub pmi: Option<Tensor>,
    /// Log-mel bands, `[batch, frames, 64]`.
    pub bands: Tensor,
}

fn features_only(missing: &str, fix: &str) -> Error {
    Error::model(
        format!("the model has no {missing}, so it gives features (`encode`) but cannot score surprise"),
        fix,
    )
}

impl Cpc {
    /// Builds the model from named tensors; those called [`BANK`], if there, become the negatives.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the architecture says.
    pub fn load(tensors: &Tensors, architecture: &Architecture) -> Result<Self> {
        let source = WeightSource::new(tensors);
        let (latent, width) = (architecture.encoder.latent(), architecture.context.width());
        let heads = architecture.heads.as_ref();
        let heads = heads.map(|config| PredictionHeads::load(source, config, latent, width)).transpose()?;
        let scorer = match (tensors.get(BANK), &heads) {
            (Some(bank), Some(heads)) => Some(DelayedScorer::new(heads.clone(), bank)?),
            _ => None,
        };
        let device = tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        let critic = architecture.critic.as_ref().map(|config| Critic::load(source, config)).transpose()?;
        let encoder = Encoder::load(source, &architecture.encoder)?;
        let log_mel = if encoder.bands() == Some(BANDS) { None } else { Some(LogMel::new(BANDS, &device)?) };
        Ok(Self {
            encoder,
            context: ContextNetwork::load(source, &architecture.context, latent)?,
            heads,
            scorer,
            bank: tensors.get(BANK).cloned(),
            critic,
            log_mel,
            device,
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
        if let Some(config) = &architecture.heads {
            vars.extend(PredictionHeads::init(rng, config, (latent, width), device)?);
        }
        Ok(vars)
    }

    /// Hop and receptive field of a latent, in samples.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.encoder.geometry()
    }

    /// The heads, if the model has any.
    #[must_use]
    pub fn heads(&self) -> Option<&PredictionHeads> {
        self.heads.as_ref()
    }

    /// The critic, if the model has one.
    #[must_use]
    pub fn critic(&self) -> Option<&Critic> {
        self.critic.as_ref()
    }

    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The context network.
    #[must_use]
    pub fn context(&self) -> &ContextNetwork {
        &self.context
    }

    /// The filterbank of detection, where the encoder has no such bands itself.
    pub(super) fn log_mel(&self) -> Option<&LogMel> {
        self.log_mel.as_ref()
    }

    /// Whether the model can score surprise: it has negatives.
    #[must_use]
    pub fn scores(&self) -> bool {
        self.scorer.is_some()
    }

    /// The heads of a model that must have them.
    ///
    /// # Errors
    /// When it has none; the fix says how to make them.
    pub fn require_heads(&self) -> error::Result<&PredictionHeads> {
        self.heads.as_ref().ok_or_else(|| features_only("prediction heads", NO_HEADS))
    }

    /// The negatives of live scoring, `[N, d]`, if the model has any.
    #[must_use]
    pub fn bank(&self) -> Option<&Tensor> {
        self.bank.as_ref()
    }

    /// Refuses a model that cannot score surprise.
    ///
    /// # Errors
    /// When it has no heads, or no negatives; the fix says how to make them.
    pub fn require_scorer(&self) -> error::Result<()> {
        self.require_heads()?;
        self.scorer.as_ref().map(|_| ()).ok_or_else(|| features_only("bank of negatives", NO_BANK))
    }

    /// Where the weights live.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// State of streams before their first sample.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn zero_state(&self, batch: usize) -> Result<CpcState> {
        Ok(CpcState {
            encoder: self.encoder.zero_state(batch)?,
            context: self.context.zero_state(batch)?,
            scorer: self.scorer.as_ref().map(|scorer| scorer.zero_state(batch)).transpose()?,
            log_mel: self.log_mel.as_ref().map(|log_mel| log_mel.zero_state(batch)).transpose()?,
        })
    }

    /// The next piece of every stream, `[batch, samples]`, a whole number of hops.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn step(&self, samples: &Tensor, state: &mut CpcState) -> Result<CpcOutput> {
        let (latents, own) = self.encoder.step_with_bands(samples, &mut state.encoder)?;
        let contexts = self.context.step(&latents, &mut state.context)?;
        let pmi = match (&self.scorer, &mut state.scorer) {
            (Some(scorer), Some(memory)) => Some(scorer.step(&latents, &contexts, memory)?),
            _ => None,
        };
        let bands = match (&self.log_mel, &mut state.log_mel, own) {
            (Some(log_mel), Some(memory), _) => log_mel.step(samples, memory)?,
            (_, _, Some(bands)) => bands,
            _ => candle_core::bail!("the state belongs to another model"),
        };
        Ok(CpcOutput { latents, contexts, pmi, bands })
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
}
