//! A stepper that runs the layers of the model, without kernels.

use std::sync::Arc;

use candle_core::{IndexOp, Tensor};

use super::{Cpc, CpcState};
use crate::error::{Error, Result};
use crate::kernels::{Hops, Stepper, hops_each};
use crate::nn::BatchState;
use crate::units::HOP;

/// Steps any model on any device, layer after layer: the reference for kernels, and the fallback for models without a
/// plan.
#[derive(Debug)]
pub(super) struct LayerStepper {
    cpc: Arc<Cpc>,
    /// Row r is the memory of row r.
    state: CpcState,
    fresh: CpcState,
}

impl LayerStepper {
    /// No rows yet.
    pub(super) fn new(cpc: Arc<Cpc>) -> Result<Self> {
        let fresh = cpc.zero_state(1)?;
        Ok(Self { state: fresh.leave(0)?, fresh, cpc })
    }

    fn check(&self, row: usize) -> Result<()> {
        if row < self.state.batch() {
            return Ok(());
        }
        Err(Error::internal(format!("row {row} of {}", self.state.batch())))
    }
}

fn append(tensor: &Tensor, into: &mut Vec<f32>) -> Result<()> {
    into.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

impl Stepper for LayerStepper {
    fn instructions(&self) -> String {
        "layers".to_owned()
    }

    fn rows(&self) -> usize {
        self.state.batch()
    }

    fn reserve(&mut self, rows: usize) -> Result<()> {
        while self.state.batch() < rows {
            self.state =
                if self.state.batch() == 0 { self.fresh.clone() } else { self.state.join(&self.fresh)? };
        }
        Ok(())
    }

    fn memory(&self, row: usize, into: &mut Vec<f32>) -> Result<()> {
        self.check(row)?;
        self.state.tensors().into_iter().try_for_each(|tensor| append(&tensor.i(row)?, into))
    }

    fn set_memory(&mut self, row: usize, memory: &[f32]) -> Result<()> {
        self.check(row)?;
        let (mut parts, mut rest) = (Vec::new(), memory);
        for like in self.fresh.tensors() {
            let Some((part, behind)) = rest.split_at_checked(like.elem_count()) else {
                return Err(Error::internal(format!("{} numbers are too few for a memory", memory.len())));
            };
            parts.push(Tensor::from_slice(part, like.dims(), like.device())?);
            rest = behind;
        }
        let part = self.fresh.with_tensors(parts);
        self.state = self.state.replace(&[row as u32], &part)?;
        Ok(())
    }

    fn step(&mut self, rows: &[u32], samples: &[f32], hops: &mut Hops) -> Result<()> {
        let each = hops_each(rows, samples)?;
        let samples = Tensor::from_slice(samples, (rows.len(), each * HOP), self.cpc.device())?;
        let everyone =
            rows.len() == self.state.batch() && rows.iter().enumerate().all(|(i, &r)| r as usize == i);
        let output = if everyone {
            self.cpc.step(&samples, &mut self.state)?
        } else {
            let mut part = self.state.select(rows)?;
            let output = self.cpc.step(&samples, &mut part)?;
            self.state = self.state.replace(rows, &part)?;
            output
        };
        let pmi = output.pmi.ok_or_else(|| Error::internal("the model gave no scores"))?;
        let parts = [
            (&pmi, &mut hops.pmi),
            (&output.latents, &mut hops.latents),
            (&output.contexts, &mut hops.contexts),
            (&output.bands, &mut hops.bands),
        ];
        for (tensor, into) in parts {
            into.clear();
            append(tensor, into)?;
        }
        Ok(())
    }

    fn with_same_weights(&self) -> Result<Option<Box<dyn Stepper>>> {
        if !self.cpc.device().is_cpu() {
            return Ok(None);
        }
        Ok(Some(Box::new(Self::new(Arc::clone(&self.cpc))?)))
    }
}
