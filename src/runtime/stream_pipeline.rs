//! The pipeline of one stream, from device samples to hops on the stream's clock.

use std::collections::VecDeque;

use super::calibration_pool::PendingDetector;
use super::embedding_averager::EmbeddingAverager;
use super::pending::{Deferred, PendingSettings};
use super::pipeline_figures::{PipelineCounters, PipelineFigures};
use super::snapshot::RecentAudio;
use super::spectrogram::SpectrogramBuilder;
use crate::detect::exact::{Exact, exact};
use crate::detect::{Detector, DetectorCounts, Input, InputMonitor, InputState};
use crate::error::Result;
use crate::event::{Finding, Phase};
use crate::frame::Frame;
use crate::resample::{ResamplerMemory, StreamResampler, to_model_samples};
use crate::units::{FRAME_RATE, HOP, LARGEST_SAMPLE, MODEL_RATE, is_valid_sample, samples_to_seconds};

/// Samples that waiting sound keeps room for: 1 s.
const KEPT_CAPACITY: usize = MODEL_RATE as usize;

exact!(ResamplerMemory { waiting, last, skip, taken, given });

/// A stream: its resampler, the samples that do not fill a hop yet, and its detector.
#[derive(Debug)]
pub struct StreamPipeline {
    /// Stream id.
    pub id: String,
    pub(super) slot: usize,
    /// A placeholder during a background calibration.
    pub(super) detector: Detector,
    /// The channel of its return during a background calibration, and its figures at the start of it.
    pub(super) away: Option<PendingDetector>,
    pub(super) away_figures: (DetectorCounts, Option<f64>, Option<f64>),
    pub(super) learning_failed: u64,
    /// Operations that wait until the sound before them is scored.
    pub(super) deferred: VecDeque<Deferred>,
    /// Settings for the detector's return.
    pub(super) due: PendingSettings,
    /// The ongoing event, as reported last.
    open: Option<Box<Finding>>,
    pub(super) counters: PipelineCounters,
    pub(super) pool: EmbeddingAverager,
    /// The recent sound, if it is kept.
    pub(super) recent: Option<RecentAudio>,
    /// The spectrogram, where there is a page.
    pub(super) spectrogram: Option<SpectrogramBuilder>,
    monitor: InputMonitor,
    /// Numbers of the hops to come that held invalid samples.
    invalid: VecDeque<u64>,
    /// Frames that were not finite, after each of which the model's state was reset.
    model_resets: u64,
    /// Frames in a row that have to be finite until the stream counts as usable again.
    unusable: u32,
    resampler: StreamResampler,
    rate: u32,
    /// Device samples since the start of the stream, lost ones included.
    received: u64,
    /// Samples at the model rate that wait for a hop to fill; the first `taken` are gone.
    waiting: Vec<f32>,
    taken: usize,
    /// Index of the next waiting sample on the stream's clock.
    position: u64,
}

impl StreamPipeline {
    pub(super) fn new(id: String, rate: u32, slot: usize, detector: Detector) -> Result<Self> {
        Ok(Self {
            id,
            slot,
            detector,
            away: None,
            away_figures: (DetectorCounts::default(), None, None),
            learning_failed: 0,
            deferred: VecDeque::new(),
            due: PendingSettings::default(),
            open: None,
            counters: PipelineCounters::default(),
            pool: EmbeddingAverager::default(),
            recent: None,
            spectrogram: None,
            monitor: InputMonitor::new(),
            invalid: VecDeque::new(),
            model_resets: 0,
            unusable: 0,
            resampler: StreamResampler::new(rate)?,
            rate,
            received: 0,
            waiting: Vec::new(),
            taken: 0,
            position: 0,
        })
    }

    /// Writes all that it remembers but for its detector to `out`; none where an operation waits or the resampler cannot be
    /// resumed. Counters of samples, recent sound for clips and the spectrogram are left out.
    pub(super) fn write_memory(&self, out: &mut Vec<u8>) -> Option<()> {
        let idle = self.away.is_none() && self.deferred.is_empty();
        idle.then_some(())?;
        self.rate.write(out);
        self.resampler.memory()?.write(out);
        self.waiting.get(self.taken..).unwrap_or_default().to_vec().write(out);
        (self.received, self.position).write(out);
        (self.model_resets, self.unusable).write(out);
        self.invalid.write(out);
        self.monitor.write(out);
        self.pool.write(out);
        self.open.as_ref().and_then(|open| serde_json::to_string(open).ok()).write(out);
        Some(())
    }

