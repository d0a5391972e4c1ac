//! The calibration threads, and detectors on their way there and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::detect::{Detector, DetectorState, Input, Reading, StreamState};
use crate::error::{Error, Result};
use crate::event::Finding;
use crate::frame::Frame;
use crate::realtime;
use crate::telemetry::give_memory_back;

/// A frame for a detector.
#[derive(Debug)]
pub(super) struct FrameJob {
    pub(super) frame: Frame,
    pub(super) input: Input,
}

/// The outcome of a frame.
#[derive(Debug)]
pub(super) struct FrameOutcome {
    pub(super) frame: Frame,
    pub(super) reading: Reading,
    pub(super) findings: Vec<Finding>,
    /// State of the detector before.
    before: DetectorState,
    /// The calibration before, if it could return.
    known: Option<String>,
}

impl FrameJob {
    /// Steps the detector by the frame.
    pub(super) fn take(self, detector: &mut Detector, mut findings: Vec<Finding>) -> FrameOutcome {
        let Self { frame, input } = self;
        // a site change that passed leaves the calibration as it was
        let before = detector.state();
        let relearning = matches!(before, DetectorState::Relearning { .. });
        let known = detector.calibration_id().filter(|_| relearning).map(str::to_owned);
        let reading = detector.push(&frame, input, &mut findings);
        FrameOutcome { frame, reading, findings, before, known }
    }
}

impl FrameOutcome {
    /// Whether the detector watches with a new calibration.
    pub(super) fn is_new(&self, detector: &Detector) -> bool {
        let watches = self.before != DetectorState::Watching && self.reading.state == DetectorState::Watching;
        watches && detector.calibration_id() != self.known.as_deref()
    }
}

/// The result of a calibration thread: the detector with the outcome of its frame, or the cause of a failure.
pub(super) type Finished = Result<Box<(Detector, FrameOutcome)>, String>;

/// A detector with its frame on the way to a calibration thread.
pub(super) struct Job {
    pub(super) detector: Detector,
    pub(super) frame_job: FrameJob,
    pub(super) answer: Sender<Finished>,
    /// When a thread took it.
    pub(super) begun: Arc<OnceLock<Instant>>,
}

/// The work of a calibration thread; tests replace it.
pub(super) type Learn = fn(FrameJob, &mut Detector) -> FrameOutcome;

/// The calibration threads. They end when the last handle is dropped.
#[derive(Debug, Clone)]
pub(super) struct CalibrationPool {
    tasks: Sender<Box<Job>>,
}

impl CalibrationPool {
    /// Starts `threads` of them, or as many as can be.
    ///
    /// # Errors
    /// When not even one can start.
    pub(super) fn start(threads: usize, learn: Learn) -> Result<Self> {
        let (tasks, taken) = unbounded::<Box<Job>>();
        let mut started = 0;
        for number in 0..threads.max(1) {
            let taken: Receiver<Box<Job>> = taken.clone();
            let work = move || {
                if let Err(reason) = realtime::give_way() {
                    tracing::debug!("calibration threads keep the normal priority: {reason}");
                }
                for task in taken {
                    carry_out(*task, learn);
                    give_memory_back();
                }
            };
            match thread::Builder::new().name(format!("learn {number}")).spawn(work) {
                Ok(_) => started += 1,
                Err(e) if started == 0 => {
                    return Err(Error::internal(format!("cannot start a calibration thread: {e}")));
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

    /// Gives a detector to the threads.
    ///
    /// # Errors
    /// When they have ended.
    pub(super) fn send(&self, job: Job) -> Result<()> {
        let sent = self.tasks.send(Box::new(job));
        sent.map_err(|_| Error::internal("the calibration threads have ended"))
    }
}

/// A panic ends this task, not the thread.
fn carry_out(task: Job, learn: Learn) {
    let Job { mut detector, frame_job, answer, begun } = task;
    begun.get_or_init(Instant::now);
    let done = catch_unwind(AssertUnwindSafe(|| learn(frame_job, &mut detector)));
    let said = match done {
        Ok(outcome) => Ok(Box::new((detector, outcome))),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            Err(text
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic".to_owned()))
        }
    };
    // the receiver is gone if the stream has ended
    let _ = answer.send(said);
}

/// A detector in background calibration.
#[derive(Debug)]
pub(super) struct PendingDetector {
    pub(super) answer: Receiver<Finished>,
    /// When a thread took it; until then it waits for other calibrations.
    pub(super) begun: Arc<OnceLock<Instant>>,
    /// The detector that the stream continues with if the calibration fails.
    pub(super) known: Option<StreamState>,
}
