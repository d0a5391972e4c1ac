//! What a stream goes through while its detector learns elsewhere: it waits in order behind the sound before it.

use std::time::{Duration, Instant};

use super::{Engine, Heard, Lane, LaneCounters};
use crate::detect::{DetectConfig, Detector};
use crate::error::{Error, Result};
use crate::units::{HOP, MODEL_RATE};

/// Sound of a stream that waits for its detector at most, seconds; more is left in the ring.
const WAITING_S: f64 = 300.0;

/// Something to be done once the sound before it is scored.
#[derive(Debug)]
pub(super) enum Deferred {
    /// Samples at the rate of the source behind a gap.
    Samples(Vec<f32>),
    /// [`Engine::gap`].
    Gap { lost: u64, rate: u32 },
    /// [`Engine::finish`].
    Finish,
    /// [`Engine::recalibrate`].
    Recalibrate,
}

/// Settings that came while the detector learnt elsewhere.
#[derive(Debug, Default)]
pub(super) struct Due {
    budget: Option<f64>,
    settings: Option<(DetectConfig, /* the budget alone differs */ bool)>,
}

impl Lane {
    /// Whether everything that came is scored, so that what comes now can be done at once.
    pub(super) fn is_idle(&self) -> bool {
        !self.learns() && self.deferred.is_empty() && self.waiting() < HOP
    }

    /// Seconds of sound that wait here.
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

    /// Keeps samples behind what waits already.
    pub(super) fn defer_samples(&mut self, samples: &[f32]) {
        match self.deferred.back_mut() {
            Some(Deferred::Samples(kept)) => kept.extend_from_slice(samples),
            _ => self.deferred.push_back(Deferred::Samples(samples.to_vec())),
        }
    }
}

impl Engine {
    /// Whether a stream's sound should stay where it is, since enough of it waits here.
    #[must_use]
    pub fn is_full(&self, stream: usize) -> bool {
        self.lane(stream).is_some_and(|lane| !lane.is_idle() && lane.waiting_s() > WAITING_S)
    }

    /// Whether all that a stream was given is scored and done, so that [`end`](Self::end) need not wait.
    #[must_use]
    pub fn is_idle(&self, stream: usize) -> bool {
        self.lane(stream).is_none_or(Lane::is_idle)
    }

    /// Seconds of sound of a stream that are not scored yet.
    #[must_use]
    pub fn waiting_s(&self, stream: usize) -> f64 {
        self.lane(stream).map_or(0.0, Lane::waiting_s)
    }

    /// Whether something that concerns a stream has to wait, which it does where detectors learn elsewhere.
    pub(super) fn defers(&self, stream: usize) -> bool {
        self.learners.is_some() && self.lane(stream).is_some_and(|lane| !lane.is_idle())
    }

    pub(super) fn defer(&mut self, stream: usize, what: Deferred) -> Result<()> {
        self.lane_mut(stream)?.deferred.push_back(what);
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
            self.lane_mut(stream)?.flush()
        }
    }

    /// Does what waited for the sound before it, where that is scored. True where there was something.
    pub(super) fn do_deferred(&mut self, sink: &mut dyn FnMut(Heard)) -> Result<bool> {
        let mut any = false;
        for stream in 0..self.lanes.len() {
            loop {
                let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
                let Some(lane) = lane.filter(|lane| !lane.learns() && lane.waiting() < HOP) else { break };
                let Some(next) = lane.deferred.pop_front() else { break };
                any = true;
                match next {
                    Deferred::Samples(samples) => lane.feed(&samples)?,
                    Deferred::Finish => lane.flush()?,
                    Deferred::Gap { lost, rate } => self.break_stream(stream, lost, rate, sink)?,
                    Deferred::Recalibrate => self.begin_anew(stream, sink)?,
                }
            }
        }
        Ok(any)
    }

    /// As [`run`](Self::run), for about `limit` at most: a stream that has much to make good does not keep others waiting.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for(&mut self, limit: Duration, sink: &mut dyn FnMut(Heard)) -> Result<bool> {
        self.rounds(false, Some(Instant::now() + limit), sink)
    }

    /// Scores all of a stream's whole hops, also those that wait for its detector or for more hops, and waits for that.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn catch_up(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        loop {
            self.run_out(sink)?;
            if !self.await_detector(stream)? && self.is_idle(stream) {
                return Ok(());
            }
        }
    }

    /// Ends a stream now: what is not scored yet is shed, a detector that learns elsewhere is given up. Otherwise as
    /// [`end`](Self::end).
    ///
    /// # Errors
    /// When the stream is over already or the device fails.
    pub fn abandon(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<LaneCounters> {
        let lane = self.lane_mut(stream)?;
        lane.away = None;
        lane.deferred.clear();
        lane.shed_waiting();
        self.leave(stream, sink)
    }

    /// A budget for the detector of a stream, from its return on where it learns elsewhere.
    pub(super) fn budget_of(&mut self, stream: usize, events_per_hour: f64) -> Result<()> {
        DetectConfig { events_per_hour, ..self.detect.clone() }.validate()?;
        let lane = self.lane_mut(stream)?;
        if lane.learns() {
            lane.due.budget = Some(events_per_hour);
            return Ok(());
        }
        lane.detector.set_events_per_hour(events_per_hour)
    }

    /// New settings for the detector of a stream, from its return on where it learns elsewhere. A running event ends where
    /// more than the budget changes.
    pub(super) fn settings_of(
        &mut self,
        stream: usize,
        detect: &DetectConfig,
        budget_alone: bool,
    ) -> Result<()> {
        let instrument = self.instrument.clone();
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        if lane.learns() {
            let earlier = lane.due.settings.take().is_none_or(|(_, budget_alone)| budget_alone);
            lane.due = Due { budget: None, settings: Some((detect.clone(), budget_alone && earlier)) };
            return Ok(());
        }
        if budget_alone {
            return lane.detector.set_events_per_hour(detect.events_per_hour);
        }
        let mut findings = Vec::new();
        lane.detector.gap(&mut findings);
        self.orphans.extend(findings.into_iter().map(|finding| (stream, finding)));
        let known = lane.detector.snapshot().map(|known| Detector::with_state(detect, &instrument, known));
        lane.detector = match known {
            Some(Ok(detector)) => detector,
            None => Detector::new(detect, instrument)?,
            Some(Err(error)) => {
                tracing::warn!("{}: {error}; calibrating anew", lane.id);
                Detector::new(detect, instrument)?
            }
        };
        Ok(())
    }

    /// A detector is back: what was set in the meantime counts now.
    pub(super) fn apply_due(&mut self, stream: usize) -> Result<()> {
        let Due { budget, settings } = std::mem::take(&mut self.lane_mut(stream)?.due);
        if let Some((detect, budget_alone)) = settings {
            self.settings_of(stream, &detect, budget_alone)?;
        }
        budget.map_or(Ok(()), |budget| self.budget_of(stream, budget))
    }

    pub(super) fn lane_mut(&mut self, stream: usize) -> Result<&mut Lane> {
        let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
        lane.ok_or_else(|| Error::internal(format!("stream {stream} is over or was never added")))
    }
}
