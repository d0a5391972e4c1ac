//! Shape of the critic.

use serde::{Deserialize, Serialize};

/// Frames for each output: 50 ms.
pub const FRAMES_A_ROW: usize = 5;

/// One feature of each of the 64 log-mel bands of a frame, in units of what is normal at the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// The band, from its mean in its deviations.
    Band,
    /// The bands, decorrelated (ZCA: the nearest to them that is white).
    White,
    /// What of the band the context of 30 ms before did not foretell.
    Unexpected,
    /// What of the band its own past did not foretell.
    Unforeseen,
    /// The band from the middle of all bands: what a change of gain leaves alone.
    Shape,
    /// The band over the last 3 s.
    Slow,
}

/// Shape of a [`Critic`](super::Critic).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticConfig {
    /// What it hears of each band: 1 to 16 channels.
    pub channels: Vec<Channel>,
    /// Width of the first layer, for each pair of bands. 1 to 256.
    pub narrow: usize,
    /// Width of the second layer, for each four bands. 1 to 256.
    pub wide: usize,
    /// Width of the layer over time. 1 to 1024.
    pub hidden: usize,
    /// Rows of 50 ms that the layer over time sees. 1 to 64.
    pub rows: usize,
}

impl CriticConfig {
    /// The shape that ships, for these channels.
    #[must_use]
    pub fn edge(channels: Vec<Channel>) -> Self {
        Self { channels, narrow: 32, wide: 64, hidden: 96, rows: 8 }
    }

    /// Whether every size is in its range.
    ///
    /// # Errors
    /// Names the size that is not.
    pub fn validate(&self) -> Result<(), String> {
        let sizes = [
            ("channels", self.channels.len(), 16),
            ("narrow", self.narrow, 256),
            ("wide", self.wide, 256),
            ("hidden", self.hidden, 1024),
            ("rows", self.rows, 64),
        ];
        match sizes.into_iter().find(|&(_, size, most)| !(1..=most).contains(&size)) {
            Some((name, size, most)) => Err(format!("critic.{name} = {size} (1..={most}) is out of range")),
            None => Ok(()),
        }
    }
}
