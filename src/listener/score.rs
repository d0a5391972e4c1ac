//! The events of a recording in memory.

use super::{Listener, Model, Output, Settings};
use crate::error::Result;
use crate::event::{Finding, Phase};

/// Seconds of a recording that are scored at a time.
const PIECE_S: u32 = 1;

impl Model {
    /// The events in mono `samples` at `sample_rate` Hz, each with its final figures. The first
    /// [`calibrate_seconds`](Settings::calibrate_seconds) of them are what is normal; with
    /// [`hold_budget(false)`](Settings::hold_budget) the threshold stays that of calibration.
    ///
    /// # Errors
    /// When the model has no heads, a setting is out of its range or the rate cannot be resampled.
    pub fn score(&self, samples: &[f32], sample_rate: u32, settings: &Settings) -> Result<Vec<Finding>> {
        let mut listener = Listener::new(self, &settings.clone().without_frames())?;
        let stream = listener.add_stream(sample_rate)?;
        let mut findings = Vec::new();
        let mut keep = |outputs: Vec<Output>| {
            findings.extend(outputs.into_iter().filter_map(|output| match output {
                Output::Finding { finding, .. } if finding.phase == Phase::End => Some(*finding),
                _ => None,
            }));
        };
        for piece in samples.chunks((sample_rate * PIECE_S).max(1) as usize) {
            listener.push(stream, piece)?;
            keep(listener.step()?);
        }
        keep(listener.end(stream)?.0);
        Ok(findings)
    }
}
