//! Settings of a listener.

use crate::detect::DetectConfig;

/// Settings of a [`Listener`](super::Listener); the defaults are those of the daemon.
///
/// ```
/// let settings = cpc_stream::Settings::default().calibrate_seconds(60.0).events_per_hour(4.0);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub(super) detect: DetectConfig,
    pub(super) without_frames: bool,
}

impl Settings {
    /// Seconds of usable sound from which a stream learns what is normal, 10 to 3600; 300 by default.
    #[must_use]
    pub fn calibrate_seconds(mut self, seconds: f64) -> Self {
        self.detect.calibrate_seconds = seconds;
        self
    }

    /// Seconds of usable sound after which what is far from normal is found already, by a provisional calibration: 30 to 3600; 60 by
    /// default. With 0, or without [`hold_budget`](Self::hold_budget), nothing is found before calibration is complete.
    #[must_use]
    pub fn provisional_seconds(mut self, seconds: f64) -> Self {
        self.detect.provisional_seconds = seconds;
        self
    }

    /// The false-alarm budget: events an hour that normal sound may cause, 0.01 to 3600; 1 by default.
    #[must_use]
    pub fn events_per_hour(mut self, events: f64) -> Self {
        self.detect.events_per_hour = events;
        self
    }

    /// Whether each alarm raises the threshold a little and a hard cap of four times the budget holds, as in the daemon (true, the
    /// default). With false the threshold of calibration stays, for recordings whose findings are evaluated by a program.
    #[must_use]
    pub fn hold_budget(mut self, hold: bool) -> Self {
        self.detect.hold_budget = hold;
        self
    }

    /// Leaves [`Output::Frame`](super::Output::Frame) out, for programs that need findings only.
    #[must_use]
    pub fn without_frames(mut self) -> Self {
        self.without_frames = true;
        self
    }
}
