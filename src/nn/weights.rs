//! Where weights come from: a file, or the variables of a training run.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, Var};
use rand::{Rng, RngExt};

/// Named tensors.
pub type Tensors = HashMap<String, Tensor>;

/// Gives a layer its tensors by name, checking shapes.
#[derive(Debug, Clone, Copy)]
pub struct WeightSource<'a> {
    tensors: &'a Tensors,
}

impl<'a> WeightSource<'a> {
    /// Reads from `tensors`.
    #[must_use]
    pub fn new(tensors: &'a Tensors) -> Self {
        Self { tensors }
    }

    /// The tensor called `name`, of any shape, if it is there.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'a Tensor> {
        self.tensors.get(name)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// When it is missing or its shape is not `shape`; the message names both shapes.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            candle_core::bail!("tensor `{name}` is missing (expected shape {shape:?})");
        };
        if tensor.dims() != shape {
            candle_core::bail!("tensor `{name}` has shape {:?}, expected {shape:?}", tensor.dims());
        }
        Ok(tensor.clone())
    }
}

/// A variable of uniform random numbers in ±`bound`.
///
/// # Errors
/// When the device cannot hold it.
pub fn uniform<R: Rng>(rng: &mut R, shape: &[usize], bound: f32, device: &Device) -> Result<Var> {
    let count: usize = shape.iter().product();
    let data: Vec<f32> = (0..count).map(|_| rng.random_range(-bound..=bound)).collect();
    Var::from_tensor(&Tensor::from_vec(data, shape, device)?)
}

/// A variable of uniform random numbers with variance 2 / fan_in, which keeps the scale of a signal through a
/// rectified layer (He et al. 2015).
///
/// # Errors
/// When the device cannot hold it.
pub fn he_uniform<R: Rng>(rng: &mut R, shape: &[usize], fan_in: usize, device: &Device) -> Result<Var> {
    uniform(rng, shape, (6.0 / fan_in as f32).sqrt(), device)
}
