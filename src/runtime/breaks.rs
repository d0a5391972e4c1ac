//! Gaps, new beginnings and ends of streams.

use super::deferred::Deferred;
use super::{Engine, Heard, Lane, LaneCounters};
use crate::error::Result;

impl Engine {
    /// Learns anew what is normal for a stream, once the sound so far is scored; a running event ends.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn recalibrate(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        if self.defers(stream) {
            return self.defer(stream, Deferred::Recalibrate);
        }
        self.catch_up(stream, sink)?;
        self.begin_anew(stream, sink)
    }

    pub(super) fn begin_anew(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        self.lane_mut(stream)?.detector.recalibrate(&mut findings);
        self.findings = findings;
        self.tell(stream, true, sink);
        Ok(())
    }

    /// `lost` samples (at the rate so far) are missing, and `rate` is the rate from here on. The stream begins
    /// anew behind the hole; a running event ends. What was fed before is scored first; where detectors learn elsewhere, by
    /// the next [`run`](Self::run)s, and the gap waits for that.
    ///
    /// # Errors
    /// When the stream is over or the rate cannot be resampled.
    pub fn gap(&mut self, stream: usize, lost: u64, rate: u32, sink: &mut dyn FnMut(Heard)) -> Result<()> {
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
        sink: &mut dyn FnMut(Heard),
    ) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        let lane = self.lane_mut(stream)?;
        let next = lane.gap(lost, rate)?;
        lane.detector.gap(&mut findings);
        let slot = lane.slot;
        self.findings = findings;
        if let Err(error) = self.batch.reset(slot, next) {
            self.take_spare(&error)?;
            self.batch.reset(slot, next)?;
        }
        self.tell(stream, false, sink);
        Ok(())
    }

    /// Whether an event goes on in a stream, by what was told of it.
    #[must_use]
    pub fn in_event(&self, stream: usize) -> bool {
        self.lane(stream).is_some_and(Lane::in_event)
    }

    /// No sound comes for now: a running event ends. The stream goes on when samples come again.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn pause(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        let mut findings = std::mem::take(&mut self.findings);
        let lane = self.lane_mut(stream)?;
        if !lane.learns() {
            lane.detector.gap(&mut findings);
        }
        self.findings = findings;
        self.tell(stream, false, sink);
        Ok(())
    }

    /// The stream is over: what waits is scored, a running event ends, the stream tells its state and leaves. Gives
    /// its counters. A detector that learns elsewhere is waited for, unless the stream [is idle](Self::is_idle) after it was
    /// [finished](Self::finish).
    ///
    /// # Errors
    /// When the stream is over already or the device fails.
    pub fn end(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<LaneCounters> {
        self.finish(stream)?;
        self.catch_up(stream, sink)?;
        self.leave(stream, sink)
    }

    pub(super) fn leave(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<LaneCounters> {
        let mut findings = std::mem::take(&mut self.findings);
        let lane = self.lane_mut(stream)?;
        lane.shed_waiting();
        lane.detector.finish(&mut findings);
        if findings.is_empty() {
            // of a detector that learns elsewhere nothing more is heard
            findings.extend(lane.end_of_event());
        }
        let (slot, counters, known) = (lane.slot, lane.counters(), lane.detector.snapshot());
        self.findings = findings;
        self.tell(stream, false, sink);
        if let Some(state) = known {
            sink(Heard::State { stream, state: Box::new(state) });
        }
        if let Err(error) = self.batch.leave(slot) {
            self.take_spare(&error)?;
            self.batch.leave(slot)?;
        }
        if let Some(entry) = self.lanes.get_mut(stream) {
            *entry = None;
        }
        Ok(counters)
    }
}
