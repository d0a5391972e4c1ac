//! The traits of streaming layers: geometry, state, step and forward.

use candle_core::{Result, Tensor};

/// How the output frames of a causal module lie on its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Input frames (or samples) an output frame.
    pub stride: usize,
    /// Input frames (or samples) that one output frame depends on; the last of them is the newest one.
    /// `usize::MAX` for a recurrence, whose memory has no end.
    pub receptive_field: usize,
}

impl Geometry {
    /// Geometry of `self` followed by `next`.
    #[must_use]
    pub fn then(self, next: Geometry) -> Geometry {
        let reach = next.receptive_field.saturating_sub(1).saturating_mul(self.stride);
        Geometry {
            stride: self.stride * next.stride,
            receptive_field: self.receptive_field.saturating_add(reach),
        }
    }
}

/// Memory of a module for a batch of streams: tensors whose first dimension is the stream.
///
/// An implementor lists its tensors; joining, leaving and resetting streams are derived from that list in one place.
pub trait BatchState: Sized {
    /// The tensors of the state, in a fixed order; dimension 0 of each is the stream.
    fn tensors(&self) -> Vec<&Tensor>;

    /// A state like `self` made of `tensors`, in the order of [`tensors`](Self::tensors).
    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self;

    /// The same values, cut from the graph of gradients (truncated back-propagation through time).
    #[must_use]
    fn detach(&self) -> Self {
        self.with_tensors(self.tensors().into_iter().map(Tensor::detach).collect())
    }

    /// Number of streams.
    fn batch(&self) -> usize {
        self.tensors().first().map_or(0, |t| t.dims().first().copied().unwrap_or(0))
    }

    /// The memory of `streams` alone, in that order.
    ///
    /// # Errors
    /// When a stream is not in the batch.
    fn select(&self, streams: &[u32]) -> Result<Self> {
        let picked = self
            .tensors()
            .into_iter()
            .map(|t| t.index_select(&Tensor::new(streams, t.device())?, 0))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.with_tensors(picked))
    }

    /// Streams of `self` followed by those of `other`.
    ///
    /// # Errors
    /// When the two are states of different modules.
    fn join(&self, other: &Self) -> Result<Self> {
        let joined = self
            .tensors()
            .into_iter()
            .zip(other.tensors())
            .map(|(a, b)| Tensor::cat(&[a, b], 0))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.with_tensors(joined))
    }

    /// The state with the memory of `streams` replaced by the rows of `part`, in that order.
    ///
    /// # Errors
    /// When a stream is not in the batch or the shapes do not fit.
    fn replace(&self, streams: &[u32], part: &Self) -> Result<Self> {
        let batch = self.batch();
        let mut order: Vec<u32> = (0..batch as u32).collect();
        for (row, &stream) in streams.iter().enumerate() {
            match order.get_mut(stream as usize) {
                Some(slot) => *slot = (batch + row) as u32,
                None => candle_core::bail!("stream {stream} is not in a batch of {batch}"),
            }
        }
        self.join(part)?.select(&order)
    }

    /// The batch without stream `stream`; the streams after it move down by one.
    ///
    /// # Errors
    /// When the stream is not in the batch.
    fn leave(&self, stream: u32) -> Result<Self> {
        let batch = self.batch() as u32;
        if stream >= batch {
            candle_core::bail!("stream {stream} is not in a batch of {batch}");
        }
        let rest: Vec<u32> = (0..batch).filter(|&s| s != stream).collect();
        if rest.is_empty() {
            let none = self
                .tensors()
                .into_iter()
                .map(|t| {
                    let mut dims = t.dims().to_vec();
                    if let Some(first) = dims.first_mut() {
                        *first = 0;
                    }
                    Tensor::zeros(dims, t.dtype(), t.device())
                })
                .collect::<Result<Vec<_>>>()?;
            return Ok(self.with_tensors(none));
        }
        self.select(&rest)
    }
}

/// A causal module: immutable weights, shared by all streams, and a separate state.
pub trait StreamingModule {
    /// State of the module between pieces.
    type State: BatchState;

    /// Stride and receptive field.
    fn geometry(&self) -> Geometry;

    /// The state before the first sample of `batch` streams: silence.
    ///
    /// # Errors
    /// When the device cannot hold it.
    fn zero_state(&self, batch: usize) -> Result<Self::State>;

    /// The next piece of every stream of the batch, `[batch, time, channels]`, `time` a multiple of the
    /// stride; the outputs that it completes, `[batch, time / stride, channels_out]`.
    ///
    /// # Errors
    /// When shapes do not fit, or `time` is not a multiple of the stride.
    fn step(&self, xs: &Tensor, state: &mut Self::State) -> Result<Tensor>;

    /// A whole clip at once, with silence before its first sample.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut state = self.zero_state(xs.dim(0)?)?;
        self.step(xs, &mut state)
    }
}
