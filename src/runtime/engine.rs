//! Streams of samples in, readings and findings out; no threads, no clocks.

use std::sync::Arc;
use std::time::Instant;

use super::calibration_pool::{CalibrationPool, FrameJob, FrameOutcome};
use super::learning_progress::CalibrationLength;
use super::snapshot::{RecentAudio, RecentAudioConfig};
use super::{Clip, EngineOutput, StreamPipeline};
use crate::detect::{DetectConfig, Detector, DetectorModel, Input, StreamState};
use crate::error::Result;
use crate::event::{Finding, Verdict};
use crate::frame::Frame;
use crate::model::{Cpc, LiveBatch, Manifest, Stepping};
use crate::telemetry::HopTimes;
use crate::units::HOP;

/// The model and the detectors of a set of streams. The findings of a stream are a function of its samples and
/// gaps alone, however they were cut into pieces.
#[derive(Debug)]
pub struct Engine {
    pub(super) batch: LiveBatch,
    pub(super) pipelines: Vec<Option<StreamPipeline>>,
    pub(super) detect: DetectConfig,
    pub(super) detector_model: DetectorModel,
    /// Frames are an output.
    pub(super) reports_frames: bool,
    /// Frames an embedding; 0 for none.
    pool_frames: u32,
    /// The recent sound that streams keep, if any.
    keep: Option<RecentAudioConfig>,
    /// Spectrograms are an output.
    pub(super) shows: bool,
    /// The model on the CPU, for failover.
    pub(super) fallback: Option<Arc<Cpc>>,
    /// Steps after which a device failure is injected.
    pub(super) drill: Option<u64>,
    /// Findings that wait for the next report.
    pub(super) pending_findings: Vec<(usize, Finding)>,
    times: HopTimes,
    /// The model's share of them.
    steps: HopTimes,
    /// Hops in a row of a stream that are stepped together.
    hop_batch: usize,
    /// Hops are stepped one by one.
    pub(super) alone: bool,
    pub(super) hops: Vec<(usize, [f32; HOP])>,
    ready: Vec<(usize, Input)>,
    pub(super) frames: Vec<Frame>,
    pub(super) findings: Vec<Finding>,
    /// Threads of background calibration; `None` where detectors calibrate on this thread.
    pub(super) learners: Option<CalibrationPool>,
    /// Outcomes of awaited frames, to be reported.
    pub(super) back: Vec<(usize, FrameOutcome)>,
    /// Failed calibrations in a row.
    pub(super) failures: u32,
}

impl Engine {
    /// An engine without streams.
    ///
    /// # Errors
    /// When the model cannot score or the configuration is out of range.
    pub fn new(cpc: Arc<Cpc>, manifest: &Manifest, detect: DetectConfig) -> Result<Self> {
        Self::stepped(cpc, manifest, detect, Stepping::default())
    }

    /// An engine without streams that steps the model as `stepping` says.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the model cannot be stepped so.
    pub fn stepped(
        cpc: Arc<Cpc>,
        manifest: &Manifest,
        detect: DetectConfig,
        stepping: Stepping,
    ) -> Result<Self> {
        detect.validate()?;
        let detector_model =
            DetectorModel::new(manifest.frame_shape(), manifest.sha256.clone(), cpc.critic())?;
        Ok(Self::on(LiveBatch::with(cpc, stepping)?, detect, detector_model))
    }

    fn on(batch: LiveBatch, detect: DetectConfig, detector_model: DetectorModel) -> Self {
        Self {
            batch,
            pipelines: Vec::new(),
            detect,
            detector_model,
            reports_frames: false,
            pool_frames: 0,
            keep: None,
            shows: false,
            fallback: None,
            drill: None,
            pending_findings: Vec::new(),
            times: HopTimes::default(),
            steps: HopTimes::default(),
            hop_batch: 1,
            alone: false,
            hops: Vec::new(),
            ready: Vec::new(),
            frames: Vec::new(),
            findings: Vec::new(),
            learners: None,
            back: Vec::new(),
            failures: 0,
        }
    }

    /// An engine without streams for another thread, with the same settings, learners and copy of the weights; none where the
    /// device allows only one.
    ///
    /// # Errors
    /// When a thread that it needs cannot be started.
    pub fn with_same_weights(&self) -> Result<Option<Self>> {
        let Some(batch) = self.batch.with_same_weights()? else { return Ok(None) };
        Ok(Some(Self {
            reports_frames: self.reports_frames,
            pool_frames: self.pool_frames,
            keep: self.keep,
            shows: self.shows,
            hop_batch: self.hop_batch,
            alone: self.alone,
            learners: self.learners.clone(),
            ..Self::on(batch, self.detect.clone(), self.detector_model.clone())
        }))
    }

    /// Gives each frame of the model from here on ([`EngineOutput::Frame`]).
    pub fn report_frames(&mut self) {
        self.reports_frames = true;
    }

