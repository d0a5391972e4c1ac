//! The choice of a stepper for a model.

use std::sync::Arc;

use candle_core::DeviceLocation;

use super::auto_precision::fastest_near_precision;
use super::layers::LayerStepper;
use super::{Cpc, plan_of};
use crate::error::{Error, Result};
use crate::kernels::{CpuStepper, Precision, Stepper};

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

impl Stepping {
    /// The same without threads that share the streams of a step.
    #[must_use]
    pub fn by_one_thread(self) -> Self {
        match self {
            Self::Kernels { precision, .. } => Self::Kernels { precision, threads: 1 },
            Self::Layers => Self::Layers,
        }
    }

    /// The same with the precision of `cpc` in place of `auto`: the fastest whose scores of noise differ by less than 0.02 nats
    /// from those in f32, as a measurement of some milliseconds says; f32 where no kernels know the model.
    ///
    /// # Errors
    /// When the device of the model fails.
    pub fn measured(self, cpc: &Cpc) -> Result<Self> {
        let Self::Kernels { precision: Precision::Auto, threads } = self else { return Ok(self) };
        let plan = if cpc.device().is_cpu() { plan_of(cpc)? } else { None };
        let precision = plan.map_or(Ok(Precision::F32), |plan| fastest_near_precision(&plan))?;
        Ok(Self::Kernels { precision, threads })
    }

    /// The same on a processor, where some precisions of a GPU do not exist.
    #[must_use]
    pub fn on_processor(self) -> Self {
        match self {
            Self::Kernels { precision: Precision::Tf32, threads } => {
                Self::Kernels { precision: Precision::F32, threads }
            }
            other => other,
        }
    }
}

/// A stepper for `cpc`.
///
/// # Errors
/// When the device fails, or a precision is asked for that it or the model does not have.
pub(super) fn stepper(cpc: Arc<Cpc>, stepping: Stepping) -> Result<Box<dyn Stepper>> {
    let Stepping::Kernels { precision, threads } = stepping.measured(&cpc)? else {
        return Ok(Box::new(LayerStepper::new(cpc)?));
    };
    match (cpc.device().location(), plan_of(&cpc)?) {
        (DeviceLocation::Cpu, Some(plan)) => Ok(Box::new(CpuStepper::new(&plan, precision, threads)?)),
        #[cfg(feature = "cuda")]
        (DeviceLocation::Cuda { gpu_id }, Some(plan)) if crate::kernels::GpuStepper::supports(&plan) => {
            Ok(Box::new(crate::kernels::GpuStepper::new(&plan, gpu_id, precision)?))
        }
        _ if precision != Precision::F32 => Err(Error::config(
            format!("no kernels know this model, so there is no {precision} of it"),
            "take the precision f32",
        )),
        _ => Ok(Box::new(LayerStepper::new(cpc)?)),
    }
}
