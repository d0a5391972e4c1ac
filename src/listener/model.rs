//! A model as other programs use it.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use super::{Listener, Output, Settings};
use crate::error::Result;
use crate::event::{Finding, Phase};
use crate::model::{Cpc, Manifest, open};

/// Seconds of a recording that are scored at a time.
const PIECE_S: u32 = 1;

/// A CPC model (arXiv 1807.03748) on the processor: encoder g_enc, context network g_ar, heads W_k and negatives. Clones share the
/// weights, and threads may share clones.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) manifest: Arc<Manifest>,
    pub(super) cpc: Arc<Cpc>,
}

impl Model {
    /// The model that comes with the library.
    ///
    /// # Errors
    /// When it does not fit into memory.
    pub fn built_in() -> Result<Self> {
        Self::opened(None)
    }

    /// The model in a file that `cpc-lab train` or `cpc-lab import` wrote.
    ///
    /// # Errors
    /// A [model error](crate::ErrorKind::Model) when the file cannot be read, or its manifest and tensors disagree.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::opened(Some(path.as_ref()))
    }

    fn opened(path: Option<&Path>) -> Result<Self> {
        let (manifest, cpc) = open(path, &Device::Cpu)?;
        Ok(Self { manifest: Arc::new(manifest), cpc })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The sha256 of its weights, 64 hex digits. Calibrations are bound to it.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.manifest.sha256
    }

    /// d, the length of a latent z.
    #[must_use]
    pub fn latent_width(&self) -> usize {
        self.manifest.architecture.encoder.latent()
    }

    /// h, the length of a context c.
    #[must_use]
    pub fn context_width(&self) -> usize {
        self.manifest.architecture.context.width()
    }

    /// K, the number of hops ahead that its heads predict; 0 for a model without heads, which can [`encode`](Self::encode) and not
    /// score.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.manifest.architecture.horizons()
    }

    /// The events in mono `samples` at `sample_rate` Hz, each with its final figures. The first
    /// [`calibrate_seconds`](Settings::calibrate_seconds) of them are what is normal; with
    /// [`hold_budget(false)`](Settings::hold_budget) the threshold stays that of calibration.
    ///
    /// # Errors
    /// When the model has no heads, a setting is out of its range or the rate cannot be resampled.
    pub fn score(&self, samples: &[f32], sample_rate: u32, settings: &Settings) -> Result<Vec<Finding>> {
        let mut listener = Listener::new(self, &settings.clone().without_frames())?;
        let stream = listener.add_stream(sample_rate)?;
        let mut findings = Vec::new();
        let mut keep = |outputs: Vec<Output>| {
            findings.extend(outputs.into_iter().filter_map(|output| match output {
                Output::Finding { finding, .. } if finding.phase == Phase::End => Some(*finding),
                _ => None,
            }));
        };
        for piece in samples.chunks((sample_rate * PIECE_S).max(1) as usize) {
            listener.push(stream, piece)?;
            keep(listener.step()?);
        }
        keep(listener.end(stream)?.0);
        Ok(findings)
    }
}
