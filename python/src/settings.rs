//! What both ways of finding events can be told.

use cpc_stream::Settings;

/// Settings of the detector.
pub(crate) fn settings(calibrate_seconds: f64, events_per_hour: f64, hold_budget: bool) -> Settings {
    Settings::default()
        .calibrate_seconds(calibrate_seconds)
        .events_per_hour(events_per_hour)
        .hold_budget(hold_budget)
}
