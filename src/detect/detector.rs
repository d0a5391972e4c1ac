//! The detector of one stream: frames in, findings out.

use std::collections::VecDeque;

use super::alarm_controller::{AlarmController, Decision};
use super::calibration::Calibration;
use super::calibration_buffer::CalibrationBuffer;
use super::combined_p_value::CombinedPValue;
use super::config::{DetectConfig, ms_to_frames};
use super::detector_model::DetectorModel;
use super::frame_scorer::LOOKED_AT;
use super::input::{Input, InputState};
use super::latent_mean::EVERY;
use super::ongoing_event::{EventContext, OngoingEvent, ScoredFrame};
use super::reading::{DetectorCounts, DetectorState, Quality, Reading};
use super::recurring::Repeat;
use super::stage::{SinceBreak, Stage, Watch};
use super::terms::Adaptive;
use crate::error::{Error, Result};
use crate::event::{Finding, Phase};
use crate::frame::Frame;
use crate::units::BANDS;

/// Hops at or below this level, in dB full scale, are digital silence.
const SILENCE_DBFS: f32 = -119.9;
/// Frames in a row of digital silence after which the input counts as dead.
const SILENCE_FRAMES: u64 = 10;
/// No latent, context or PMI of a sound model is larger than this.
const LARGEST: f32 = 1e9;

/// Detector of one stream: a function of the frames alone, without clocks.
#[derive(Debug, Clone)]
pub struct Detector {
    pub(super) config: DetectConfig,
    pub(super) detector_model: DetectorModel,
    pub(super) stage: Stage,
    /// Index of the last frame.
    pub(super) last: Option<u64>,
    /// Events begun.
    pub(super) number: u64,
    /// Frame in which the last one was first reported.
    pub(super) reported: Option<u64>,
    /// Without those of the present watch.
    pub(super) counts: DetectorCounts,
    pub(super) silent_run: u64,
    pub(super) since_break: SinceBreak,
    pub(super) window: Vec<f32>,
}

impl Detector {
    /// A detector that begins by calibrating.
    ///
    /// # Errors
    /// If a key of `config` is out of its range, or leaves no horizon or nothing to score.
    pub fn new(config: &DetectConfig, detector_model: DetectorModel) -> Result<Self> {
        config.validate()?;
        let shape = detector_model.shape;
        if config.skip_k >= shape.horizons {
            return Err(Error::config(
                format!("detect.skip_k is {}, the model has {} horizons", config.skip_k, shape.horizons),
                format!("set skip_k in [detect] below {}", shape.horizons),
            ));
        }
        if shape.latent == 0 {
            return Err(Error::model("the model gives no latent", "choose another model"));
        }
        Ok(Self {
            config: config.clone(),
            detector_model,
            stage: Stage::Calibrating(Box::new(CalibrationBuffer::new(config, shape))),
            last: None,
            number: 0,
            reported: None,
            counts: DetectorCounts::default(),
            silent_run: 0,
            since_break: SinceBreak::new(config, shape.latent),
            window: Vec::new(),
        })
    }

    /// A detector that watches at once, by a calibration made before.
    ///
    /// # Errors
    /// As [`Detector::new`], or if the calibration does not fit ([`Calibration::check`]).
    pub fn with_calibration(
        config: &DetectConfig,
        detector_model: DetectorModel,
        calibration: Calibration,
    ) -> Result<Self> {
        let mut detector = Self::new(config, detector_model)?;
        calibration.check(config, &detector.detector_model)?;
        detector.watch(calibration)?;
        Ok(detector)
    }

    /// Takes the next frame, of whose samples `input` tells; appends what there is to say to `out`. A jump in the
    /// frame numbers is a [`gap`](Self::gap).
    pub fn push(&mut self, frame: &Frame, input: Input, out: &mut Vec<Finding>) -> Reading {
        if self.last.is_some_and(|last| frame.index != last + 1) {
            self.gap(out);
        }
        if let Stage::Watching(watch) = &mut self.stage {
            watch.alarm_controller.tick();
        }
        let usable = self.is_usable(frame);
        let empty = input.empty || frame.level_dbfs <= SILENCE_DBFS;
        self.silent_run = if empty { self.silent_run + 1 } else { 0 };
        let mut reading = Reading {
            state: self.state(),
            quality: Quality::Good,
            surprise: None,
            novelty: None,
            p: None,
            score: None,
            level_dbfs: frame.level_dbfs,
            input: input.state,
        };
        if !usable || self.silent_run > SILENCE_FRAMES || !input.state.usable() {
            self.break_off(out);
            self.last = Some(frame.index);
            self.counts.invalid += u64::from(!usable);
            reading.quality = match input.state {
                state if !usable || state == InputState::Invalid => Quality::Invalid,
                InputState::Stuck => Quality::Stuck,
                _ => Quality::Silent,
            };
            return reading;
        }
        self.last = Some(frame.index);
        let settled = self.since_break.frames >= ms_to_frames(self.config.settle_ms);
        self.since_break.frames += 1;
        let calm = !self.in_event();
        let fresh = self.silent_run == 0 && {
            self.since_break.pool.push(frame);
            frame.index.is_multiple_of(EVERY) && self.since_break.pool.mean(&mut self.window)
        };
        if !settled {
            reading.quality = Quality::Settling;
        }
        let collects = settled && self.silent_run == 0;
        let was_fitted = collects && self.collect(frame, calm, out);
        if matches!(self.stage, Stage::Watching(_)) && !was_fitted {
            self.score(frame, fresh, &mut reading, out);
        } else if collects {
            self.since_break.activity.hear(frame);
        }
        reading.state = self.state();
        reading
    }

