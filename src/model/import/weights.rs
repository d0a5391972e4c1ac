//! The tensors of a checkpoint, taken one by one until none is left.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::torch_file::{TensorSpec, TorchFile};

/// Tensors by their names in CPC_audio.
#[derive(Debug)]
pub(super) struct Weights {
    file: TorchFile,
    left: BTreeMap<String, TensorSpec>,
    read: usize,
}

impl Weights {
    pub(super) fn new(file: TorchFile, tensors: BTreeMap<String, TensorSpec>) -> Self {
        Self { file, left: tensors, read: 0 }
    }

    /// Tensors read so far.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// Names of the tensors that were not taken yet.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.left.keys().map(String::as_str)
    }

    /// Shape of a tensor that was not taken yet.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.left.get(name).map(TensorSpec::shape)
    }

    /// Reads a tensor, which must have this shape and finite numbers, as `f32`.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let fix = "give a whole checkpoint of CPC_audio";
        let spec = self.left.remove(name).ok_or_else(|| {
            Error::model(format!("tensor `{name}` is missing (expected shape {shape:?})"), fix)
        })?;
        if spec.shape() != shape {
            let found = spec.shape();
            return Err(Error::model(
                format!("tensor `{name}` has shape {found:?}, {shape:?} expected"),
                fix,
            ));
        }
        let tensor = self.file.tensor(&spec).map_err(|e| e.context(format!("tensor `{name}`")))?;
        let whole = tensor.sum_all()?.to_scalar::<f32>()?.is_finite()
            || tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|x| x.is_finite());
        if !whole {
            return Err(Error::model(
                format!("tensor `{name}` holds a number that is not finite"),
                "give a checkpoint from before its training diverged",
            ));
        }
        self.read += 1;
        Ok(tensor)
    }

    /// Leaves out the tensors whose names `unwanted` holds true for; gives their number.
    pub(super) fn skip(&mut self, unwanted: impl Fn(&str) -> bool) -> usize {
        let before = self.left.len();
        self.left.retain(|name, _| !unwanted(name));
        before - self.left.len()
    }
}
