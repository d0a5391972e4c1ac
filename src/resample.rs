//! From the device rate to the model rate.
//!
//! A synchronous FFT resampler ([`rubato::Fft`]) in chunks of 10 ms (20 ms at 44.1 kHz). Its delay is taken off the output, so
//! output sample `m` stands at time `m / 16000` of the stream just as input sample `n` stands at `n / rate`; what
//! it costs is waiting: an output sample leaves [`StreamResampler::latency_samples`] after its input at most.

/// A whole clip at [`MODEL_RATE`].
///
/// # Errors
/// Like [`StreamResampler::new`].
pub fn resample_clip(samples: &[f32], rate: u32) -> Result<Vec<f32>> {
    let mut resampler = StreamResampler::new(rate)?;
    let mut out = Vec::with_capacity(to_model_samples(samples.len() as u64, rate) as usize + 1);
    resampler.push(samples, &mut out)?;
    resampler.flush(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use crate::error::{Error, Result};
use crate::ring::RATES;
use crate::units::MODEL_RATE;

/// Chunks a second that are aimed at; the resampler rounds to what the ratio of the rates allows.
const CHUNKS_PER_SECOND: usize = 100;
/// Shorter chunks make too short a filter (this concerns rates below 16 kHz).
const SHORTEST_CHUNK: usize = 160;

/// One stream on its way from the rate of its source to [`MODEL_RATE`].
///
/// However the input is cut, the output is the same to the bit. Nothing is allocated in [`StreamResampler::push`]
/// beyond what the output vector needs to grow.
#[derive(Debug)]
pub struct StreamResampler {
    rate: u32,
    inner: Option<Fft<f32>>,
    /// Input that does not fill a chunk yet.
    waiting: Vec<f32>,
    chunk: usize,
    produced: Vec<f32>,
    /// Output samples still to drop: the delay.
    skip: usize,
    taken: u64,
    given: u64,
}

impl StreamResampler {
    /// A resampler from `rate` Hz; at [`MODEL_RATE`] samples pass through untouched. Costly: build one a rate
    /// and [`reset`](Self::reset) it.
    ///
    /// # Errors
    /// A device error for a rate outside [`crate::ring::RATES`].
    pub fn new(rate: u32) -> Result<Self> {
        let refused = |why: String| {
            Error::device(
                format!("cannot resample from {rate} Hz to {MODEL_RATE} Hz: {why}"),
                "choose a rate of 16000 or 48000 Hz in the source's settings",
            )
        };
        if !RATES.contains(&rate) {
            return Err(refused(format!("rates from {} to {} Hz are accepted", RATES.start(), RATES.end())));
        }
        let mut resampler = Self {
            rate,
            inner: None,
            waiting: Vec::new(),
            chunk: 0,
            produced: Vec::new(),
            skip: 0,
            taken: 0,
            given: 0,
        };
        if rate != MODEL_RATE {
            let inner = Fft::new_custom(
                rate as usize,
                MODEL_RATE as usize,
                chunk_size(rate as usize),
                /* sub-chunks */ 1,
                /* channels */ 1,
                WindowFunction::BlackmanHarris2,
                FixedSync::Both,
            )
            .map_err(|e| refused(e.to_string()))?;
            resampler.chunk = inner.input_frames_next();
            resampler.waiting.reserve_exact(resampler.chunk);
            resampler.produced = vec![0.0; inner.output_frames_max()];
            resampler.skip = inner.output_delay();
            resampler.inner = Some(inner);
        }
        Ok(resampler)
    }

    /// The input rate in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The filter's delay, in samples at [`MODEL_RATE`]. It is taken off the output already.
    #[must_use]
    pub fn delay_samples(&self) -> usize {
        self.inner.as_ref().map_or(0, Resampler::output_delay)
    }

    /// How long a sample may wait here, in samples at [`MODEL_RATE`]: a chunk and the filter's delay.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.produced.len() + self.delay_samples()
    }

    /// Takes any number of samples and appends what is ready to `out`.
    ///
    /// # Errors
    /// An internal error if the resampler refuses its own chunk size.
    pub fn push(&mut self, mut input: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.taken += input.len() as u64;
        let before = out.len();
        if self.inner.is_none() {
            out.extend_from_slice(input);
        } else {
            while self.waiting.len() + input.len() >= self.chunk {
                let (now, later) = input.split_at(self.chunk - self.waiting.len());
                self.waiting.extend_from_slice(now);
                input = later;
                self.process(out)?;
            }
            self.waiting.extend_from_slice(input);
        }
        self.given += (out.len() - before) as u64;
        Ok(())
    }

    /// Ends the stream, or the piece before a gap: appends what is still inside, so that `n` samples in all gave
    /// exactly `round(n · 16000 / rate)`, and resets.
    ///
    /// # Errors
    /// Like [`StreamResampler::push`].
    pub fn flush(&mut self, out: &mut Vec<f32>) -> Result<()> {
        if self.inner.is_some() {
            let total = to_model_samples(self.taken, self.rate);
            let end = out.len() + usize::try_from(total.saturating_sub(self.given)).unwrap_or(usize::MAX);
            while out.len() < end {
                self.waiting.resize(self.chunk, 0.0);
                self.process(out)?;
            }
            out.truncate(end);
        }
        self.reset();
        Ok(())
    }

    /// Forgets all samples, as if new.
    pub fn reset(&mut self) {
        self.waiting.clear();
        (self.taken, self.given) = (0, 0);
        if let Some(inner) = &mut self.inner {
            inner.reset();
            self.skip = inner.output_delay();
        }
    }

    fn process(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        let room = self.produced.len();
        let fault = |e: &dyn std::fmt::Display| Error::internal(format!("resampling failed: {e}"));
        let input = InterleavedSlice::new(&self.waiting, 1, self.chunk).map_err(|e| fault(&e))?;
        let mut output = InterleavedSlice::new_mut(&mut self.produced, 1, room).map_err(|e| fault(&e))?;
        let (_, count) = inner.process_into_buffer(&input, &mut output, None).map_err(|e| fault(&e))?;
        self.waiting.clear();
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        out.extend_from_slice(&self.produced[skipped..count]);
        Ok(())
    }
}

/// Input samples a chunk: whole periods of the ratio of the rates, and even, because the filter of an odd chunk
/// is centred between two samples and its delay cannot be taken off exactly (11,025 and 44,100 Hz).
fn chunk_size(rate: usize) -> usize {
    let (mut a, mut b) = (rate, MODEL_RATE as usize);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let period = rate / a;
    let step = if period.is_multiple_of(2) { period } else { 2 * period };
    (rate / CHUNKS_PER_SECOND).max(SHORTEST_CHUNK).next_multiple_of(step)
}

/// `samples` at `rate` Hz as samples at [`MODEL_RATE`], rounded to the nearest: the length of a gap on the model's
/// clock.
#[must_use]
pub fn to_model_samples(samples: u64, rate: u32) -> u64 {
    let (rate, model) = (u128::from(rate.max(1)), u128::from(MODEL_RATE));
    u64::try_from((2 * u128::from(samples) * model + rate) / (2 * rate)).unwrap_or(u64::MAX)
}
