//! Normalisation of every channel by running statistics of the site.

use candle_core::{DType, Device, Result, Tensor};

use super::{BatchState, Geometry, StreamingModule};
use crate::units::FRAME_RATE;

/// Frames that the statistics given at the start count for.
const PRIOR_FRAMES: f64 = 200.0;

/// `y = (x − μ_u) / σ_u` for every channel of `[batch, time, channels]`, where μ_u and σ_u are the mean and the
/// deviation of the frames up to u: they start as those of the corpus, which count for 2 s, and move to those of the
/// site, with a memory of `seconds`. This removes the constant response of microphone and room.
///
/// Causal, with the statistics in the state; `seconds = 0` keeps those of the corpus for ever.
#[derive(Debug, Clone)]
pub struct RunningNorm {
    mean: Tensor,
    variance: Tensor,
    /// Least weight of a new frame; 0 where nothing is learnt.
    least: f64,
}

/// Mean and variance, `[batch, channels]`, and the frames that they count for, `[batch, 1]`, of each stream.
#[derive(Debug, Clone)]
pub struct RunningNormState {
    mean: Tensor,
    variance: Tensor,
    frames: Tensor,
}

impl BatchState for RunningNormState {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.mean, &self.variance, &self.frames]
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Self {
        let mut tensors = tensors.into_iter();
        match (tensors.next(), tensors.next(), tensors.next()) {
            (Some(mean), Some(variance), Some(frames)) => Self { mean, variance, frames },
            _ => self.clone(),
        }
    }
}

impl RunningNorm {
    /// Statistics of the corpus for each channel (deviations above 0), and the memory in seconds.
    ///
    /// # Errors
    /// When the two differ in length, or the device cannot hold them.
    pub fn new(mean: &[f32], deviation: &[f32], seconds: u32, device: &Device) -> Result<Self> {
        if mean.len() != deviation.len() || mean.is_empty() {
            candle_core::bail!("{} means and {} deviations of channels", mean.len(), deviation.len());
        }
        let row = |values: Vec<f32>| Tensor::from_vec(values, (1, mean.len()), device);
        let memory = f64::from(seconds * FRAME_RATE);
        Ok(Self {
            mean: row(mean.to_vec())?,
            variance: row(deviation.iter().map(|d| d * d).collect())?,
            least: if seconds == 0 { 0.0 } else { 1.0 / memory.max(PRIOR_FRAMES) },
        })
    }
}

impl RunningNorm {
    /// Added to a running variance.
    pub const LEAST_VARIANCE: f64 = 1e-4;

    /// Least weight of a new frame; 0 where nothing is learnt.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.least
    }
}

impl StreamingModule for RunningNorm {
    type State = RunningNormState;

    fn geometry(&self) -> Geometry {
        Geometry { stride: 1, receptive_field: 1 }
    }

    fn zero_state(&self, batch: usize) -> Result<RunningNormState> {
        let wide = |t: &Tensor| t.repeat((batch, 1));
        Ok(RunningNormState {
            mean: wide(&self.mean)?,
            variance: wide(&self.variance)?,
            frames: Tensor::full(PRIOR_FRAMES as f32, (batch, 1), self.mean.device())?
                .to_dtype(DType::F32)?,
        })
    }

    fn step(&self, xs: &Tensor, state: &mut RunningNormState) -> Result<Tensor> {
        let time = xs.dim(1)?;
        if self.least == 0.0 {
            let deviation = state.variance.sqrt()?.unsqueeze(1)?;
            return xs.broadcast_sub(&state.mean.unsqueeze(1)?)?.broadcast_div(&deviation);
        }
        let most = (1.0 / self.least) as f32;
        let mut frames = Vec::with_capacity(time);
        for t in 0..time {
            let x = xs.narrow(1, t, 1)?.squeeze(1)?;
            state.frames = (&state.frames + 1.0)?.minimum(most)?;
            let weight = state.frames.recip()?;
            // the moments of a growing, then fading sample (West 1979)
            let off = (&x - &state.mean)?;
            state.mean = (&state.mean + off.broadcast_mul(&weight)?)?;
            let grown = (&state.variance + off.sqr()?.broadcast_mul(&weight)?)?;
            state.variance = grown.broadcast_mul(&(1.0 - &weight)?)?;
            frames.push(((x - &state.mean)? / (&state.variance + Self::LEAST_VARIANCE)?.sqrt()?)?);
        }
        Tensor::stack(&frames, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use proptest::prelude::*;

    fn norm(seconds: u32) -> RunningNorm {
        RunningNorm::new(&[0.5, -1.0, 0.0], &[1.0, 2.0, 0.5], seconds, &Device::Cpu).unwrap()
    }

    proptest! {
        #[test]
        fn steps_equal_forward(seed: u64, seconds in 0u32..5, pieces in cuttings()) {
            let xs = noise(seed, &[2, 20, 3]);
            prop_assert!(difference_of_pieces(&norm(seconds), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn later_frames_change_no_earlier_one(seed: u64, seconds in 0u32..5, at in 0usize..20) {
            assert_causal(&norm(seconds), &noise(seed, &[1, 20, 3]), at).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&norm(3), &noise(2, &[4, 10, 3])).unwrap();
    }

    #[test]
    fn site_statistics_replace_those_of_the_corpus() {
        // a site 10 above the corpus, with three times its deviation
        let xs = ((noise(3, &[1, 4000, 3]) * 6.0).unwrap() + 10.0).unwrap();
        let last = |seconds: u32| {
            let ys = norm(seconds).forward(&xs).unwrap().narrow(1, 3000, 1000).unwrap();
            let mean = ys.mean((0, 1)).unwrap().to_vec1::<f32>().unwrap();
            let square = ys.sqr().unwrap().mean((0, 1)).unwrap().to_vec1::<f32>().unwrap();
            (mean, square)
        };
        let (mean, square) = last(10);
        assert!(mean.iter().all(|m| m.abs() < 0.15), "{mean:?}");
        assert!(square.iter().all(|s| (s - 1.0).abs() < 0.2), "{square:?}");
        assert!(last(0).0.iter().all(|&m| m > 4.0), "0 seconds keep the corpus");
    }
}
