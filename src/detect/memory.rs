//! All that a detector remembers at a moment, for another process that goes on with the next frame.
//!
//! [`StreamState`](super::StreamState) is for restarts: the stream begins anew, and what lasts seconds is left out. Here nothing is:
//! a detector that is resumed gives the readings and findings that the first would have given, bit for bit. Calibrations are
//! named by their ids and kept apart, since they are large and stay the same for long.

use std::collections::VecDeque;

use super::alarm_controller::AlarmController;
use super::calibration::Calibration;
use super::config::DetectConfig;
use super::detector::Detector;
use super::detector_model::DetectorModel;
use super::exact::Exact;
use super::learnt::{Learnt, MOST_FORMER, PreviousCalibration};
use super::ongoing_event::ScoredFrame;
use super::stage::{SinceBreak, Stage, Watch};
use super::terms::{Adaptive, AdaptiveState};
use crate::error::{Error, Result};

/// What a detector remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetectorMemory {
    /// All but the calibrations, in the form of this build.
    pub bytes: Vec<u8>,
    /// Ids of the calibrations that belong to it: the one in force, then former ones.
    pub calibrations: Vec<String>,
}

impl Detector {
    /// All that it remembers now; none while it collects sound for a calibration, which is tens of megabytes.
    #[must_use]
    pub fn memory(&self) -> Option<DetectorMemory> {
        let Self {
            config,
            detector_model: _,
            stage,
            last,
            number,
            reported,
            counts,
            silent_run,
            since_break,
            window,
        } = self;
        let mut memory = DetectorMemory::default();
        let out = &mut memory.bytes;
        config.events_per_hour.write(out);
        (*last, *number).write(out);
        reported.write(out);
        counts.write(out);
        silent_run.write(out);
        since_break.write(out);
        window.write(out);
        match stage {
            Stage::Calibrating(collector) => {
                collector.is_empty().then_some(())?;
                false.write(out);
            }
            Stage::Watching(watch) => {
                let Watch {
                    calibration,
                    first,
                    id,
                    alarm_controller,
                    adaptive,
                    former,
                    relearning,
                    scored: _,
                } = watch.as_ref();
                (first.is_none() && relearning.is_none()).then_some(())?;
                true.write(out);
                id.write(out);
                alarm_controller.write(out);
                adaptive.snapshot().write(out);
                former.len().write(out);
                for PreviousCalibration { calibration, learnt } in former {
                    calibration.id().write(out);
                    learnt.write(out);
                }
                memory.calibrations.push(calibration.id());
                memory.calibrations.extend(former.iter().map(|former| former.calibration.id()));
            }
        }
        Some(memory)
    }

    /// One of the calibrations that its [`memory`](Self::memory) names.
    #[must_use]
    pub fn calibration_with(&self, id: &str) -> Option<&Calibration> {
        let Stage::Watching(watch) = &self.stage else { return None };
        let former = watch.former.iter().map(|former| &former.calibration);
        std::iter::once(&watch.calibration).chain(former).find(|calibration| calibration.id() == id)
    }

    /// A detector that goes on where the one was of which `from` is the memory; `find` gives calibrations by their ids. `config` is the
    /// one of that detector but for a budget that was set later.
    ///
    /// # Errors
    /// When a calibration is missing or does not fit, or `from` is damaged or of another build.
    pub fn resume(
        config: &DetectConfig,
        detector_model: &DetectorModel,
        from: &mut &[u8],
        find: &mut dyn FnMut(&str) -> Option<Calibration>,
    ) -> Result<Self> {
        let mut detector = Self::new(config, detector_model.clone())?;
        let damaged = || Error::internal("the memory of a detector is damaged or of another build");
        detector.config.events_per_hour = f64::read(from).ok_or_else(damaged)?;
        detector.config.validate()?;
        (detector.last, detector.number) = Exact::read(from).ok_or_else(damaged)?;
        detector.reported = Exact::read(from).ok_or_else(damaged)?;
        detector.counts = Exact::read(from).ok_or_else(damaged)?;
        detector.silent_run = Exact::read(from).ok_or_else(damaged)?;
        detector.since_break = SinceBreak::read(from).ok_or_else(damaged)?;
        detector.window = Exact::read(from).ok_or_else(damaged)?;
        if bool::read(from).ok_or_else(damaged)? {
            let mut known = |id: &str| -> Result<Calibration> {
                let missing = || Error::internal(format!("the calibration {id} is missing"));
                let calibration = find(id).ok_or_else(missing)?;
                calibration.check(config, detector_model)?;
                Ok(calibration)
            };
            let id = String::read(from).ok_or_else(damaged)?;
            let calibration = known(&id)?;
            let alarm_controller = AlarmController::read(from).ok_or_else(damaged)?;
            let adaptive = AdaptiveState::read(from).ok_or_else(damaged)?;
            let adaptive = Adaptive::restore(&calibration.terms, adaptive).ok_or_else(damaged)?;
            let count = usize::read(from).filter(|count| *count <= MOST_FORMER).ok_or_else(damaged)?;
            let mut former = VecDeque::new();
            for _ in 0..count {
                let id = String::read(from).ok_or_else(damaged)?;
                let learnt = Learnt::read(from).ok_or_else(damaged)?;
                former.push_back(PreviousCalibration { calibration: known(&id)?, learnt });
            }
            let scored = ScoredFrame::quiet(0);
            let watch = Watch {
                calibration,
                first: None,
                id,
                alarm_controller,
                adaptive,
                former,
                relearning: None,
                scored,
            };
            detector.stage = Stage::Watching(Box::new(watch));
        }
        Ok(detector)
    }
}