    /// A pipeline that goes on where the one was that [wrote](Self::write_memory) this; none where it is damaged.
    pub(super) fn resume(id: String, slot: usize, detector: Detector, from: &mut &[u8]) -> Option<Self> {
        let mut pipeline = Self::new(id, u32::read(from)?, slot, detector).ok()?;
        pipeline.resampler.resume(&Exact::read(from)?).ok()?;
        pipeline.waiting = Exact::read(from)?;
        (pipeline.received, pipeline.position) = Exact::read(from)?;
        // counters are those of this process
        pipeline.counters.resampled = pipeline.waiting.len() as u64;
        (pipeline.model_resets, pipeline.unusable) = Exact::read(from)?;
        pipeline.invalid = Exact::read(from)?;
        pipeline.monitor = Exact::read(from)?;
        pipeline.pool = Exact::read(from)?;
        let open = Option::<String>::read(from)?;
        pipeline.open = open.map(|json| serde_json::from_str(&json)).transpose().ok()?;
        Some(pipeline)
    }

    /// Sample rate of the device, Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The detector.
    #[must_use]
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Counters of the samples.
    #[must_use]
    pub fn counters(&self) -> PipelineCounters {
        self.counters
    }

    /// All figures.
    #[must_use]
    pub fn figures(&self) -> PipelineFigures {
        let (detector, threshold, budget) =
            if self.learns() { self.away_figures } else { self.detector_figures() };
        PipelineFigures {
            samples: self.counters,
            input: if self.unusable > 0 { InputState::Invalid } else { self.monitor.state() },
            model_resets: self.model_resets,
            hops: self.monitor.counts(),
            detector,
            threshold,
            budget_per_hour: self.due.budget().or(budget),
            muted: 0,
            learning_failed: self.learning_failed,
        }
    }

    /// Counters, threshold and budget of its detector.
    pub(super) fn detector_figures(&self) -> (DetectorCounts, Option<f64>, Option<f64>) {
        let detector = &self.detector;
        (detector.counts(), detector.threshold(), Some(detector.events_per_hour()))
    }

    /// Stores the ongoing event.
    pub(super) fn note_event(&mut self, finding: &Finding) {
        self.open = (finding.phase != Phase::End).then(|| Box::new(finding.clone()));
    }

    /// Whether an event is ongoing, as reported so far.
    pub(super) fn in_event(&self) -> bool {
        self.open.is_some()
    }

    /// The end of the ongoing event, where its detector cannot report it any more.
    pub(super) fn end_of_event(&mut self) -> Option<Finding> {
        let mut last = *self.open.take()?;
        let end = self.position.max(last.onset_sample);
        (last.phase, last.offset_sample, last.offset_s) =
            (Phase::End, Some(end), Some(samples_to_seconds(end)));
        last.emitted_s = samples_to_seconds(end);
        last.grade();
        Some(last)
    }

    /// Records whether the model's output for the last hop was finite; true where it was.
    pub(super) fn record(&mut self, frame: &Frame) -> bool {
        let finite = frame.is_finite();
        self.unusable = if finite { self.unusable.saturating_sub(1) } else { FRAME_RATE };
        self.model_resets += u64::from(!finite);
        finite
    }

