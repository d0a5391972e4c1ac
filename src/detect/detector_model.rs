//! The model, as the detector sees it.

use std::sync::Arc;

use super::tail::Tail;
use crate::critic::Critic;
use crate::error::Result;
use crate::frame::FrameShape;
use crate::kernels::CpuCritic;
use crate::nn::LabelSpace;

/// What frames come from.
#[derive(Debug, Clone)]
pub struct DetectorModel {
    /// The lengths of what a frame holds.
    pub shape: FrameShape,
    /// The hash of the model.
    pub model: String,
    /// Its critic, if it has one.
    pub critic: Option<Arc<Critic>>,
    /// The same for live rows.
    live: Option<Arc<CpuCritic>>,
    /// The tail of the critic's outputs over many sites.
    usual: Option<Arc<Tail>>,
    /// The space in which labels compare sounds.
    label_space: Option<Arc<LabelSpace>>,
}

impl DetectorModel {
    /// Frames of `shape` from the model with this hash, judged by `critic`.
    ///
    /// # Errors
    /// When the weights of the critic cannot be read.
    pub fn new(shape: FrameShape, model: impl Into<String>, critic: Option<&Critic>) -> Result<Self> {
        let maxima = critic.map(|c| c.usual().iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        // a critic without enough of them is judged by the site alone
        let usual = maxima.and_then(|maxima| Tail::of_many(maxima).ok()).map(Arc::new);
        let live = critic.map(|critic| CpuCritic::new(&critic.plan()?)).transpose()?.map(Arc::new);
        Ok(Self {
            shape,
            model: model.into(),
            critic: critic.cloned().map(Arc::new),
            live,
            usual,
            label_space: None,
        })
    }

    /// The same with the space in which labels compare sounds: events get an embedding.
    #[must_use]
    pub fn with_label_space(self, space: Option<LabelSpace>) -> Self {
        Self { label_space: space.map(Arc::new), ..self }
    }

    /// The space in which labels compare sounds.
    pub(super) fn label_space(&self) -> Option<&LabelSpace> {
        self.label_space.as_deref()
    }

    /// The critic and its live form, if there is one.
    pub(super) fn live_critic(&self) -> Option<(&Critic, &CpuCritic)> {
        self.critic.as_deref().zip(self.live.as_deref())
    }

    /// The tail of the critic's outputs over many sites, if it is known.
    #[must_use]
    pub fn usual(&self) -> Option<&Tail> {
        self.usual.as_deref()
    }
}
