//! Learning what is normal, on threads of its own: it takes about a second and more, in which the sound of other streams
//! must not wait.
//!
//! A detector that is about to learn moves to a learner thread with its frame. Meanwhile the hops of its stream wait, and
//! nobody else's do; when it is back they are scored one after another. What the stream goes through in the meantime (a gap,
//! another rate, its end, new settings) waits with them ([`Deferred`](super::deferred::Deferred)). So what is found is the
//! same as if it had learnt on the spot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use super::{Engine, Heard, Lane};
use crate::detect::{Detector, DetectorState, Input, Reading, StreamState};
use crate::error::{Error, Result};
use crate::event::Finding;
use crate::frame::Frame;
use crate::realtime;

/// Failures in a row, of all streams of an engine together, after which the analysis ends, to be started anew.
const FAILURES: u32 = 3;

/// A frame that a detector is about to hear.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) frame: Frame,
    pub(super) input: Input,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) frame: Frame,
    pub(super) reading: Reading,
    pub(super) findings: Vec<Finding>,
    /// What the detector was doing before.
    before: DetectorState,
    /// The calibration before, if that could have come back.
    known: Option<String>,
}

impl Lesson {
    /// The detector hears the frame.
    pub(super) fn take(self, detector: &mut Detector, mut findings: Vec<Finding>) -> Outcome {
        let Self { frame, input } = self;
        // a change of the place that passed leaves the calibration as it was
        let before = detector.state();
        let relearning = matches!(before, DetectorState::Relearning { .. });
        let known = detector.calibration_id().filter(|_| relearning).map(str::to_owned);
        let reading = detector.push(&frame, input, &mut findings);
        Outcome { frame, reading, findings, before, known }
    }
}

impl Outcome {
    /// Whether the detector watches by a calibration that is new.
    pub(super) fn is_new(&self, detector: &Detector) -> bool {
        let watches = self.before != DetectorState::Watching && self.reading.state == DetectorState::Watching;
        watches && detector.calibration_id() != self.known.as_deref()
    }
}

/// What a learner thread gives back: the detector with what came of its frame, or why learning failed.
type Answer = Result<Box<(Detector, Outcome)>, String>;

struct Task {
    detector: Detector,
    lesson: Lesson,
    answer: Sender<Answer>,
}

/// The work of a learner thread, as tests replace it.
pub(super) type Learn = fn(Lesson, &mut Detector) -> Outcome;

/// Threads that learn. They end with the last of this.
#[derive(Debug, Clone)]
pub(super) struct Learners {
    tasks: Sender<Box<Task>>,
}

impl Learners {
    fn start(threads: usize, learn: Learn) -> Result<Self> {
        let (tasks, taken) = unbounded::<Box<Task>>();
        let mut started = 0;
        for number in 0..threads.max(1) {
            let taken: Receiver<Box<Task>> = taken.clone();
            let work = move || {
                if let Err(reason) = realtime::give_way() {
                    tracing::debug!("learning has the priority of hearing: {reason}");
                }
                taken.into_iter().for_each(|task| carry_out(*task, learn));
            };
            match thread::Builder::new().name(format!("learn {number}")).spawn(work) {
                Ok(_) => started += 1,
                Err(e) if started == 0 => {
                    return Err(Error::internal(format!("cannot start a thread to learn: {e}")));
                }
                Err(e) => {
                    tracing::warn!(
                        "{started} of {threads} threads learn what is normal, more cannot start: {e}"
                    );
                    break;
                }
            }
        }
        Ok(Self { tasks })
    }
}

/// A panic ends this task, not the thread.
fn carry_out(task: Task, learn: Learn) {
    let Task { mut detector, lesson, answer } = task;
    let done = catch_unwind(AssertUnwindSafe(|| learn(lesson, &mut detector)));
    let said = match done {
        Ok(outcome) => Ok(Box::new((detector, outcome))),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            Err(text
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic".to_owned()))
        }
    };
    // the stream may be over, then nobody waits for it
    let _ = answer.send(said);
}

/// A detector that learns elsewhere.
#[derive(Debug)]
pub(super) struct Away {
    answer: Receiver<Answer>,
    since: Instant,
    /// What the stream goes on with where learning fails.
    known: Option<StreamState>,
}

impl Lane {
    /// Whether its detector learns, so that its hops wait.
    pub(super) fn learns(&self) -> bool {
        self.away.is_some()
    }

    fn send_to(&mut self, learners: &Learners, lesson: Lesson, stand_in: Detector) -> Result<()> {
        let (answer, answers) = bounded(1);
        self.away_figures = (self.detector.counts(), self.detector.threshold());
        let known = self.detector.snapshot();
        let detector = std::mem::replace(&mut self.detector, stand_in);
        self.away = Some(Away { answer: answers, since: Instant::now(), known });
        let sent = learners.tasks.send(Box::new(Task { detector, lesson, answer }));
        sent.map_err(|_| Error::internal("the threads that learn are gone"))
    }
}

