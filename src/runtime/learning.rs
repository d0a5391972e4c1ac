//! Learning what is normal, on threads of its own: it takes about a second, in which the sound of other streams must not
//! wait.
//!
//! A detector that is about to learn goes to school with its frame. Meanwhile the hops of its stream wait, and nobody
//! else's do; when it is back they are scored one after another. So what is found is the same as if it had learnt on the
//! spot.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{Engine, Heard, Lane};
use crate::detect::{Detector, DetectorState, Input, Reading};
use crate::error::{Error, Result};
use crate::event::Finding;
use crate::frame::Frame;
use crate::units::MODEL_RATE;

/// Sound of a stream that waits for its detector at most; more is left in the ring.
const WAITING_S: usize = 300;

/// A frame that a detector is about to hear.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) frame: Frame,
    pub(super) input: Input,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Heed {
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
    pub(super) fn take(self, detector: &mut Detector, mut findings: Vec<Finding>) -> Heed {
        let Self { frame, input } = self;
        // a change of the place that passed leaves the calibration as it was
        let before = detector.state();
        let relearning = matches!(before, DetectorState::Relearning { .. });
        let known = detector.calibration_id().filter(|_| relearning).map(str::to_owned);
        let reading = detector.push(&frame, input, &mut findings);
        Heed { frame, reading, findings, before, known }
    }
}

impl Heed {
    /// Whether the detector watches by a calibration that is new.
    pub(super) fn is_new(&self, detector: &Detector) -> bool {
        let watches = self.before != DetectorState::Watching && self.reading.state == DetectorState::Watching;
        watches && detector.calibration_id() != self.known.as_deref()
    }
}

/// A detector that comes back.
pub(super) type Graduate = Box<(Detector, Heed)>;

type Seat = Box<(Detector, Lesson, Sender<Graduate>)>;

/// Threads that learn. They end with the last of this.
#[derive(Debug, Clone)]
pub(super) struct School {
    seats: Sender<Seat>,
}

impl School {
    fn open(threads: usize) -> Result<Self> {
        let (seats, taken) = unbounded::<Seat>();
        for number in 0..threads.max(1) {
            let taken = taken.clone();
            let work = move || {
                for seat in taken {
                    let (mut detector, lesson, home) = *seat;
                    let heed = lesson.take(&mut detector, Vec::new());
                    // nobody waits for it any more: the stream is over
                    let _ = home.send(Box::new((detector, heed)));
                }
            };
            let thread = thread::Builder::new().name(format!("learn {number}")).spawn(work);
            thread.map_err(|e| Error::internal(format!("cannot start a thread to learn: {e}")))?;
        }
        Ok(Self { seats })
    }
}

impl Lane {
    /// Whether its detector learns, so that its hops wait.
    pub(super) fn learns(&self) -> bool {
        self.away.is_some()
    }

    fn send_to(&mut self, school: &School, lesson: Lesson, stand_in: Detector) -> Result<()> {
        let (home, back) = bounded(1);
        self.away_figures = (self.detector.counts(), self.detector.threshold());
        let detector = std::mem::replace(&mut self.detector, stand_in);
        self.away = Some(back);
        let gone = school.seats.send(Box::new((detector, lesson, home)));
        gone.map_err(|_| Error::internal("the threads that learn are gone"))
    }
}

/// Where a lane's detector comes back.
pub(super) type Away = Receiver<Graduate>;

impl Engine {
    /// Detectors learn on `threads` threads of their own from here on, rather than while all streams wait.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn learn_aside(&mut self, threads: usize) -> Result<()> {
        self.school = Some(School::open(threads)?);
        Ok(())
    }

    /// Whether a stream's sound should stay where it is, since enough of it waits here.
    #[must_use]
    pub fn is_full(&self, stream: usize) -> bool {
        let limit = WAITING_S * MODEL_RATE as usize;
        self.lane(stream).is_some_and(|lane| lane.learns() && lane.waiting() > limit)
    }

    /// The detector of a stream hears a frame, here or at school.
    pub(super) fn teach(&mut self, stream: usize, lesson: Lesson, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        let findings = std::mem::take(&mut self.findings);
        let school = self.school.clone();
        let (detect, instrument) = (&self.detect, &self.instrument);
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return Ok(()) };
        match school.filter(|_| lane.detector.learns_within(1)) {
            Some(school) => {
                self.findings = findings;
                lane.send_to(&school, lesson, Detector::new(detect, instrument.clone())?)
            }
            None => {
                let heed = lesson.take(&mut lane.detector, findings);
                self.tell_heed(stream, heed, sink);
                Ok(())
            }
        }
    }

    /// Takes back the detectors that have learnt.
    pub(super) fn take_back(&mut self, sink: &mut dyn FnMut(Heard)) {
        for (stream, heed) in std::mem::take(&mut self.back) {
            self.tell_heed(stream, heed, sink);
        }
        for stream in 0..self.lanes.len() {
            let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
            let back = lane.and_then(|lane| lane.away.as_ref()?.try_recv().ok());
            if let Some(graduate) = back {
                let heed = self.seat(stream, graduate);
                self.tell_heed(stream, heed, sink);
            }
        }
    }

    /// Waits for the detector of a stream, where it learns; what came of it is told by the next run. True where it did.
    pub(super) fn await_detector(&mut self, stream: usize) -> Result<bool> {
        let lane = self.lanes.get_mut(stream).and_then(Option::as_mut);
        let Some(back) = lane.and_then(|lane| lane.away.take()) else { return Ok(false) };
        let graduate =
            back.recv().map_err(|_| Error::internal("a detector did not come back from learning"))?;
        let heed = self.seat(stream, graduate);
        self.back.push((stream, heed));
        Ok(true)
    }

    /// Scores all of a stream's whole hops, also those that wait for its detector or for more hops.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn catch_up(&mut self, stream: usize, sink: &mut dyn FnMut(Heard)) -> Result<()> {
        loop {
            self.run_out(sink)?;
            if !self.await_detector(stream)? {
                return Ok(());
            }
        }
    }

    fn seat(&mut self, stream: usize, graduate: Graduate) -> Heed {
        let (detector, heed) = *graduate;
        if let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) {
            lane.detector = detector;
            lane.away = None;
        }
        heed
    }

    /// Tells what a detector made of a frame.
    fn tell_heed(&mut self, stream: usize, mut heed: Heed, sink: &mut dyn FnMut(Heard)) {
        let Some(lane) = self.lanes.get_mut(stream).and_then(Option::as_mut) else { return };
        let is_new = heed.is_new(&lane.detector);
        let strip = lane.strip.push(&heed.frame, &heed.reading);
        self.findings.append(&mut heed.findings);
        if is_new {
            sink(Heard::Calibrated { stream });
        }
        sink(Heard::Reading { stream, frame: heed.frame.index, reading: heed.reading });
        if let Some(strip) = strip {
            sink(Heard::Strip { stream, strip: Box::new(strip) });
        }
        self.tell(stream, true, sink);
    }
}
