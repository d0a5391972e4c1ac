//! Background calibration: fitting a calibration takes a second or more, in which other streams must not wait.
//!
//! A detector that is about to fit its calibration moves to a calibration thread together with its current frame.
//! Meanwhile the hops of its stream wait, those of other streams do not; when the detector returns they are scored one
//! after another. Operations in the meantime (a gap, another rate, the end, new settings) wait with them
//! ([`Deferred`](super::pending::Deferred)). So the findings are the same as with a calibration on the analysis
//! thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{TryRecvError, bounded};

use super::calibration_pool::{
    CalibrationPool, Finished, FrameJob, FrameOutcome, Job, Learn, PendingDetector,
};
use super::{Engine, EngineOutput, StreamPipeline};
use crate::detect::Detector;
use crate::error::{Error, Result};

/// Failed calibrations in a row, of all streams of an engine together, after which the analysis ends with an error.
const FAILURES: u32 = 3;

impl StreamPipeline {
    fn send_to(&mut self, learners: &CalibrationPool, frame_job: FrameJob, stand_in: Detector) -> Result<()> {
        let (answer, answers) = bounded(1);
        self.away_figures = self.detector_figures();
        let known = self.detector.snapshot();
        let detector = std::mem::replace(&mut self.detector, stand_in);
        let begun = Arc::default();
        self.away = Some(PendingDetector { answer: answers, begun: Arc::clone(&begun), known });
        learners.send(Job { detector, frame_job, answer, begun })
    }
}

impl Engine {
    /// From here on detectors calibrate on `threads` background threads, and not while all streams wait. Operations on
    /// a stream in calibration are done when its detector returns.
    ///
    /// # Errors
    /// When not even one thread can start.
    pub fn calibrate_on_threads(&mut self, threads: usize) -> Result<()> {
        self.calibrate_on_threads_by(threads, |frame_job, detector| frame_job.take(detector, Vec::new()))
    }

    pub(super) fn calibrate_on_threads_by(&mut self, threads: usize, learn: Learn) -> Result<()> {
        self.learners = Some(CalibrationPool::start(threads, learn)?);
        Ok(())
    }

    /// Duration of the longest running calibration; `None` without one. Waiting for a thread takes none of it.
    #[must_use]
    pub fn longest_calibration(&self) -> Option<Duration> {
        let away = self.pipelines.iter().flatten().filter_map(|pipeline| pipeline.away.as_ref());
        away.map(|away| away.begun.get().map_or(Duration::ZERO, Instant::elapsed)).max()
    }

    /// Steps the detector of a stream by a frame, here or on a calibration thread.
    pub(super) fn step_detector(
        &mut self,
        stream: usize,
        frame_job: FrameJob,
        sink: &mut dyn FnMut(EngineOutput),
    ) -> Result<()> {
        let findings = std::mem::take(&mut self.findings);
        let learners = self.learners.clone();
        let (detect, detector_model) = (&self.detect, &self.detector_model);
        let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        match learners.filter(|_| pipeline.detector.learns_within(1)) {
            Some(learners) => {
                self.findings = findings;
                pipeline.send_to(&learners, frame_job, Detector::new(detect, detector_model.clone())?)
            }
            None => {
                let outcome = frame_job.take(&mut pipeline.detector, findings);
                self.report_outcome(stream, outcome, sink);
                Ok(())
            }
        }
    }

    /// Collects the detectors that have finished their calibration.
    ///
    /// # Errors
    /// When learning failed several times in a row.
    pub(super) fn collect_finished(&mut self, sink: &mut dyn FnMut(EngineOutput)) -> Result<()> {
        for (stream, outcome) in std::mem::take(&mut self.back) {
            self.report_outcome(stream, outcome, sink);
        }
        for stream in 0..self.pipelines.len() {
            let pipeline = self.pipelines.get_mut(stream).and_then(Option::as_mut);
            let Some(away) = pipeline.and_then(|pipeline| pipeline.away.as_ref()) else { continue };
            let answer = match away.answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => Err("its thread is gone".to_owned()),
            };
            if let Some(outcome) = self.settle(stream, answer)? {
                self.report_outcome(stream, outcome, sink);
            }
        }
        Ok(())
    }

    /// Waits for the detector of a stream in background calibration; its outcome is reported by the next run. True
    /// where it was.
    pub(super) fn await_detector(&mut self, stream: usize) -> Result<bool> {
        let pipeline = self.pipelines.get_mut(stream).and_then(Option::as_mut);
        let Some(away) = pipeline.and_then(|pipeline| pipeline.away.as_ref()) else { return Ok(false) };
        let answer = away.answer.recv().unwrap_or_else(|_| Err("its thread is gone".to_owned()));
        if let Some(outcome) = self.settle(stream, answer)? {
            self.back.push((stream, outcome));
        }
        Ok(true)
    }

    /// Puts the returned detector of a stream in its place, or another one after a failure.
    fn settle(&mut self, stream: usize, answer: Finished) -> Result<Option<FrameOutcome>> {
        let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) else { return Ok(None) };
        let known = pipeline.away.take().and_then(|away| away.known);
        let outcome = match answer {
            Ok(learnt) => {
                let (detector, outcome) = *learnt;
                pipeline.detector = detector;
                self.failures = 0;
                Some(outcome)
            }
            Err(reason) => {
                pipeline.learning_failed += 1;
                self.failures += 1;
                let again =
                    known.map(|known| Detector::with_state(&self.detect, &self.detector_model, known));
                let next = match again {
                    Some(Ok(detector)) => {
                        pipeline.detector = detector;
                        "the previous calibration stays in force"
                    }
                    // the replacement is new
                    _ => "its calibration restarts",
                };
                let ended = pipeline.end_of_event();
                self.pending_findings.extend(ended.map(|finding| (stream, finding)));
                let id = &pipeline.id;
                tracing::error!("{id}: the calibration failed ({reason}); {next}");
                if self.failures >= FAILURES {
                    return Err(Error::internal(format!(
                        "the calibration failed {FAILURES} times in a row, last for {id}: {reason}"
                    )));
                }
                None
            }
        };
        self.apply_due(stream)?;
        Ok(outcome)
    }

    /// Reports the outcome of a frame.
    fn report_outcome(
        &mut self,
        stream: usize,
        mut outcome: FrameOutcome,
        sink: &mut dyn FnMut(EngineOutput),
    ) {
        let Some(pipeline) = self.pipelines.get_mut(stream).and_then(Option::as_mut) else { return };
        let is_new = outcome.is_new(&pipeline.detector);
        let shown = pipeline.spectrogram.as_mut();
        let column = shown.and_then(|spectrogram| spectrogram.push(&outcome.frame, &outcome.reading));
        self.findings.append(&mut outcome.findings);
        if is_new {
            sink(EngineOutput::Calibrated { stream });
        }
        let frame = outcome.frame.index;
        if self.reports_frames {
            sink(EngineOutput::Frame { stream, frame: Box::new(outcome.frame) });
        } else {
            self.batch.reuse(outcome.frame);
        }
        sink(EngineOutput::Reading { stream, frame, reading: outcome.reading });
        if let Some(column) = column {
            sink(EngineOutput::Column { stream, column: Box::new(column) });
        }
        self.report(stream, true, sink);
    }
}

#[cfg(test)]
mod tests;
