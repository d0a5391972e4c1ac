//! The settings of generated streams, and the truth about one.

use serde::{Deserialize, Serialize};

use super::family::{AnomalyKind, ControlKind, Family};
use crate::error::{Error, Result};

/// Settings of streams that are made from [`Material`](super::Material).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneRecipe {
    /// Seed of every choice.
    pub seed: u64,
    /// Families of streams.
    pub families: Vec<Family>,
    /// Streams of each background in each family.
    pub takes: usize,
    /// Most streams of each family, spread evenly over its backgrounds; none for all.
    pub most_streams: Option<usize>,
    /// Length of a stream in seconds.
    pub seconds: f64,
    /// Seconds at the start without anomalies and controls (joins apart), for the detector's calibration.
    pub quiet_s: f64,
    /// Whether a recording that is shorter than the quiet part is played again to fill it. Otherwise the quiet part of such a
    /// stream is as long as the sound that it has.
    pub repeat_quiet: bool,
    /// Seconds of a slot; slots hold an anomaly or a control in turn, so that anomalies are two slots apart.
    pub slot_s: f64,
    /// Levels of planted sounds over the background beneath them, in dB, taken in turn.
    pub ratios_db: Vec<f32>,
    /// Levels of faults over the machine, dB, taken in turn.
    pub fault_ratios_db: Vec<f32>,
    /// Levels of the beats of a rhythm over the background, dB, one a stream, taken in turn.
    pub beat_ratios_db: Vec<f32>,
    /// Size of gain steps and swells in dB.
    pub gain_step_db: f32,
    /// Share of the quiet part with unlabelled foreign sounds: 0, or up to 0.5 to measure the effect of contamination.
    pub contamination: f64,
}

impl Default for SceneRecipe {
    fn default() -> Self {
        Self {
            seed: 1,
            families: Family::ALL.to_vec(),
            takes: 1,
            most_streams: None,
            seconds: 600.0,
            quiet_s: 90.0,
            repeat_quiet: true,
            slot_s: 15.0,
            ratios_db: vec![6.0, 0.0, -6.0, -12.0],
            fault_ratios_db: vec![0.0, -5.0, -10.0],
            beat_ratios_db: vec![20.0, 14.0, 8.0],
            gain_step_db: 6.0,
            contamination: 0.0,
        }
    }
}

impl SceneRecipe {
    /// Streams small enough for a test of minutes.
    #[must_use]
    pub fn slice() -> Self {
        Self { seconds: 150.0, quiet_s: 60.0, slot_s: 10.0, ..Self::default() }
    }

    /// Checks that a stream has room for a calibration and for events.
    ///
    /// # Errors
    /// Names the value that is out of its range.
    pub fn validate(&self) -> Result<()> {
        let refuse = |cause: String, fix: &str| Err(Error::config(cause, fix));
        if !(20.0..=1800.0).contains(&self.quiet_s) {
            return refuse(
                format!("{} s without events, expected 20 to 1800", self.quiet_s),
                "give 60 to 120",
            );
        }
        if !(6.0..=120.0).contains(&self.slot_s) {
            return refuse(format!("slots of {} s, expected 6 to 120", self.slot_s), "give 15");
        }
        if !(self.quiet_s + 4.0 * self.slot_s..=7200.0).contains(&self.seconds) {
            return refuse(
                format!(
                    "streams of {} s, expected the quiet part and four slots, and at most 2 h",
                    self.seconds
                ),
                "give 300 to 600",
            );
        }
        if !(0.0..=0.5).contains(&self.contamination) {
            return refuse(
                format!("a contamination of {}, expected 0 to 0.5", self.contamination),
                "give the share of the quiet part, such as 0.05",
            );
        }
        for ratios in [&self.ratios_db, &self.fault_ratios_db, &self.beat_ratios_db] {
            if ratios.is_empty() || ratios.iter().any(|r| !(-40.0..=40.0).contains(r)) {
                let cause = format!("ratios {ratios:?}, expected some of -40 to 40 dB");
                return refuse(cause, "give +6 to -12");
            }
        }
        if self.families.is_empty() || self.takes == 0 || self.most_streams == Some(0) {
            return refuse(
                format!("{} families with {} takes each", self.families.len(), self.takes),
                "ask for at least one family and one stream",
            );
        }
        Ok(())
    }
}

/// An anomaly in a stream. Times are seconds from the start of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planted {
    /// Its kind, which defines the interval of the truth.
    pub kind: AnomalyKind,
    /// Label of its sound.
    pub label: String,
    /// Its level over the sound beneath it in dB, over its length; none where it has no level of its own.
    pub ratio_db: Option<f32>,
    /// Start of the anomaly.
    pub onset_s: f64,
    /// End of the anomaly.
    pub offset_s: f64,
    /// The first moment at which it can be known.
    pub known_from_s: f64,
    /// Sound between the end and this moment is neither normal nor an anomaly.
    pub unclear_until_s: f64,
}

/// A control in a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Its kind.
    pub kind: ControlKind,
    /// First sample, seconds from the start of the stream.
    pub onset_s: f64,
    /// End of the change, seconds from the start of the stream.
    pub offset_s: f64,
}
