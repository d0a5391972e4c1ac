//! Progress of a stream's calibration, for the log and the state document.

use std::time::{Duration, SystemTime};

use super::event_builder::{milli, rfc3339};
use super::scores::watching;
use crate::detect::{DetectorState, Reading};
use crate::publish::{CalibrationProgress, StreamProgress};

/// Steps of progress: of the state document, and of the log.
const TOLD: f32 = 0.05;
const LOGGED: f32 = 0.2;

/// Seconds of sound that a stream learns from.
#[derive(Debug, Clone, Copy)]
pub(super) struct CalibrationLength {
    pub(super) complete_s: f64,
    /// Those of the first provisional calibration, where there is one.
    pub(super) provisional_s: Option<f64>,
}

impl CalibrationLength {
    /// Seconds of sound until events are reported, of a stream that only learns, or until calibration is complete.
    fn left(self, state: DetectorState) -> Option<f64> {
        let (until, done) = match state {
            DetectorState::Calibrating { done } => (self.provisional_s.unwrap_or(self.complete_s), done),
            DetectorState::Provisional { done } => (self.complete_s, done),
            DetectorState::Watching | DetectorState::Relearning { .. } => return None,
        };
        Some((until - self.complete_s * f64::from(done.clamp(0.0, 1.0))).max(0.0))
    }
}

/// Progress at `state`, of a calibration of length `wanted`; `None` for sound that is not live.
pub(super) fn learning(
    state: DetectorState,
    wanted: Option<CalibrationLength>,
    now: SystemTime,
) -> Option<CalibrationProgress> {
    let done = state.done()?;
    let until = wanted.and_then(|wanted| wanted.left(state)).map(|left| {
        // an estimate, to the second
        let at = now + Duration::from_secs_f64(left);
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
    logged: Option<(std::mem::Discriminant<DetectorState>, u32)>,
}

impl LearningProgress {
    /// The state document of the stream `id`, where `reading` gives a new one; the log gets every fifth of a calibration.
    pub(super) fn take(
        &mut self,
        id: &str,
        reading: &Reading,
        wanted: Option<CalibrationLength>,
        now: SystemTime,
    ) -> Option<StreamProgress> {
        let state = reading.state;
        let step = |size: f32| state.done().map_or(0, |done| (done / size) as u32);
        let next = Some((std::mem::discriminant(&state), step(TOLD)));
        if self.reported == next {
            return None;
        }
        self.reported = next;
        let learning = learning(state, wanted, now);
        match learning.as_ref().zip(watched_from(state)) {
            Some((learning, watched)) => {
                let step = Some((std::mem::discriminant(&state), step(LOGGED)));
                if std::mem::replace(&mut self.logged, step) != step {
                    tracing::info!("{id}: {}", sentence(learning, watched));
                }
            }
            None => self.logged = None,
        }
        let (fraction, until) = learning.map_or((None, None), |it| (Some(it.fraction), it.until));
        Some(StreamProgress { state: watching(state), fraction, until })
    }
}

/// What begins when the progress of a first calibration is through.
fn watched_from(state: DetectorState) -> Option<&'static str> {
    match state {
        DetectorState::Calibrating { .. } => Some("watching from"),
        DetectorState::Provisional { .. } => Some("watching with caution, and with all that is known from"),
        DetectorState::Watching | DetectorState::Relearning { .. } => None,
    }
}

/// `learning what is normal, 42 %, watching from 18:05 UTC`.
fn sentence(learning: &CalibrationProgress, watched: &str) -> String {
    let mut text = format!("learning what is normal, {:.0} %", learning.fraction * 100.0);
    // hours and minutes of an RFC 3339 time
    if let Some(clock) = learning.until.as_deref().and_then(|until| until.get(11..16)) {
        text.push_str(&format!(", {watched} {clock} UTC"));
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

    fn wanted(provisional_s: Option<f64>) -> Option<CalibrationLength> {
        Some(CalibrationLength { complete_s: 30.0, provisional_s })
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
                wanted(None),
                now,
            ));
        }
        assert_eq!(reported.len(), 21);
        for progress in &reported {
            assert_eq!(progress.state, Watching::Calibrating);
            assert!(progress.until.as_deref().unwrap().starts_with("1970-01-01T01:00:30."), "{progress:?}");
        }
        assert!(reported.windows(2).all(|pair| pair[0].fraction < pair[1].fraction));
        let watching = learned.take("mic", &reading(DetectorState::Watching), wanted(None), now).unwrap();
        assert_eq!(watching, StreamProgress { state: Watching::Watching, fraction: None, until: None });
        assert_eq!(learned.take("mic", &reading(DetectorState::Watching), wanted(None), now), None);
        let relearning = reading(DetectorState::Relearning { done: 0.5 });
        let progress = learned.take("mic", &relearning, wanted(None), now).unwrap();
        assert_eq!((progress.fraction, progress.until), (Some(0.5), None));
    }

    #[test]
    fn the_log_says_how_far_and_from_when() {
        let of = |state, complete_s: Option<f64>| {
            let wanted = complete_s
                .map(|complete_s| CalibrationLength { complete_s, provisional_s: Some(complete_s / 5.0) });
            let progress = learning(state, wanted, SystemTime::UNIX_EPOCH).unwrap();
            sentence(&progress, watched_from(state).unwrap())
        };
        let first = DetectorState::Calibrating { done: 0.1 };
        assert_eq!(of(first, Some(1200.0)), "learning what is normal, 10 %, watching from 00:02 UTC");
        assert_eq!(of(first, None), "learning what is normal, 10 %");
        assert_eq!(
            of(DetectorState::Provisional { done: 0.4 }, Some(1200.0)),
            "learning what is normal, 40 %, watching with caution, and with all that is known from 00:12 UTC"
        );
        let late = DetectorState::Calibrating { done: 0.3 };
        assert_eq!(
            of(late, Some(1200.0)),
            "learning what is normal, 30 %, watching from 00:00 UTC",
            "a fit that waits"
        );
    }
}
