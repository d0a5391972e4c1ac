//! Who steps a model.

use std::sync::Arc;

use super::Cpc;
use super::layers::LayerStepper;
use crate::error::Result;
use crate::kernels::{Precision, Stepper};

/// How the hops of live streams are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepping {
    /// By kernels, where they know the model, else by its layers.
    Kernels {
        /// Numbers that products are made of.
        precision: Precision,
        /// Threads that share the streams of a step, on a processor.
        threads: usize,
    },
    /// By its layers, in f32.
    Layers,
}

impl Default for Stepping {
    fn default() -> Self {
        Self::Kernels { precision: Precision::F32, threads: 1 }
    }
}

/// What steps `cpc`.
pub(super) fn stepper(cpc: Arc<Cpc>, stepping: Stepping) -> Result<Box<dyn Stepper>> {
    #[cfg(feature = "cuda")]
    if let Stepping::Kernels { precision, .. } = stepping
        && let candle_core::DeviceLocation::Cuda { gpu_id } = cpc.device().location()
        && let Some(plan) = super::plan_of(&cpc)?.filter(crate::kernels::GpuStepper::takes)
    {
        return Ok(Box::new(crate::kernels::GpuStepper::new(&plan, gpu_id, precision)?));
    }
    let _ = stepping;
    Ok(Box::new(LayerStepper::new(cpc)?))
}