impl Engine {
    /// Detectors learn on `threads` threads of their own from here on, rather than while all streams wait. Nothing waits
    /// for them then: what concerns a stream whose detector learns is done when that is back.
    ///
    /// # Errors
    /// When not even one thread can start.
    pub fn learn_aside(&mut self, threads: usize) -> Result<()> {
        self.learn_aside_by(threads, |lesson, detector| lesson.take(detector, Vec::new()))
    }

    pub(super) fn learn_aside_by(&mut self, threads: usize, learn: Learn) -> Result<()> {
        self.learners = Some(Learners::start(threads, learn)?);
        Ok(())
    }

    /// For how long the detector that has been away longest has been learning; none where none is.
    #[must_use]
    pub fn longest_learning(&self) -> Option<Duration> {
        let since = self.lanes.iter().flatten().filter_map(|lane| lane.away.as_ref());
        since.map(|away| away.since.elapsed()).max()
    }

    /// The detector of a stream hears a frame, here or on a learner thread.
    pub(super) fn teach(&mut self, stream: usize, lesson: Lesson, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        let findings = std::mem::take(&mut self.findings);
        let learners = self.learners.clone();
        let (detect, instrument) = (&self.detect, &self.instrument);
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        match learners.filter(|_| lane.detector.learns_within(1)) {
            Some(learners) => {
                self.findings = findings;
                lane.send_to(&learners, lesson, Detector::new(detect, instrument.clone())?)
            }
            None => {
                let outcome = lesson.take(&mut lane.detector, findings);
                self.tell_outcome(stream, outcome, sink);
                Ok(())
            }
        }
    }

    /// Takes back the detectors that have learnt.
    ///
    /// # Errors
    /// When learning failed several times in a row.
    pub(super) fn take_back(&mut self, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        for (stream, outcome) in std::mem::take(&mut self.back) {
            self.tell_outcome(stream, outcome, sink);
        }
        for stream in 0..self.lanes.len() {
            let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
            let Some(away) = lane.and_then(|lane| lane.away.as_ref()) else { continue };
            let answer = match away.answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => Err("its thread is gone".to_owned()),
            };
            if let Some(outcome) = self.settle(stream, answer)? {
                self.tell_outcome(stream, outcome, sink);
            }
        }
        Ok(())
    }

    /// Waits for the detector of a stream, where it learns; what came of it is told by the next run. True where it did.
    pub(super) fn await_detector(&mut self, stream: usize) -> Result<bool> {
        let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
        let Some(away) = lane.and_then(|lane| lane.away.as_ref()) else { return Ok(false) };
        let answer = away.answer.recv().unwrap_or_else(|_| Err("its thread is gone".to_owned()));
        if let Some(outcome) = self.settle(stream, answer)? {
            self.back.push((stream, outcome));
        }
        Ok(true)
    }

    /// The detector of a stream is back, or another takes its place.
    fn settle(&mut self, stream: usize, answer: Answer) -> Result<Option<Outcome>> {
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return Ok(None) };
        let known = lane.away.take().and_then(|away| away.known);
        let outcome = match answer {
            Ok(learnt) => {
                let (detector, outcome) = *learnt;
                lane.detector = detector;
                self.failures = 0;
                Some(outcome)
            }
            Err(reason) => {
                lane.learning_failed += 1;
                self.failures += 1;
                let again = known.map(|known| Detector::with_state(&self.detect, &self.instrument, known));
                let next = match again {
                    Some(Ok(detector)) => {
                        lane.detector = detector;
                        "it is watched by what was normal before"
                    }
                    // the one that stands in is new
                    _ => "it begins to learn anew",
                };
                let ended = lane.end_of_event();
                self.orphans.extend(ended.map(|finding| (stream, finding)));
                let id = &lane.id;
                tracing::error!("{id}: learning what is normal failed ({reason}); {next}");
                if self.failures >= FAILURES {
                    return Err(Error::internal(format!(
                        "learning what is normal failed {FAILURES} times in a row, last for {id}: {reason}"
                    )));
                }
                None
            }
        };
        self.apply_due(stream)?;
        Ok(outcome)
    }

    /// Tells what a detector made of a frame.
    fn tell_outcome(&mut self, stream: usize, mut outcome: Outcome, sink: &mut dyn FnMut(Heard)) {
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return };
        let is_new = outcome.is_new(&lane.detector);
        let strip = lane.strip.push(&outcome.frame, &outcome.reading);
        self.findings.append(&mut outcome.findings);
        if is_new {
            sink(Heard::Calibrated { stream });
        }
        sink(Heard::Reading { stream, frame: outcome.frame.index, reading: outcome.reading });
        if let Some(strip) = strip {
            sink(Heard::Strip { stream, strip: Box::new(strip) });
        }
        self.tell(stream, true, sink);
    }
}

#[cfg(test)]
mod tests;
