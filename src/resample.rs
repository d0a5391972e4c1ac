//! From the device rate to the model rate.
//!
//! A synchronous FFT resampler ([`rubato::Fft`]) in chunks of 10 ms (20 ms at 44.1 kHz). Rates whose ratio to
//! [`MODEL_RATE`] has a long period, like 44,099 Hz, would need chunks of up to seconds: they go by windowed sincs
//! ([`rubato::Async`]) in chunks of 10 ms. The delay of either is taken off the output, so
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
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Resampler, ResamplerConstructionError, SincInterpolationParameters,
    WindowFunction,
};

use crate::error::{Error, Result};
use crate::ring::RATES;
use crate::units::MODEL_RATE;

/// Chunks a second that are aimed at; the resampler rounds to what the ratio of the rates allows.
const CHUNKS_PER_SECOND: usize = 100;
/// Shorter chunks make too short a filter (this concerns rates below 16 kHz).
const SHORTEST_CHUNK: usize = 160;
/// Chunks of a longer part of a second are not worth waiting for.
const LONGEST_CHUNK_S: f64 = 0.1;
/// Samples of the sinc at the lower of the two rates.
const SINC: usize = 128;

/// One stream on its way from the rate of its source to [`MODEL_RATE`].
///
/// However the input is cut, the output is the same to the bit. Nothing is allocated in [`StreamResampler::push`]
/// beyond what the output vector needs to grow.
pub struct StreamResampler {
    rate: u32,
    inner: Option<Inner>,
    /// Input that does not fill a chunk yet.
    waiting: Vec<f32>,
    chunk: usize,
    produced: Vec<f32>,
    /// Zeros before the first sample, and output samples to drop then, so that what follows stands in its place.
    lead: Lead,
    /// Output samples still to drop: the delay.
    skip: usize,
    taken: u64,
    given: u64,
    /// The chunk that was processed last; empty before the first.
    last: Vec<f32>,
}

impl std::fmt::Debug for StreamResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, chunk, taken, given, .. } = self;
        write!(f, "StreamResampler {{ rate: {rate}, chunk: {chunk}, taken: {taken}, given: {given} }}")
    }
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
            lead: Lead::default(),
            skip: 0,
            taken: 0,
            given: 0,
            last: Vec::new(),
        };
        if rate != MODEL_RATE {
            let (inner, lead) = inner(rate as usize).map_err(|e| refused(e.to_string()))?;
            resampler.chunk = inner.input_frames_next();
            resampler.waiting.reserve_exact(resampler.chunk);
            resampler.last.reserve_exact(resampler.chunk);
            resampler.produced = vec![0.0; inner.output_frames_max()];
            resampler.waiting.resize(lead.zeros, 0.0);
            (resampler.lead, resampler.skip) = (lead, lead.skip);
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
        self.inner.as_ref().map_or(0, |inner| inner.output_delay())
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
        self.last.clear();
        self.waiting.resize(self.lead.zeros, 0.0);
        (self.taken, self.given) = (0, 0);
        if let Some(inner) = &mut self.inner {
            inner.reset();
            self.skip = self.lead.skip;
        }
    }

    /// All that it remembers: for [`resume`](Self::resume). None for rates that go by windowed sincs, whose position between two
    /// samples has no copy.
    #[must_use]
    pub fn memory(&self) -> Option<ResamplerMemory> {
        let is_exact = self.inner.is_none() || goes_by_transform(self.rate as usize);
        let &Self { ref waiting, ref last, skip, taken, given, .. } = self;
        let (waiting, last) = (waiting.clone(), last.clone());
        is_exact.then_some(ResamplerMemory { waiting, last, skip, taken, given })
    }

    /// Goes on where one of the same rate was that had this [`memory`](Self::memory): what a transform adds to the next chunk
    /// follows from the last one.
    ///
    /// # Errors
    /// When the memory is of another rate.
    pub fn resume(&mut self, memory: &ResamplerMemory) -> Result<()> {
        let ResamplerMemory { waiting, last, skip, taken, given } = memory;
        if waiting.len() > self.chunk || !(last.is_empty() || last.len() == self.chunk) {
            return Err(Error::internal(format!("the memory of a resampler is not one at {} Hz", self.rate)));
        }
        self.reset();
        if !last.is_empty() {
            self.waiting.clone_from(last);
            self.process(&mut Vec::new())?;
        }
        self.waiting.clone_from(waiting);
        (self.skip, self.taken, self.given) = (*skip, *taken, *given);
        Ok(())
    }

    fn process(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        // the transform panics over what is no number
        self.waiting.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        let room = self.produced.len();
        let fault = |e: &dyn std::fmt::Display| Error::internal(format!("resampling failed: {e}"));
        let input = InterleavedSlice::new(&self.waiting, 1, self.chunk).map_err(|e| fault(&e))?;
        let mut output = InterleavedSlice::new_mut(&mut self.produced, 1, room).map_err(|e| fault(&e))?;
        let (_, count) = inner.process_into_buffer(&input, &mut output, None).map_err(|e| fault(&e))?;
        std::mem::swap(&mut self.waiting, &mut self.last);
        self.waiting.clear();
        let skipped = self.skip.min(count);
        self.skip -= skipped;
        out.extend_from_slice(&self.produced[skipped..count]);
        Ok(())
    }
}