    /// The stream lost samples, and the model began anew: a running event ends at the last frame before.
    pub fn gap(&mut self, out: &mut Vec<Finding>) {
        self.break_off(out);
        self.last = None;
        self.silent_run = 0;
    }

    /// The stream is over: a running event ends.
    pub fn finish(&mut self, out: &mut Vec<Finding>) {
        self.gap(out);
    }

    /// Forgets what is normal and learns it again. A running event ends.
    pub fn recalibrate(&mut self, out: &mut Vec<Finding>) {
        self.break_off(out);
        self.counts = self.counts();
        self.stage =
            Stage::Calibrating(Box::new(CalibrationBuffer::new(&self.config, self.detector_model.shape)));
    }

    /// Sets the false-alarm budget, from the next frame on.
    ///
    /// # Errors
    /// If it is not within 0.01 to 3600.
    pub fn set_events_per_hour(&mut self, events_per_hour: f64) -> Result<()> {
        let config = DetectConfig { events_per_hour, ..self.config.clone() };
        config.validate()?;
        self.config = config;
        if let Stage::Watching(watch) = &mut self.stage {
            watch.alarm_controller.set_rate(&self.config)?;
        }
        Ok(())
    }

    /// The false-alarm budget in force.
    #[must_use]
    pub fn events_per_hour(&self) -> f64 {
        self.config.events_per_hour
    }

    /// What the detector is doing.
    #[must_use]
    pub fn state(&self) -> DetectorState {
        match &self.stage {
            Stage::Calibrating(collector) => DetectorState::Calibrating { done: collector.done() },
            Stage::Watching(watch) => match (&watch.first, &watch.relearning) {
                (Some(first), _) => DetectorState::Provisional { done: first.done() },
                (None, None) => DetectorState::Watching,
                (None, Some(relearning)) => DetectorState::Relearning { done: relearning.done() },
            },
        }
    }

    /// Whether one of the next `frames` may be the last that is needed to learn what is normal, which takes about a second
    /// then.
    #[must_use]
    pub fn learns_within(&self, frames: usize) -> bool {
        match &self.stage {
            Stage::Calibrating(collector) => collector.is_due_in(frames),
            Stage::Watching(watch) => match &watch.first {
                // it waits for the end of an event
                Some(first) => first.is_due_in(frames) && (frames > 1 || !self.in_event()),
                None => watch.relearning.as_ref().is_some_and(|it| it.is_full_in(frames)),
            },
        }
    }

    /// What is normal here, once it is known; a provisional calibration is not given.
    #[must_use]
    pub fn calibration(&self) -> Option<&Calibration> {
        match &self.stage {
            Stage::Calibrating(_) => None,
            Stage::Watching(watch) => watch.first.is_none().then_some(&watch.calibration),
        }
    }

    /// Whether an event is going on.
    #[must_use]
    pub fn in_event(&self) -> bool {
        matches!(&self.stage, Stage::Watching(watch) if watch.alarm_controller.episode().is_some())
    }

    /// How many events began so far; the next one has this number.
    #[must_use]
    pub fn number_of_events(&self) -> u64 {
        self.number
    }

    fn is_usable(&self, frame: &Frame) -> bool {
        let sound = |x: &f32| x.abs() <= LARGEST;
        let young = |k: usize| self.since_break.frames <= k as u64;
        let shape = self.detector_model.shape;
        frame.pmi.len() == shape.horizons
            && frame.z.len() == shape.latent
            && frame.c.len() == shape.context
            && frame.bands.len() == BANDS
            && frame.level_dbfs.is_finite()
            && [&frame.z, &frame.c, &frame.bands].into_iter().all(|part| {
                // without a branch for each, so that it is one pass of wide registers
                part.iter().fold(true, |all, x| all & sound(x))
            })
            && frame.pmi.iter().enumerate().all(|(k, x)| sound(x) || (x.is_nan() && young(k)))
    }

