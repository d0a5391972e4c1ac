//! Gaps, restarts and ends of streams.

use super::pending::Deferred;
use super::{Engine, EngineOutput, PipelineCounters, StreamPipeline};
use crate::error::Result;

impl Engine {
    /// Calibrates a stream again, once the sound so far is scored; an ongoing event ends.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn recalibrate(&mut self, stream: usize, sink: &mut dyn FnMut(EngineOutput)) -> Result<()> {
        if self.defers(stream) {
            return self.defer(stream, Deferred::Recalibrate);
        }
        self.catch_up(stream, sink)?;
        self.restart_calibration(stream, sink)
    }

    pub(super) fn restart_calibration(
        &mut self,
        stream: usize,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        self.pipeline_mut(stream)?.detector.recalibrate(&mut findings);
        self.findings = findings;
        self.report(stream, true, sink);
        Ok(())
    }

    /// `lost` samples (at the rate so far) are missing, and `rate` is the rate from here on. The stream restarts after
    /// the gap; an ongoing event ends. Sound before it is scored first; with background calibration, by the next
    /// [`run`](Self::run)s, and the gap waits for that.
    ///
    /// # Errors
    /// When the stream is over or the rate cannot be resampled.
    pub fn gap(
        &mut self,
        stream: usize,
        lost: u64,
        rate: u32,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<()> {
        if self.defers(stream) {
            return self.defer(stream, Deferred::Gap { lost, rate });
        }
        self.catch_up(stream, sink)?;
        self.break_stream(stream, lost, rate, sink)
    }

    pub(super) fn break_stream(
        &mut self,
        stream: usize,
        lost: u64,
        rate: u32,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        let pipeline = self.pipeline_mut(stream)?;
        let next = pipeline.gap(lost, rate)?;
        pipeline.detector.gap(&mut findings);
        let slot = pipeline.slot;
        self.findings = findings;
        if let Err(error) = self.batch.reset(slot, next) {
            self.fail_over(&error)?;
            self.batch.reset(slot, next)?;
        }
        self.report(stream, false, sink);
        Ok(())
    }

    /// Whether an event of a stream is ongoing, as reported so far.
    #[must_use]
    pub fn in_event(&self, stream: usize) -> bool {
        self.pipeline(stream).is_some_and(StreamPipeline::in_event)
    }

    /// No sound arrives at present: an ongoing event ends. The stream continues when samples arrive again.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn pause(&mut self, stream: usize, sink: &mut dyn FnMut(EngineOutput)) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        let pipeline = self.pipeline_mut(stream)?;
        if !pipeline.learns() {
            pipeline.detector.gap(&mut findings);
        }
        self.findings = findings;
        self.report(stream, false, sink);
        Ok(())
    }

    /// Ends the stream: waiting sound is scored, an ongoing event ends, the state is reported and the stream is
    /// removed. Returns its counters. Waits for a detector in background calibration, unless the stream [is
    /// idle](Self::is_idle) after it was [finished](Self::finish).
    ///
    /// # Errors
    /// When the stream is over already or the device fails.
    pub fn end(&mut self, stream: usize, sink: &mut dyn FnMut(EngineOutput)) -> Result<PipelineCounters> {
        self.finish(stream)?;
        self.catch_up(stream, sink)?;
        self.leave(stream, sink)
    }

    pub(super) fn leave(
        &mut self,
        stream: usize,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<PipelineCounters> {
        let mut findings = std::mem::take(&mut self.findings);
        let pipeline = self.pipeline_mut(stream)?;
        pipeline.shed_waiting();
        pipeline.detector.finish(&mut findings);
        if findings.is_empty() {
            // the result of a pending detector is discarded
            findings.extend(pipeline.end_of_event());
        }
        let (slot, counters, known) = (pipeline.slot, pipeline.counters(), pipeline.detector.snapshot());
        self.findings = findings;
        self.report(stream, false, sink);
        if let Some(state) = known {
            sink(EngineOutput::State { stream, state: Box::new(state) });
        }
        if let Err(error) = self.batch.leave(slot) {
            self.fail_over(&error)?;
            self.batch.leave(slot)?;
        }
        if let Some(entry) = self.pipelines.get_mut(stream) {
            *entry = None;
        }
        Ok(counters)
    }
}