    /// Streams that are added from here on give their spectrogram ([`EngineOutput::Column`]).
    pub fn show_spectrograms(&mut self) {
        self.shows = true;
    }

    /// Gives the mean of every `frames` contexts in a row of each stream from here on; none for 0.
    pub fn pool_contexts(&mut self, frames: u32) {
        self.pool_frames = frames;
    }

    /// From here on `hops` of a stream (0 counts as 1) wait for each other and are stepped together: for a wide model on few
    /// streams that is less work, and the first of them is scored that much later.
    pub fn batch_hops(&mut self, hops: usize) {
        self.hop_batch = hops.max(1);
    }

    /// From here on each hop is stepped by itself. Sums of a product are rounded by how many rows it has: so scores of a stream
    /// are the same to the bit whatever other streams this engine has, and cost more where there are many.
    pub fn step_alone(&mut self) {
        (self.alone, self.hop_batch) = (true, 1);
    }

    /// Streams that are added from here on keep their recent sound, for clips of events.
    pub(super) fn remember(&mut self, keep: RecentAudioConfig) {
        self.keep = Some(keep);
    }

    /// Steps an unused stream a few times, so that the first hop of a real one is as fast as the next.
    ///
    /// # Errors
    /// When the device fails.
    pub fn warm_up(&mut self) -> Result<()> {
        let slot = self.batch.join(0)?;
        let hops = vec![(slot, [0.0; HOP]); self.hop_batch];
        for _ in 0..10 {
            self.batch.step(&hops[..1], &mut self.frames)?;
            self.batch.step(&hops, &mut self.frames)?;
        }
        self.frames.clear();
        self.batch.leave(slot)
    }

    /// Adds a stream of samples at `rate` Hz; one with a `known` state is watched at once.
    ///
    /// # Errors
    /// When the rate cannot be resampled, or the calibration is of another model or shape.
    pub fn add(&mut self, id: impl Into<String>, rate: u32, known: Option<StreamState>) -> Result<usize> {
        let detector = match known {
            Some(known) => Detector::with_state(&self.detect, &self.detector_model, known)?,
            None => Detector::new(&self.detect, self.detector_model.clone())?,
        };
        let slot = match self.batch.join(0) {
            Err(error) if self.fallback.is_some() => {
                self.fail_over(&error)?;
                self.batch.join(0)?
            }
            other => other?,
        };
        let mut pipeline = StreamPipeline::new(id.into(), rate, slot, detector)?;
        pipeline.recent = self.keep.map(RecentAudio::new);
        pipeline.spectrogram = self.shows.then(Default::default);
        self.pipelines.push(Some(pipeline));
        Ok(self.pipelines.len() - 1)
    }

    /// The stream, unless it has ended.
    #[must_use]
    pub fn pipeline(&self, stream: usize) -> Option<&StreamPipeline> {
        self.pipelines.get(stream)?.as_ref()
    }

    /// The model with its detector parameters.
    #[must_use]
    pub fn detector_model(&self) -> &DetectorModel {
        &self.detector_model
    }

    /// Durations of the batch's steps, without waiting.
    #[must_use]
    pub fn hop_times(&self) -> &HopTimes {
        &self.times
    }

    /// The model's share of these durations.
    #[must_use]
    pub fn step_times(&self) -> &HopTimes {
        &self.steps
    }

    /// Whether the detector of a stream is in background calibration, so that it is not available.
    #[must_use]
    pub fn learns(&self, stream: usize) -> bool {
        self.pipeline(stream).is_some_and(StreamPipeline::learns)
    }

    /// The operator's verdict on an event of a stream ([`Detector::judge`]). Waits for a detector that
    /// [learns](Self::learns).
    ///
    /// # Errors
    /// When the stream is over.
    pub fn judge(&mut self, stream: usize, number: u64, verdict: Verdict) -> Result<bool> {
        self.await_detector(stream)?;
        Ok(self.pipeline_mut(stream)?.detector.judge(number, verdict))
    }

    /// The false-alarm budget of streams that join.
    #[must_use]
    pub fn events_per_hour(&self) -> f64 {
        self.detect.events_per_hour
    }

    /// Seconds of sound that streams learn from which join.
    pub(super) fn calibration_length(&self) -> CalibrationLength {
        let provisional_s = self.detect.first_provisional();
        CalibrationLength { complete_s: self.detect.calibrate_seconds, provisional_s }
    }

