//! Backgrounds, and the sounds that go into them.

use crate::units::MODEL_RATE;

/// Continuity of a background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// One uninterrupted recording. It is played in its order, and goes on from its end to its beginning.
    Recording,
    /// Clips of one kind, played in pieces at random.
    Clips,
    /// A short recording of one steady state. Calibration and test use different parts of it, each played in pieces at
    /// random.
    State,
}

/// A site to listen to.
#[derive(Debug, Clone)]
pub struct Background {
    /// Its name.
    pub name: String,
    /// The collection that it is from.
    pub collection: String,
    /// Whether it is one recording or several.
    pub continuity: Continuity,
    /// Whether a machine runs in it, steadily.
    pub machine: bool,
    /// Its sound in pieces of any length, 16 kHz, of equal level.
    pub clips: Vec<Vec<f32>>,
    /// Another recording of its kind, if there is one.
    pub second: Option<Vec<f32>>,
}

impl Background {
    /// Seconds of sound.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.clips.iter().map(Vec::len).sum::<usize>() as f64 / f64::from(MODEL_RATE)
    }
}

/// Backgrounds and sounds.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// Backgrounds: uninterrupted recordings first, the longest of them before the others.
    pub backgrounds: Vec<Background>,
    /// Foreign sounds: label and active part.
    pub foreign: Vec<(String, Vec<f32>)>,
    /// Strokes that rhythms are made of: label and sound.
    pub strokes: Vec<(String, Vec<f32>)>,
    /// States of a motor at one level.
    pub states: Vec<Background>,
    /// Files that were left out, a line each.
    pub skipped: Vec<String>,
}
