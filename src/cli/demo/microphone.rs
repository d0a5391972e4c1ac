//! A stream of the demo.

use super::chart::Chart;
use super::scene::Scene;
use crate::event::Finding;

/// An event of the demo.
pub(super) struct Event {
    /// When it was confirmed, seconds of sound.
    pub(super) decided_s: f64,
    pub(super) finding: Finding,
}

/// A stream of the demo, and what came of it.
pub(super) struct Microphone<'a> {
    pub(super) scene: &'a Scene,
    pub(super) stream: usize,
    pub(super) chart: Chart<'a>,
    pub(super) found: Vec<Event>,
}
