//! Score documents: the readings of a second.

use std::time::{Duration, SystemTime};

use super::event_builder::{milli, rfc3339, three_digits};
use crate::detect::{DetectorState, Reading};
use crate::publish::{CalibrationProgress, Score, Watching};
use crate::units::{FRAME_RATE, frame_end, samples_to_seconds};

/// The most anomalous reading since the last score document.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Summary {
    frames: u32,
    worst: Option<Reading>,
}

impl Summary {
    /// Takes a reading of a stream whose sample 0 was captured at `zero`; a score document when one is due.
    pub(super) fn take(
        &mut self,
        zero: SystemTime,
        frame: u64,
        reading: Reading,
        every: u32,
        learning: impl FnOnce(DetectorState) -> Option<CalibrationProgress>,
    ) -> Option<Score> {
        if every == 0 {
            return None;
        }
        self.frames += 1;
        let worse = |a: &Reading, b: &Reading| a.score.unwrap_or(-1.0) > b.score.unwrap_or(-1.0);
        if self.worst.as_ref().is_none_or(|worst| worse(&reading, worst)) {
            self.worst = Some(reading);
        }
        if self.frames < every {
            return None;
        }
        let worst = std::mem::take(self).worst.unwrap_or(reading);
        let t_s = samples_to_seconds(frame_end(frame));
        Some(Score {
            t_s,
            time: rfc3339(zero + Duration::from_secs_f64(t_s)),
            surprise: worst.surprise.map(milli),
            novelty: worst.novelty.map(milli),
            level_dbfs: (worst.level_dbfs * 10.0).round() / 10.0,
            p: worst.p.map(three_digits),
            score: worst.score.map(milli),
            state: watching(worst.state),
            learning: learning(worst.state),
        })
    }
}

/// The state of a detector in documents.
pub(super) fn watching(state: DetectorState) -> Watching {
    match state {
        DetectorState::Calibrating { .. } => Watching::Calibrating,
        DetectorState::Provisional { .. } => Watching::Provisional,
        DetectorState::Watching => Watching::Watching,
        DetectorState::Relearning { .. } => Watching::Relearning,
    }
}

/// Frames between two score documents at `hz` documents a second of sound.
pub(super) fn score_every(hz: f64) -> u32 {
    if hz > 0.0 { (f64::from(FRAME_RATE) / hz).round().max(1.0) as u32 } else { 0 }
}
