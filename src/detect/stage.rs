//! The two stages of a detector, and what both remember of the last frames.

use std::collections::VecDeque;

use super::activity::ActivityTracker;
use super::alarm_controller::AlarmController;
use super::calibration::Calibration;
use super::calibration_buffer::CalibrationBuffer;
use super::config::DetectConfig;
use super::event_latents::EventLatents;
use super::frame_scorer::FrameScorer;
use super::latent_mean::{LatentMean, POOL_FRAMES};
use super::learnt::PreviousCalibration;
use super::ongoing_event::ScoredFrame;
use super::relearning::Relearning;
use super::terms::Adaptive;
use crate::detect::exact::exact;

/// What a detector holds while it watches.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) calibration: Calibration,
    /// The sound of the first calibration while that goes on: the calibration in force is provisional.
    pub(super) first: Option<Box<CalibrationBuffer>>,
    /// That of the calibration.
    pub(super) id: String,
    pub(super) alarm_controller: AlarmController,
    /// What is usual, with what was received since.
    pub(super) adaptive: Adaptive,
    /// Former calibrations, the newest first.
    pub(super) former: VecDeque<PreviousCalibration>,
    /// While the site changes.
    pub(super) relearning: Option<Box<Relearning>>,
    /// The frame in hand; kept for its allocation.
    pub(super) scored: ScoredFrame,
}

/// What a detector does.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Calibrating(Box<CalibrationBuffer>),
    Watching(Box<Watch>),
}

/// What is remembered of the frames since the last start, gap, silence or invalid frame.
#[derive(Debug, Clone)]
pub(super) struct SinceBreak {
    pub(super) frames: u64,
    /// What scores remember.
    pub(super) scorer: FrameScorer,
    /// Latents z, by which the operator's verdicts are known again.
    pub(super) pool: LatentMean,
    /// Level and beats.
    pub(super) activity: ActivityTracker,
    /// Those of the event that is going on.
    pub(super) latents: EventLatents,
}

exact!(SinceBreak { frames, scorer, pool, activity, latents });

impl SinceBreak {
    pub(super) fn new(config: &DetectConfig, latent: usize) -> Self {
        Self {
            frames: 0,
            scorer: FrameScorer::new(config.surprise_frames()),
            pool: LatentMean::new(POOL_FRAMES as usize, latent),
            activity: ActivityTracker::new(),
            latents: EventLatents::default(),
        }
    }
}