    pub(super) fn watch(&mut self, calibration: Calibration) -> Result<()> {
        let (id, alarm_controller) = (calibration.id(), AlarmController::new(&self.config)?);
        self.stage = Stage::Watching(Box::new(Watch {
            adaptive: Adaptive::new(&calibration.terms),
            calibration,
            first: None,
            id,
            alarm_controller,
            former: VecDeque::new(),
            relearning: None,
            scored: ScoredFrame::quiet(0),
        }));
        Ok(())
    }

    fn score(&mut self, frame: &Frame, fresh: bool, reading: &mut Reading, out: &mut Vec<Finding>) {
        let Stage::Watching(watch) = &mut self.stage else { return };
        let known = &watch.calibration;
        let scorer = &mut self.since_break.scorer;
        let scores = if self.silent_run == 0 {
            scorer.push(frame, known, &mut watch.adaptive, &self.detector_model)
        } else {
            scorer.hold(known)
        };
        if self.silent_run == 0 {
            self.since_break.activity.push(frame, &known.activity);
        }
        (reading.surprise, reading.novelty) = (scores.surprise, scores.novelty);
        if reading.quality == Quality::Settling {
            return;
        }
        let Some(combined) = scores.combined else { return };
        let combined = if self.silent_run == 0 { combined } else { CombinedPValue { p: 1.0, ..combined } };
        reading.p = Some(combined.p);
        reading.score = Some(combined.score());

        let scored = &mut watch.scored;
        scored.index = frame.index;
        scored.p = combined.p;
        scored.score = combined.score();
        scored.evidence = combined.evidence;
        scored.surprise = reading.surprise.unwrap_or(0.0);
        scored.novelty = reading.novelty.unwrap_or(0.0);
        scored.p_place = if self.silent_run == 0 { scores.p_place.unwrap_or(1.0) } else { 1.0 };
        scored.band = scores.bands.map(|bands| bands.loudest);
        let activity = &self.since_break.activity;
        let improbable = combined.p < LOOKED_AT;
        scored.clues = scores.clues(activity.clues(&known.activity, known.background_dbfs, improbable));
        scored.level_dbfs = frame.level_dbfs;
        scored.pmi.clone_from(&frame.pmi);
        let window = fresh.then_some(self.window.as_slice());
        let decision = watch.alarm_controller.push(scored, window, self.number);
        let p = scored.p.min(scored.p_place);
        if decision.ended.is_none() && self.detector_model.label_space().is_some() {
            self.since_break.latents.push(watch.alarm_controller.ongoing(), frame, !improbable);
        }
        (reading.p, reading.score) = (Some(scored.p), Some(scored.score));
        self.tell(&decision, out);
        self.follow_regime(frame, p, out);
        reading.state = self.state();
    }

    /// Makes findings of what the watch has to tell.
    pub(super) fn tell(&mut self, decision: &Decision, out: &mut Vec<Finding>) {
        self.number += u64::from(decision.began);
        if decision.began {
            self.reported = self.last;
        }
        let Stage::Watching(watch) = &self.stage else { return };
        let phase = if decision.began { Phase::New } else { Phase::Update };
        let reported_now = decision.began || (decision.graver && decision.ended.is_none());
        let repeat = if decision.ended.is_some() { decision.repeat } else { watch.alarm_controller.repeat() };
        if let Some(episode) =
            decision.ended.as_ref().or(watch.alarm_controller.episode()).filter(|_| reported_now)
        {
            out.extend(self.finding(episode, phase, repeat));
        }
        if let Some(episode) = &decision.ended {
            let end = self.finding(episode, Phase::End, repeat);
            let space = self.detector_model.label_space();
            let embedding = space.and_then(|space| self.since_break.latents.embedding(episode, space));
            out.extend(end.map(|end| Finding {
                regime: decision.regime,
                nearest: decision.nearest,
                embedding,
                ..end
            }));
        }
    }

    /// Ends a running event and forgets all but what is normal.
    fn break_off(&mut self, out: &mut Vec<Finding>) {
        if let Stage::Watching(watch) = &mut self.stage {
            let decision = watch.alarm_controller.finish(self.number);
            watch.relearning.iter_mut().for_each(|relearning| relearning.break_off());
            self.tell(&decision, out);
        }
        if self.since_break.frames > 0 {
            let latents = std::mem::take(&mut self.since_break.latents).after_break();
            let begun = SinceBreak::new(&self.config, self.detector_model.shape.latent);
            self.since_break = SinceBreak { latents, ..begun };
        }
    }

    fn finding(&self, episode: &OngoingEvent, phase: Phase, repeat: Option<Repeat>) -> Option<Finding> {
        let (Stage::Watching(watch), Some(now)) = (&self.stage, self.last) else { return None };
        let setting = EventContext {
            number: self.number.saturating_sub(1),
            reported: self.reported,
            background_dbfs: watch.calibration.background_dbfs,
            budget_per_hour: self.config.events_per_hour,
            calibration: watch.id.clone(),
            repeat,
        };
        Some(episode.finding(phase, now, watch.alarm_controller.severe_below(), &setting))
    }
}
