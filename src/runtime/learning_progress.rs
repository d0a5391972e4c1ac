//! Progress of a stream's calibration, for the log and the state document.

use std::time::{Duration, SystemTime};

use super::event_builder::{milli, rfc3339};
use super::scores::watching;
use crate::detect::{DetectorState, Reading};
use crate::publish::{CalibrationProgress, StreamProgress};

/// Steps of progress: of the state document, and of the log.
const TOLD: f32 = 0.05;
const LOGGED: f32 = 0.2;

/// Progress at `state`: `wanted_s` seconds of sound are needed in all; `None` for sound that is not live.
pub(super) fn learning(
    state: DetectorState,
    wanted_s: Option<f64>,
    now: SystemTime,
) -> Option<CalibrationProgress> {
    let (DetectorState::Calibrating { done } | DetectorState::Relearning { done }) = state else {
        return None;
    };
    let left = wanted_s.filter(|_| matches!(state, DetectorState::Calibrating { .. }));
    let until = left.map(|wanted| {
        let at = now + Duration::from_secs_f64(wanted * f64::from(1.0 - done.clamp(0.0, 1.0)));
        // an estimate, to the second
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs_f64().round() as u64)
    });
    Some(CalibrationProgress { fraction: milli(f64::from(done)), until: until.map(rfc3339) })
}

/// The last published and logged progress.
#[derive(Debug, Default)]
pub(super) struct LearningProgress {
    /// The state by name, and the step of progress.
    reported: Option<(std::mem::Discriminant<DetectorState>, u32)>,
    logged: Option<u32>,
}

impl LearningProgress {
    /// The state document of the stream `id`, where `reading` gives a new one; the log gets every fifth of a calibration.
    pub(super) fn take(
        &mut self,
        id: &str,
        reading: &Reading,
        wanted_s: Option<f64>,
        now: SystemTime,
    ) -> Option<StreamProgress> {
        let state = reading.state;
        let step = |size: f32| match state {
            DetectorState::Calibrating { done } | DetectorState::Relearning { done } => (done / size) as u32,
            DetectorState::Watching => 0,
        };
        let next = Some((std::mem::discriminant(&state), step(TOLD)));
        if self.reported == next {
            return None;
        }
        self.reported = next;
        let learning = learning(state, wanted_s, now);
        if let (DetectorState::Calibrating { .. }, Some(learning)) = (state, &learning) {
            let step = Some(step(LOGGED));
            if std::mem::replace(&mut self.logged, step) != step {
                tracing::info!("{id}: {}", sentence(learning));
            }
        } else {
            self.logged = None;
        }
        let (fraction, until) = learning.map_or((None, None), |it| (Some(it.fraction), it.until));
        Some(StreamProgress { state: watching(state), fraction, until })
    }
}

/// `learning what is normal, 42 %, watching from 18:05 UTC`.
fn sentence(learning: &CalibrationProgress) -> String {
    let mut text = format!("learning what is normal, {:.0} %", learning.fraction * 100.0);
    // hours and minutes of an RFC 3339 time
    if let Some(clock) = learning.until.as_deref().and_then(|until| until.get(11..16)) {
        text.push_str(&format!(", watching from {clock} UTC"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{InputState, Quality};
    use crate::publish::Watching;

    fn reading(state: DetectorState) -> Reading {
        Reading {
            state,
            quality: Quality::Good,
            surprise: None,
            novelty: None,
            p: None,
            score: None,
            level_dbfs: -40.0,
            input: InputState::Good,
        }
    }

    #[test]
    fn progress_is_told_in_steps_with_the_time_of_its_end() {
        let (mut learned, now) =
            (LearningProgress::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
        let mut reported = Vec::new();
        for frame in 0..=3000u16 {
            let done = f32::from(frame) / 3000.0;
            let now = now + Duration::from_millis(10 * u64::from(frame));
            reported.extend(learned.take(
                "mic",
                &reading(DetectorState::Calibrating { done }),
                Some(30.0),
                now,
            ));
        }
        assert_eq!(reported.len(), 21);
        for progress in &reported {
            assert_eq!(progress.state, Watching::Calibrating);
            assert!(progress.until.as_deref().unwrap().starts_with("1970-01-01T01:00:30."), "{progress:?}");
        }
        assert!(reported.windows(2).all(|pair| pair[0].fraction < pair[1].fraction));
        let watching = learned.take("mic", &reading(DetectorState::Watching), Some(30.0), now).unwrap();
        assert_eq!(watching, StreamProgress { state: Watching::Watching, fraction: None, until: None });
        assert_eq!(learned.take("mic", &reading(DetectorState::Watching), Some(30.0), now), None);
        let relearning = reading(DetectorState::Relearning { done: 0.5 });
        let progress = learned.take("mic", &relearning, Some(30.0), now).unwrap();
        assert_eq!((progress.fraction, progress.until), (Some(0.5), None));
    }

    #[test]
    fn the_log_says_how_far_and_from_when() {
        let of = |wanted| {
            learning(DetectorState::Calibrating { done: 0.42 }, wanted, SystemTime::UNIX_EPOCH).unwrap()
        };
        assert_eq!(sentence(&of(Some(300.0))), "learning what is normal, 42 %, watching from 00:02 UTC");
        assert_eq!(sentence(&of(None)), "learning what is normal, 42 %");
    }
}