    /// The last `seconds` of a stream, if it keeps its recent sound.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn last(&mut self, stream: usize, seconds: u32) -> Result<Option<Clip>> {
        Ok(self.pipeline_mut(stream)?.recent.as_ref().map(|recent| recent.last(seconds)))
    }

    /// The next samples of a stream, mono, at its rate. They are scored by the next [`run`](Self::run).
    ///
    /// # Errors
    /// When the stream is over or resampling fails.
    pub fn feed(&mut self, stream: usize, samples: &[f32]) -> Result<()> {
        let pipeline = self.pipeline_mut(stream)?;
        if !pipeline.deferred.is_empty() {
            pipeline.defer_samples(samples);
            return Ok(());
        }
        pipeline.feed(samples)
    }

    /// Scores every whole hop that waits, of each stream one at a time, or as many as it [batches](Self::batch_hops): then
    /// fewer wait on. True when there was one.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(&mut self, sink: &mut dyn FnMut(EngineOutput)) -> Result<bool> {
        self.rounds(false, None, sink)
    }

    /// [`run`](Self::run), after which no whole hop waits but for detectors that learn.
    pub(super) fn run_out(&mut self, sink: &mut dyn FnMut(EngineOutput)) -> Result<bool> {
        self.rounds(true, None, sink)
    }

    /// Takes the next hops of the streams that have `each` of them. A stream whose detector may start a background
    /// calibration gives one at a time.
    fn gather(&mut self, each: usize, single: impl Fn(&StreamPipeline) -> bool) {
        for (stream, pipeline) in self.pipelines.iter_mut().enumerate() {
            let Some(pipeline) = pipeline.as_mut().filter(|pipeline| !pipeline.learns()) else { continue };
            if pipeline.waiting() < each * HOP || (self.hop_batch > 1 && single(pipeline) != (each == 1)) {
                continue;
            }
            for _ in 0..each {
                if let Some((hop, input)) = pipeline.next_hop() {
                    self.hops.push((pipeline.slot, hop));
                    self.ready.push((stream, input));
                }
            }
        }
    }

    pub(super) fn rounds(
        &mut self,
        rest: bool,
        by: Option<Instant>,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<bool> {
        let mut any = false;
        while !any || by.is_none_or(|by| Instant::now() < by) {
            self.hops.clear();
            self.ready.clear();
            self.report_pending_findings(sink);
            self.collect_finished(sink)?;
            any |= self.do_deferred(sink)?;
            let (batch, aside) = (self.hop_batch, self.learners.is_some());
            let learns = |pipeline: &StreamPipeline| {
                aside && (pipeline.detector.learns_within(batch) || !pipeline.deferred.is_empty())
            };
            self.gather(batch, learns);
            if self.hops.is_empty() && batch > 1 {
                self.gather(1, |pipeline| rest || learns(pipeline));
            }
            if self.hops.is_empty() {
                return Ok(any);
            }
            any = true;
            let started = Instant::now();
            self.frames.clear();
            if let Err(error) = self.step() {
                self.fail_over(&error)?;
                self.frames.clear();
                self.step()?;
            }
            self.steps.push(started.elapsed());
            self.report_pending_findings(sink);
            let ready = std::mem::take(&mut self.ready);
            let mut frames = std::mem::take(&mut self.frames);
            let hops = std::mem::take(&mut self.hops);
            for ((&(stream, input), frame), (_, hop)) in ready.iter().zip(frames.drain(..)).zip(&hops) {
                self.score(stream, (frame, hop), input, sink)?;
            }
            (self.ready, self.frames, self.hops) = (ready, frames, hops);
            self.times.push(started.elapsed());
        }
        Ok(any)
    }

    fn score(
        &mut self,
        stream: usize,
        (frame, hop): (Frame, &[f32; HOP]),
        input: Input,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<()> {
        let pool_frames = self.pool_frames;
        let pipeline = self.pipeline_mut(stream)?;
        let finite = pipeline.record(&frame);
        let pooled = match pool_frames {
            _ if !finite => {
                pipeline.pool.reset();
                None
            }
            0 => None,
            every => pipeline.pool.push(every, frame.index, &frame.c),
        };
        if let Some(recent) = &mut pipeline.recent {
            recent.push(frame.index, &frame.bands, hop);
        }
        if let Some(pooled) = pooled {
            sink(EngineOutput::Embedding { stream, pooled: Box::new(pooled) });
        }
        self.step_detector(stream, FrameJob { frame, input }, sink)
    }

    /// Reports the findings, and clips of events that have ended: of all of them unless more sound `follows`.
    pub(super) fn report(&mut self, stream: usize, follows: bool, sink: &mut dyn FnMut(EngineOutput)) {
        let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) else { return };
        self.findings.iter().for_each(|finding| pipeline.note_event(finding));
        let mut recent = pipeline.recent.as_mut();
        for finding in self.findings.drain(..) {
            if let Some(recent) = &mut recent {
                recent.record(&finding);
            }
            sink(EngineOutput::Finding { stream, finding: Box::new(finding) });
        }
        let Some(recent) = recent else { return };
        while let Some(excerpt) = recent.cut(follows) {
            sink(EngineOutput::Clip { stream, excerpt: Box::new(excerpt) });
        }
        if !follows {
            recent.forget();
        }
    }
}
