//! Streams of samples in, readings and findings out; no threads, no clocks.

use std::sync::Arc;
use std::time::Instant;

use super::learning::{Learners, Lesson, Outcome};
use super::snapshot::{Keep, Recent};
use super::{Excerpt, Heard, Lane};
use crate::detect::{DetectConfig, Detector, DetectorModel, Input, StreamState, Verdict};
use crate::error::Result;
use crate::event::Finding;
use crate::frame::Frame;
use crate::model::{Cpc, LiveBatch, Manifest, Stepping};
use crate::telemetry::HopTimes;
use crate::units::HOP;

/// The model and the detectors of a set of streams. The findings of a stream are a function of its samples and
/// gaps alone, however they were cut into pieces.
#[derive(Debug)]
pub struct Engine {
    pub(super) batch: LiveBatch,
    pub(super) lanes: Vec<Option<Lane>>,
    pub(super) detect: DetectConfig,
    pub(super) instrument: DetectorModel,
    /// Frames an embedding; 0 for none.
    pool_frames: u32,
    /// What streams remember of their sound, if anything.
    keep: Option<Keep>,
    /// The model on the CPU, for the day on which the GPU is lost.
    pub(super) spare: Option<Arc<Cpc>>,
    /// Steps after which the device fails, in a drill.
    pub(super) drill: Option<u64>,
    /// Findings that came when nobody listened.
    pub(super) orphans: Vec<(usize, Finding)>,
    times: HopTimes,
    /// The part of them that is the model's.
    steps: HopTimes,
    /// Hops in a row of a stream that are stepped together.
    hop_batch: usize,
    /// Hops are stepped one by one.
    pub(super) alone: bool,
    pub(super) hops: Vec<(usize, [f32; HOP])>,
    ready: Vec<(usize, Input)>,
    pub(super) frames: Vec<Frame>,
    pub(super) findings: Vec<Finding>,
    /// Where detectors learn; none where they do so on the spot.
    pub(super) learners: Option<Learners>,
    /// What came of frames that were waited for, to be told.
    pub(super) back: Vec<(usize, Outcome)>,
    /// Times in a row that learning failed.
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
        let instrument = DetectorModel::new(manifest.frame_shape(), manifest.sha256.clone(), cpc.critic())?;
        Ok(Self::on(LiveBatch::with(cpc, stepping)?, detect, instrument))
    }

    fn on(batch: LiveBatch, detect: DetectConfig, instrument: DetectorModel) -> Self {
        Self {
            batch,
            lanes: Vec::new(),
            detect,
            instrument,
            pool_frames: 0,
            keep: None,
            spare: None,
            drill: None,
            orphans: Vec::new(),
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
            pool_frames: self.pool_frames,
            keep: self.keep,
            hop_batch: self.hop_batch,
            alone: self.alone,
            learners: self.learners.clone(),
            ..Self::on(batch, self.detect.clone(), self.instrument.clone())
        }))
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

    /// Streams that are added from here on remember their last sound, for excerpts of events.
    pub(super) fn remember(&mut self, keep: Keep) {
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

    /// Adds a stream of samples at `rate` Hz; one of which something is `known` is watched at once.
    ///
    /// # Errors
    /// When the rate cannot be resampled, or the calibration is of another model or shape.
    pub fn add(&mut self, id: impl Into<String>, rate: u32, known: Option<StreamState>) -> Result<usize> {
        let detector = match known {
            Some(known) => Detector::with_state(&self.detect, &self.instrument, known)?,
            None => Detector::new(&self.detect, self.instrument.clone())?,
        };
        let slot = match self.batch.join(0) {
            Err(error) if self.spare.is_some() => {
                self.take_spare(&error)?;
                self.batch.join(0)?
            }
            other => other?,
        };
        let mut lane = Lane::new(id.into(), rate, slot, detector)?;
        lane.recent = self.keep.map(Recent::new);
        self.lanes.push(Some(lane));
        Ok(self.lanes.len() - 1)
    }

    /// The stream, unless it is over.
    #[must_use]
    pub fn lane(&self, stream: usize) -> Option<&Lane> {
        self.lanes.get(stream)?.as_ref()
    }

    /// Gives strips of a stream from here on, or none.
    pub fn show(&mut self, stream: usize, wanted: bool) {
        if let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) {
            lane.strip.want(wanted);
        }
    }

    /// The model, as detectors see it.
    #[must_use]
    pub fn instrument(&self) -> &DetectorModel {
        &self.instrument
    }

    /// How long steps of the batch took, without waiting.
    #[must_use]
    pub fn hop_times(&self) -> &HopTimes {
        &self.times
    }

    /// How long the model took of that.
    #[must_use]
    pub fn step_times(&self) -> &HopTimes {
        &self.steps
    }

    /// Whether the detector of a stream learns elsewhere, so that it cannot be asked just now.
    #[must_use]
    pub fn learns(&self, stream: usize) -> bool {
        self.lane(stream).is_some_and(Lane::learns)
    }

    /// The operator's verdict on an event of a stream ([`Detector::judge`]). A detector that [learns](Self::learns) is waited
    /// for.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn judge(&mut self, stream: usize, number: u64, verdict: Verdict) -> Result<bool> {
        self.await_detector(stream)?;
        Ok(self.lane_mut(stream)?.detector.judge(number, verdict))
    }

    /// The false-alarm budget of streams that join.
    #[must_use]
    pub fn events_per_hour(&self) -> f64 {
        self.detect.events_per_hour
    }

    /// Seconds of sound from which streams that join learn what is normal.
    #[must_use]
    pub fn calibrate_seconds(&self) -> f64 {
        self.detect.calibrate_seconds
    }

    /// Sets the false-alarm budget of a stream ([`Detector::set_events_per_hour`]), of one that learns elsewhere from the end
    /// of its learning on.
    ///
    /// # Errors
    /// When the stream is over, or the budget is not within 0.01 to 3600.
    pub fn set_events_per_hour(&mut self, stream: usize, events_per_hour: f64) -> Result<()> {
        self.budget_of(stream, events_per_hour)
    }

    /// The last `seconds` of a stream, where it remembers its sound.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn last(&mut self, stream: usize, seconds: u32) -> Result<Option<Excerpt>> {
        Ok(self.lane_mut(stream)?.recent.as_ref().map(|recent| recent.last(seconds)))
    }

    /// The next samples of a stream, mono, at its rate. They are scored by the next [`run`](Self::run).
    ///
    /// # Errors
    /// When the stream is over or resampling fails.
    pub fn feed(&mut self, stream: usize, samples: &[f32]) -> Result<()> {
        let lane = self.lane_mut(stream)?;
        if !lane.deferred.is_empty() {
            lane.defer_samples(samples);
            return Ok(());
        }
        lane.feed(samples)
    }

    /// Scores every whole hop that waits, of each stream one at a time, or as many as it [batches](Self::batch_hops): then
    /// fewer wait on. True when there was one.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(&mut self, sink: &mut dyn FnMut(Heard)) -> Result<bool> {
        self.rounds(false, None, sink)
    }

    /// [`run`](Self::run), after which no whole hop waits but for detectors that learn.
    pub(super) fn run_out(&mut self, sink: &mut dyn FnMut(Heard)) -> Result<bool> {
        self.rounds(true, None, sink)
    }

    /// Takes the next hops of the streams that have `each` of them. A stream whose detector may go and learn after the
    /// first of some gives one at a time.
    fn gather(&mut self, each: usize, single: impl Fn(&Lane) -> bool) {
        for (stream, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane.as_mut().filter(|lane| !lane.learns()) else { continue };
            if lane.waiting() < each * HOP || (self.hop_batch > 1 && single(lane) != (each == 1)) {
                continue;
            }
            for _ in 0..each {
                if let Some((hop, input)) = lane.next_hop() {
                    self.hops.push((lane.slot, hop));
                    self.ready.push((stream, input));
                }
            }
        }
    }

    pub(super) fn rounds(
        &mut self,
        rest: bool,
        by: Option<Instant>,
        sink: &mut dyn FnMut(Heard),
    ) -> Result<bool> {
        let mut any = false;
        while !any || by.is_none_or(|by| Instant::now() < by) {
            self.hops.clear();
            self.ready.clear();
            self.tell_orphans(sink);
            self.take_back(sink)?;
            any |= self.do_deferred(sink)?;
            let (batch, aside) = (self.hop_batch, self.learners.is_some());
            let learns =
                |lane: &Lane| aside && (lane.detector.learns_within(batch) || !lane.deferred.is_empty());
            self.gather(batch, learns);
            if self.hops.is_empty() && batch > 1 {
                self.gather(1, |lane| rest || learns(lane));
            }
            if self.hops.is_empty() {
                return Ok(any);
            }
            any = true;
            let started = Instant::now();
            self.frames.clear();
            if let Err(error) = self.step() {
                self.take_spare(&error)?;
                self.frames.clear();
                self.step()?;
            }
            self.steps.push(started.elapsed());
            self.tell_orphans(sink);
            let ready = std::mem::take(&mut self.ready);
            let mut frames = std::mem::take(&mut self.frames);
            let hops = std::mem::take(&mut self.hops);
            for ((&(stream, input), frame), (_, hop)) in ready.iter().zip(frames.drain(..)).zip(&hops) {
                self.score(stream, (frame, *hop), input, sink)?;
            }
            (self.ready, self.frames, self.hops) = (ready, frames, hops);
            self.times.push(started.elapsed());
        }
        Ok(any)
    }

    fn score(
        &mut self,
        stream: usize,
        (frame, hop): (Frame, [f32; HOP]),
        input: Input,
        sink: &mut dyn FnMut(Heard),
    ) -> Result<()> {
        let pool_frames = self.pool_frames;
        let lane = self.lane_mut(stream)?;
        let finite = lane.note(&frame);
        let pooled = match pool_frames {
            _ if !finite => {
                lane.pool.reset();
                None
            }
            0 => None,
            every => lane.pool.push(every, frame.index, &frame.c),
        };
        if let Some(recent) = &mut lane.recent {
            recent.push(frame.index, &frame.bands, &hop);
        }
        if let Some(pooled) = pooled {
            sink(Heard::Embedding { stream, pooled: Box::new(pooled) });
        }
        self.teach(stream, Lesson { frame, input }, sink)
    }

    /// Tells the findings, and excerpts of events that are over: of all of them unless more sound `follows`.
    pub(super) fn tell(&mut self, stream: usize, follows: bool, sink: &mut dyn FnMut(Heard)) {
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return };
        self.findings.iter().for_each(|finding| lane.note_event(finding));
        let mut recent = lane.recent.as_mut();
        for finding in self.findings.drain(..) {
            if let Some(recent) = &mut recent {
                recent.note(&finding);
            }
            sink(Heard::Finding { stream, finding: Box::new(finding) });
        }
        let Some(recent) = recent else { return };
        while let Some(excerpt) = recent.cut(follows) {
            sink(Heard::Excerpt { stream, excerpt: Box::new(excerpt) });
        }
        if !follows {
            recent.forget();
        }
    }
}