/// What a [`StreamResampler`] remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct ResamplerMemory {
    /// Samples that do not fill a chunk yet.
    pub waiting: Vec<f32>,
    /// The chunk that was processed last; empty before the first.
    pub last: Vec<f32>,
    /// Output samples still to drop.
    pub skip: usize,
    /// Samples taken.
    pub taken: u64,
    /// Samples given.
    pub given: u64,
}

/// Padding before the first sample.
#[derive(Debug, Clone, Copy, Default)]
struct Lead {
    zeros: usize,
    skip: usize,
}

type Inner = Box<dyn Resampler<f32> + Send>;

/// A resampler from `rate` Hz, whose chunks are short.
fn inner(rate: usize) -> std::result::Result<(Inner, Lead), ResamplerConstructionError> {
    let (model, chunk, channels) = (MODEL_RATE as usize, chunk_size(rate), 1);
    let window = WindowFunction::BlackmanHarris2;
    if goes_by_transform(rate) {
        let sub_chunks = 1;
        let inner = Fft::new_custom(rate, model, chunk, sub_chunks, channels, window, FixedSync::Both)?;
        let lead = Lead { zeros: 0, skip: inner.output_delay() };
        return Ok((Box::new(inner), lead));
    }
    // the cutoff is relative to the lower rate, the length of the sinc to the input's
    let length = SINC * rate.div_ceil(model);
    let parameters = SincInterpolationParameters::new(length, window);
    let (chunk, largest_change) = ((rate / CHUNKS_PER_SECOND).max(1), 1.0);
    let (step, ratio) = (rate as f64 / model as f64, model as f64 / rate as f64);
    let inner = Async::new_sinc(ratio, largest_change, &parameters, chunk, channels, FixedAsync::Input)?;
    // The first output stands `step - length / 2` after the first input, but for one part of the oversampled sinc, and the
    // others a step each after it. So many zeros before the input make one of them fall on it, but for a small part of a
    // sample.
    let part = 1.0 / parameters.oversampling_factor as f64;
    let steps = |zeros: usize| ((length / 2 + zeros) as f64 - part) / step - 1.0;
    let off = |zeros: &usize| (steps(*zeros) - steps(*zeros).round()).abs();
    let zeros = (0..chunk).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0);
    Ok((Box::new(inner), Lead { zeros, skip: steps(zeros).round().max(0.0) as usize }))
}

/// Whether chunks go by a transform, so that nothing but the last chunk reaches into the next one.
fn goes_by_transform(rate: usize) -> bool {
    chunk_size(rate) as f64 <= LONGEST_CHUNK_S * rate as f64
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
