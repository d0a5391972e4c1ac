//! Operations on a stream during a background calibration: they wait in order behind the sound before them.

use std::time::{Duration, Instant};

use super::pending::{Deferred, PendingSettings};
use super::{Engine, EngineOutput, PipelineCounters, StreamPipeline};
use crate::detect::{DetectConfig, Detector};
use crate::error::{Error, Result};
use crate::units::HOP;

/// Sound of a stream that waits for its detector at most, seconds; more is left in the ring.
const WAITING_S: f64 = 300.0;
/// The same where the detector is there and the source waits until its sound is taken.
const WAITING_FOR_SCORES_S: f64 = 10.0;

impl Engine {
    /// Whether a stream's sound should stay in its ring, since enough of it waits here. A `patient` source loses nothing by that.
    #[must_use]
    pub fn is_full(&self, stream: usize, patient: bool) -> bool {
        self.pipeline(stream).is_some_and(|pipeline| {
            let most = if patient && !pipeline.learns() { WAITING_FOR_SCORES_S } else { WAITING_S };
            !pipeline.is_idle() && pipeline.waiting_s() > most
        })
    }

    /// Whether all sound and operations of a stream are done, so that [`end`](Self::end) need not wait.
    #[must_use]
    pub fn is_idle(&self, stream: usize) -> bool {
        self.pipeline(stream).is_none_or(StreamPipeline::is_idle)
    }

    /// Seconds of sound of a stream that are not scored yet.
    #[must_use]
    pub fn waiting_s(&self, stream: usize) -> f64 {
        self.pipeline(stream).map_or(0.0, StreamPipeline::waiting_s)
    }

    /// Whether operations on a stream have to wait, as they do with background calibration.
    pub(super) fn defers(&self, stream: usize) -> bool {
        self.learners.is_some() && self.pipeline(stream).is_some_and(|pipeline| !pipeline.is_idle())
    }

    pub(super) fn defer(&mut self, stream: usize, what: Deferred) -> Result<()> {
        self.pipeline_mut(stream)?.deferred.push_back(what);
        Ok(())
    }

    /// No more samples of a stream follow: the resampler gives what it still holds, which the next [`run`](Self::run)
    /// scores.
    ///
    /// # Errors
    /// When the stream is over or resampling fails.
    pub fn finish(&mut self, stream: usize) -> Result<()> {
        if self.defers(stream) {
            self.defer(stream, Deferred::Finish)
        } else {
            self.pipeline_mut(stream)?.flush()
        }
    }

    /// Does the operations whose sound before them is scored. True where there was one.
    pub(super) fn do_deferred(&mut self, sink: &mut dyn FnMut(EngineOutput)) -> Result<bool> {
        let mut any = false;
        for stream in 0..self.pipelines.len() {
            loop {
                let pipeline = self.pipelines.get_mut(stream).and_then(Option::as_mut);
                let Some(pipeline) =
                    pipeline.filter(|pipeline| !pipeline.learns() && pipeline.waiting() < HOP)
                else {
                    break;
                };
                let Some(next) = pipeline.deferred.pop_front() else { break };
                any = true;
                match next {
                    Deferred::Samples(samples) => pipeline.feed(&samples)?,
                    Deferred::Finish => pipeline.flush()?,
                    Deferred::Gap { lost, rate } => self.break_stream(stream, lost, rate, sink)?,
                    Deferred::Recalibrate => self.restart_calibration(stream, sink)?,
                }
            }
        }
        Ok(any)
    }

    /// As [`run`](Self::run), for about `limit` at most: a stream with a backlog does not keep others waiting.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for(&mut self, limit: Duration, sink: &mut dyn FnMut(EngineOutput)) -> Result<bool> {
        self.rounds(false, Some(Instant::now() + limit), sink)
    }

    /// Scores all of a stream's whole hops, also those that wait for its detector or for more hops, and waits for that.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn catch_up(&mut self, stream: usize, sink: &mut dyn FnMut(EngineOutput)) -> Result<()> {
        loop {
            self.run_out(sink)?;
            if !self.await_detector(stream)? && self.is_idle(stream) {
                return Ok(());
            }
        }
    }

    /// Ends a stream now: what is not scored yet is shed, a pending detector is discarded. Otherwise as
    /// [`end`](Self::end).
    ///
    /// # Errors
    /// When the stream is over already or the device fails.
    pub fn abandon(&mut self, stream: usize, sink: &mut dyn FnMut(EngineOutput)) -> Result<PipelineCounters> {
        let pipeline = self.pipeline_mut(stream)?;
        pipeline.away = None;
        pipeline.deferred.clear();
        pipeline.shed_waiting();
        self.leave(stream, sink)
    }

    /// Sets the false-alarm budget of a stream ([`Detector::set_events_per_hour`]), of a pending one when it returns.
    ///
    /// # Errors
    /// When the stream is over, or the budget is not within 0.01 to 3600.
    pub fn set_events_per_hour(&mut self, stream: usize, events_per_hour: f64) -> Result<()> {
        DetectConfig { events_per_hour, ..self.detect.clone() }.validate()?;
        let pipeline = self.pipeline_mut(stream)?;
        if pipeline.learns() {
            pipeline.due.budget = Some(events_per_hour);
            return Ok(());
        }
        pipeline.detector.set_events_per_hour(events_per_hour)
    }

    /// Sets the settings of a stream's detector; a pending detector gets them when it returns. An ongoing event ends
    /// where more than the budget changes.
    pub(super) fn settings_of(
        &mut self,
        stream: usize,
        detect: &DetectConfig,
        budget_alone: bool,
    ) -> Result<()> {
        let detector_model = self.detector_model.clone();
        let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        if pipeline.learns() {
            let earlier = pipeline.due.settings.take().is_none_or(|(_, budget_alone)| budget_alone);
            pipeline.due =
                PendingSettings { budget: None, settings: Some((detect.clone(), budget_alone && earlier)) };
            return Ok(());
        }
        if budget_alone {
            return pipeline.detector.set_events_per_hour(detect.events_per_hour);
        }
        let mut findings = Vec::new();
        pipeline.detector.gap(&mut findings);
        self.pending_findings.extend(findings.into_iter().map(|finding| (stream, finding)));
        let known =
            pipeline.detector.snapshot().map(|known| Detector::with_state(detect, &detector_model, known));
        pipeline.detector = match known {
            Some(Ok(detector)) => detector,
            None => Detector::new(detect, detector_model)?,
            Some(Err(error)) => {
                tracing::warn!("{}: {error}; calibrating again", pipeline.id);
                Detector::new(detect, detector_model)?
            }
        };
        Ok(())
    }

    /// Applies the pending settings to a detector that has returned.
    pub(super) fn apply_due(&mut self, stream: usize) -> Result<()> {
        let PendingSettings { budget, settings } = std::mem::take(&mut self.pipeline_mut(stream)?.due);
        if let Some((detect, budget_alone)) = settings {
            self.settings_of(stream, &detect, budget_alone)?;
        }
        budget.map_or(Ok(()), |budget| self.set_events_per_hour(stream, budget))
    }

    pub(super) fn pipeline_mut(&mut self, stream: usize) -> Result<&mut StreamPipeline> {
        let pipeline = self.pipelines.get_mut(stream).and_then(Option::as_mut);
        pipeline.ok_or_else(|| Error::internal(format!("stream {stream} is over or was never added")))
    }
}
