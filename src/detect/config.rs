//! What the operator may set about detection.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::seconds_to_frames;

/// Fewer seconds of sound say too little of a site.
const SHORTEST_PROVISIONAL_S: f64 = 30.0;

/// How findings are made from frames. One knob matters, [`events_per_hour`](Self::events_per_hour); the rest is
/// timing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// The false-alarm budget: how many events an hour normal sound may cause. 0.01 to 3600.
    pub events_per_hour: f64,
    /// The hard cap: at most this many times `events_per_hour` alarms are reported, after a burst of 3. Severe ones are
    /// not counted. 1 to 100.
    pub cap_factor: f64,
    /// Whether the budget is held online: each alarm raises the threshold a little and quiet lowers it again, and the
    /// hard cap holds. Without it the threshold of calibration stays: for recordings, whose events are read by a program.
    pub hold_budget: bool,
    /// A sound that was reported three times within 24 hours is reported again once so many seconds have passed, as long as
    /// `hold_budget` is set. 0 reports it each time. 0 to 86400.
    pub repeat_after_s: f64,
    /// Seconds of usable sound that calibration listens to before anything is reported. 10 to 3600.
    pub calibrate_seconds: f64,
    /// Seconds of usable sound after which a provisional calibration is in force, so that what is far from it is reported while
    /// calibration goes on; it is fitted anew whenever the sound has doubled. Only with `hold_budget`. 0 reports nothing before
    /// calibration is complete. 0, or 30 to 3600.
    pub provisional_seconds: f64,
    /// Horizons k = 1..=skip_k are left out of the surprise: for k ≤ 2 the receptive fields of z_u and z_{u−k}
    /// (465 samples at a stride of 160) overlap. Less than the model's number of horizons.
    pub skip_k: usize,
    /// Milliseconds over which the surprise of single frames is averaged: a click is one frame, an event is more.
    /// 10 to 1000.
    pub surprise_window_ms: f64,
    /// Milliseconds for which the tail probability must stay below the budget's before an event is confirmed.
    /// 10 to 1000.
    pub min_duration_ms: f64,
    /// Milliseconds for which the tail probability must stay above ten times the budget's before an event is
    /// over. 10 to 10000.
    pub hang_ms: f64,
    /// The onset is looked for at most this many milliseconds before the frames that confirmed the event. 0 to
    /// 2000.
    pub onset_lookback_ms: f64,
    /// An event that is over and is confirmed again within this many milliseconds goes on as the same event. 0
    /// to 10000. The end is reported once this has passed.
    pub merge_gap_ms: f64,
    /// No new event begins within this many milliseconds after the offset of one. 0 to 60000.
    pub hold_off_ms: f64,
    /// An event is ended after this many seconds; what still goes on must fall silent before it can alarm again.
    /// 1 to 3600.
    pub max_event_s: f64,
    /// Milliseconds after a start or a gap that are neither scored nor calibrated on, because contexts settle.
    /// 0 to 10000.
    pub settle_ms: f64,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            events_per_hour: 1.0,
            cap_factor: 4.0,
            hold_budget: true,
            repeat_after_s: 3600.0,
            calibrate_seconds: 300.0,
            provisional_seconds: 60.0,
            skip_k: 2,
            surprise_window_ms: 100.0,
            min_duration_ms: 30.0,
            hang_ms: 200.0,
            onset_lookback_ms: 300.0,
            merge_gap_ms: 200.0,
            hold_off_ms: 500.0,
            max_event_s: 30.0,
            settle_ms: 1000.0,
        }
    }
}

