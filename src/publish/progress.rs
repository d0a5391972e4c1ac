//! Progress of the calibration of a stream.

use serde::{Deserialize, Serialize};

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watching {
    /// Calibrating; there is no probability yet.
    Calibrating,
    /// Still calibrating, and watching by what is known so far: what is far from it is reported.
    Provisional,
    /// Watching with a calibration.
    Watching,
    /// The site has changed: calibrating again; only severe events are reported.
    Relearning,
}

/// Progress of a calibration, within [`Score`](super::Score).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationProgress {
    /// Share of the calibration sound received so far, 0 to 1.
    pub fraction: f64,
    /// When events are reported from, or in state `provisional` when calibration is complete, if sound goes on without gaps, RFC 3339 in
    /// UTC; null where sound is not heard as it happens.
    pub until: Option<String>,
}

/// The state document of a stream: retained, published when the state changes and every 5 % of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamProgress {
    /// The state of the stream.
    pub state: Watching,
    /// Share of the calibration sound received so far, 0 to 1; null while watching.
    pub fraction: Option<f64>,
    /// When events are reported from, or in state `provisional` when calibration is complete, RFC 3339 in UTC; null while watching, while
    /// relearning (severe events are reported) and where sound is not heard as it happens.
    pub until: Option<String>,
}