    /// Samples at the model rate that wait to be scored.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() - self.taken
    }

    /// Whether its detector is in background calibration, so that its hops wait.
    pub(super) fn learns(&self) -> bool {
        self.away.is_some()
    }

    /// Whether all sound is scored, so that an operation can be done at once.
    pub(super) fn is_idle(&self) -> bool {
        !self.learns() && self.deferred.is_empty() && self.waiting() < HOP
    }

    /// Seconds of waiting sound.
    pub(super) fn waiting_s(&self) -> f64 {
        let behind: f64 = self
            .deferred
            .iter()
            .map(|deferred| match deferred {
                Deferred::Samples(samples) => samples.len() as f64 / f64::from(self.rate().max(1)),
                _ => 0.0,
            })
            .sum();
        behind + self.waiting() as f64 / f64::from(MODEL_RATE)
    }

    /// Appends samples to the waiting ones.
    pub(super) fn defer_samples(&mut self, samples: &[f32]) {
        match self.deferred.back_mut() {
            Some(Deferred::Samples(kept)) => kept.extend_from_slice(samples),
            _ => self.deferred.push_back(Deferred::Samples(samples.to_vec())),
        }
    }

    pub(super) fn feed(&mut self, samples: &[f32]) -> Result<()> {
        self.waiting.drain(..self.taken);
        self.taken = 0;
        if self.waiting.len() < KEPT_CAPACITY && self.waiting.capacity() > 4 * KEPT_CAPACITY {
            // minutes of sound waited for a calibration
            self.waiting.shrink_to(KEPT_CAPACITY);
        }
        let before = self.waiting.len();
        if samples.iter().all(|&x| is_valid_sample(x)) {
            self.resampler.push(samples, &mut self.waiting)?;
        } else {
            let clean = self.without_invalid(samples);
            self.resampler.push(&clean, &mut self.waiting)?;
        }
        self.received += samples.len() as u64;
        self.counters.resampled += (self.waiting.len() - before) as u64;
        self.align();
        Ok(())
    }

    /// The samples with 0 for invalid ones, whose hops are recorded: a resampler would spread them, or panic.
    fn without_invalid(&mut self, samples: &[f32]) -> Vec<f32> {
        let invalid = samples.iter().enumerate().filter(|(_, x)| !is_valid_sample(**x));
        for (at, _) in invalid {
            let hop = to_model_samples(self.received + at as u64, self.rate) / HOP as u64;
            if self.invalid.back() != Some(&hop) {
                self.invalid.push_back(hop);
            }
        }
        samples.iter().map(|&x| if is_valid_sample(x) { x } else { 0.0 }).collect()
    }

    /// Samples were lost: waiting samples fill no hop any more, and the clock continues after the gap. Returns the
    /// number of the next frame.
    pub(super) fn gap(&mut self, lost: u64, rate: u32) -> Result<u64> {
        self.counters.gaps += 1;
        self.pool.reset();
        self.counters.lost += lost;
        self.shed_waiting();
        self.received += lost;
        if rate == self.rate {
            self.resampler.reset();
        } else {
            self.received = rescale(self.received, self.rate, rate);
            self.rate = rate;
            self.resampler = StreamResampler::new(rate)?;
        }
        self.position = self.position.max(to_model_samples(self.received, self.rate));
        Ok(self.position.div_ceil(HOP as u64))
    }

    /// Ends the stream: the resampler is flushed.
    pub(super) fn flush(&mut self) -> Result<()> {
        let before = self.waiting.len();
        self.resampler.flush(&mut self.waiting)?;
        self.counters.resampled += (self.waiting.len() - before) as u64;
        self.align();
        Ok(())
    }

    pub(super) fn shed_waiting(&mut self) {
        let left = self.waiting.len() - self.taken;
        self.counters.shed += left as u64;
        self.position += left as u64;
        self.waiting.clear();
        self.taken = 0;
    }

    /// Hops start at multiples of 160 on the stream's clock: after a gap, samples before the next one are shed.
    fn align(&mut self) {
        let off = (self.position % HOP as u64) as usize;
        if off > 0 {
            let skip = (HOP - off).min(self.waiting.len() - self.taken);
            self.taken += skip;
            self.position += skip as u64;
            self.counters.shed += skip as u64;
        }
    }

    /// The next hop, and the state of the input by its samples. Invalid samples are 0 in it: they would corrupt the
    /// model's state for good.
    pub(super) fn next_hop(&mut self) -> Option<([f32; HOP], Input)> {
        let mut hop: [f32; HOP] = self.waiting.get(self.taken..self.taken + HOP)?.try_into().ok()?;
        let number = self.position / HOP as u64;
        self.taken += HOP;
        self.position += HOP as u64;
        self.counters.scored += HOP as u64;
        while self.invalid.front().is_some_and(|&invalid| invalid < number) {
            self.invalid.pop_front();
        }
        let invalid = self.invalid.front() == Some(&number);
        let received: &[f32] = if invalid { &[f32::NAN] } else { &hop };
        self.monitor.push(received);
        // a filter may overshoot
        hop.iter_mut().for_each(|x| *x = x.clamp(-LARGEST_SAMPLE, LARGEST_SAMPLE));
        Some((hop, self.monitor.input()))
    }
}

/// `count` samples at `from` Hz in samples at `to` Hz, to the nearest.
fn rescale(count: u64, from: u32, to: u32) -> u64 {
    let scaled = (u128::from(count) * u128::from(to) + u128::from(from) / 2) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