impl DetectConfig {
    /// Checks every key against its range.
    ///
    /// # Errors
    /// Names the first key that is out of its range, and the range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("events_per_hour", self.events_per_hour, 0.01, 3600.0),
            ("cap_factor", self.cap_factor, 1.0, 100.0),
            ("repeat_after_s", self.repeat_after_s, 0.0, 86_400.0),
            ("calibrate_seconds", self.calibrate_seconds, 10.0, 3600.0),
            ("provisional_seconds", self.provisional_seconds, 0.0, 3600.0),
            ("surprise_window_ms", self.surprise_window_ms, 10.0, 1000.0),
            ("min_duration_ms", self.min_duration_ms, 10.0, 1000.0),
            ("hang_ms", self.hang_ms, 10.0, 10_000.0),
            ("onset_lookback_ms", self.onset_lookback_ms, 0.0, 2000.0),
            ("merge_gap_ms", self.merge_gap_ms, 0.0, 10_000.0),
            ("hold_off_ms", self.hold_off_ms, 0.0, 60_000.0),
            ("max_event_s", self.max_event_s, 1.0, 3600.0),
            ("settle_ms", self.settle_ms, 0.0, 10_000.0),
        ];
        for (key, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::config(
                    format!("detect.{key} is {value}, expected {low} to {high}"),
                    format!("set {key} in [detect] to a number from {low} to {high}"),
                ));
            }
        }
        let provisional = self.provisional_seconds;
        if provisional > 0.0 && provisional < SHORTEST_PROVISIONAL_S {
            return Err(Error::config(
                format!("detect.provisional_seconds is {provisional}, expected 0, or 30 to 3600"),
                "set provisional_seconds in [detect] to 0, or to a number from 30 to 3600",
            ));
        }
        Ok(())
    }

    /// Seconds of the first provisional calibration; none where there is none, or the complete one has not half as many again.
    pub(crate) fn first_provisional(&self) -> Option<f64> {
        let wanted = self.hold_budget && self.provisional_seconds > 0.0;
        (wanted && self.is_worth_while(self.provisional_seconds)).then_some(self.provisional_seconds)
    }

    /// Whether a provisional calibration of so many seconds of sound is in force long enough before the complete one.
    pub(crate) fn is_worth_while(&self, seconds: f64) -> bool {
        1.5 * seconds <= self.calibrate_seconds
    }

    /// Frames that surprise averages over, 1 or more.
    pub(crate) fn surprise_frames(&self) -> u64 {
        ms_to_frames(self.surprise_window_ms).max(1)
    }

    /// Frames after which a sound that was reported often is reported again; none where it always is.
    pub(crate) fn repeat_after(&self) -> Option<u64> {
        (self.hold_budget && self.repeat_after_s > 0.0).then(|| seconds_to_frames(self.repeat_after_s) as u64)
    }

    /// The budget as a probability per 1 s block of normal sound: `events_per_hour / 3600`.
    #[must_use]
    pub fn budget_per_block(&self) -> f64 {
        self.events_per_hour / 3600.0
    }
}

/// Frames in `ms` milliseconds, to the nearest.
pub(super) fn ms_to_frames(ms: f64) -> u64 {
    seconds_to_frames(ms / 1000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_toml() {
        let config = DetectConfig::default();
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DetectConfig>(&text).unwrap(), config);
        assert_eq!(toml::from_str::<DetectConfig>("").unwrap(), config);
    }

    #[test]
    fn a_wrong_key_or_value_is_refused_with_its_name() {
        assert!(toml::from_str::<DetectConfig>("threshold = 3.0").is_err());
        for (config, key) in [
            (DetectConfig { events_per_hour: 0.0, ..Default::default() }, "events_per_hour"),
            (DetectConfig { events_per_hour: f64::NAN, ..Default::default() }, "events_per_hour"),
            (DetectConfig { calibrate_seconds: 9.0, ..Default::default() }, "calibrate_seconds"),
            (DetectConfig { provisional_seconds: 12.0, ..Default::default() }, "provisional_seconds"),
            (DetectConfig { max_event_s: 0.0, ..Default::default() }, "max_event_s"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().contains(key) && error.fix().contains(key), "{error}");
            assert_eq!(error.kind().exit_code(), 2);
        }
    }
}
