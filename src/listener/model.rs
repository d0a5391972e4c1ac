//! A model as other programs use it.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use crate::error::Result;
use crate::model::{Cpc, Manifest, open};

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
}
