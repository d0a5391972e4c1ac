//! Tensors as a pickle describes them: a window on a storage.

use std::rc::Rc;

use candle_core::{DType, Device, Tensor};

use super::{Dtype, damaged};
use crate::error::Result;

/// Numbers in a row that tensors are windows on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// Its key in the container.
    pub(super) key: String,
    pub(super) dtype: Dtype,
    /// Numbers in the stored row.
    pub(super) count: u64,
    /// First number of the part that this storage is, and its length; files before PyTorch 0.4 have parts.
    pub(super) part: (u64, u64),
}

impl Storage {
    pub(super) fn bytes(&self) -> Result<u64> {
        let bytes = self.count.checked_mul(self.dtype.size());
        bytes.ok_or_else(|| damaged(format!("storage {} would hold {} numbers", self.key, self.count)))
    }
}

/// Where the numbers of a tensor lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    storage: Rc<Storage>,
    shape: Vec<usize>,
    strides: Vec<u64>,
    /// Of the first number, in the stored row.
    offset: u64,
    count: u64,
}

impl TensorSpec {
    /// A window of `shape` on `storage`; refuses one that reaches out of it.
    pub(super) fn new(storage: Rc<Storage>, offset: u64, shape: &[u64], strides: Vec<u64>) -> Result<Self> {
        let refuse = || {
            damaged(format!(
                "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} reaches out of its storage of {} numbers",
                storage.part.1
            ))
        };
        if shape.len() != strides.len() {
            return Err(refuse());
        }
        let count = shape.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim)).ok_or_else(refuse)?;
        let reach = shape.iter().zip(&strides).try_fold(offset, |at, (&dim, &stride)| {
            dim.saturating_sub(1).checked_mul(stride).and_then(|step| at.checked_add(step))
        });
        let reach = reach.ok_or_else(refuse)?;
        let (first, length) = storage.part;
        if count > 0 && reach >= length || offset > length {
            return Err(refuse());
        }
        let inside = first.checked_add(length).is_some_and(|end| end <= storage.count);
        let offset = offset.checked_add(first).filter(|_| inside).ok_or_else(refuse)?;
        let dims = shape.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>();
        let shape = dims.map_err(|_| refuse())?;
        Ok(Self { storage, shape, strides, offset, count })
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of its numbers.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.storage.dtype
    }

    /// Numbers in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The tensor as `f32`, from the bytes of its whole storage.
    pub(super) fn gather(&self, bytes: &[u8]) -> Result<Tensor> {
        let dtype = self.dtype();
        let float = dtype.float().ok_or_else(|| {
            damaged(format!("weights of type {dtype:?} found, one of F32, F64, F16, Bf16 expected"))
        })?;
        // a tensor repeated from fewer numbers than it has could be of any size
        if self.count > self.storage.count {
            return Err(damaged(format!(
                "a tensor of shape {:?} repeats the {} numbers of its storage",
                self.shape, self.storage.count
            )));
        }
        let short = || damaged(format!("storage {} is shorter than a tensor in it", self.storage.key));
        let size = dtype.size();
        let mut packed = Vec::with_capacity(usize::try_from(self.count * size).map_err(|_| short())?);
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..self.count {
            let at = index.iter().zip(&self.strides).fold(self.offset, |at, (&i, &s)| at + i as u64 * s);
            let from = usize::try_from(at * size).map_err(|_| short())?;
            packed.extend_from_slice(bytes.get(from..from + size as usize).ok_or_else(short)?);
            for (i, &dim) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < dim {
                    break;
                }
                *i = 0;
            }
        }
        let tensor = Tensor::from_raw_buffer(&packed, float, &self.shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(DType::F32)?)
    }
}
