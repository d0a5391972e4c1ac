//! How streams are made, and the truth about one.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How streams are made from [`Material`](super::Material).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Seed of every choice.
    pub seed: u64,
    /// Streams of each background.
    pub takes: usize,
    /// Length of a stream in seconds.
    pub seconds: f64,
    /// Seconds at the start without events and controls (joins apart): what a detector learns from.
    pub quiet_s: f64,
    /// Seconds of a slot; slots hold a planted sound or a control in turn, so that sounds are two slots apart.
    pub slot_s: f64,
    /// Levels of planted sounds over the background beneath them, in dB, taken in turn.
    pub ratios_db: Vec<f32>,
    /// Size of the gain steps in dB.
    pub gain_step_db: f32,
    /// Share of the quiet part that foreign sounds take, untold: 0, or up to 0.5 to see what that costs.
    pub contamination: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 1,
            takes: 1,
            seconds: 600.0,
            quiet_s: 90.0,
            slot_s: 15.0,
            ratios_db: vec![6.0, 0.0, -6.0, -12.0],
            gain_step_db: 6.0,
            contamination: 0.0,
        }
    }
}

impl Recipe {
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
        if self.ratios_db.is_empty() || self.ratios_db.iter().any(|r| !(-40.0..=40.0).contains(r)) {
            return refuse(
                format!("ratios {:?}, expected some of -40 to 40 dB", self.ratios_db),
                "give +6 to -12",
            );
        }
        Ok(())
    }
}

/// A foreign sound in a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planted {
    /// What it is.
    pub label: String,
    /// Its level over the background beneath it, dB, over its length.
    pub ratio_db: f32,
    /// First sample, seconds from the start of the stream.
    pub onset_s: f64,
    /// End, seconds from the start of the stream.
    pub offset_s: f64,
}

/// Something that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// Two pieces of the background meet, in a cross-fade.
    Join,
    /// The gain of everything changes at once, and stays.
    GainStep,
    /// Another recording of the same kind takes the background's place for a while.
    SecondClip,
}

/// A control in a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What it is.
    pub kind: ControlKind,
    /// First sample, seconds from the start of the stream.
    pub onset_s: f64,
    /// End of the change, seconds from the start of the stream.
    pub offset_s: f64,
}
