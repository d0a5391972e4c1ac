//! Shape of the critic.

use serde::{Deserialize, Serialize};

use crate::units::BANDS;

/// An input channel of the critic: statistics of the log-mel bands of a row, standardised by the site's statistics.
/// Rows come every 50 ms and cover a window of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Means over 0.1 s, whitened.
    Brief,
    /// Means and deviations over 0.25 s, whitened together.
    Short,
    /// Means and deviations over 0.5 s, whitened together.
    Half,
    /// Means over 0.5 s, each in its own deviations.
    Level,
    /// Means and deviations over 0.5 s of the residuals given the context c of 30 ms before, whitened together.
    Unexpected,
    /// Means over 0.1 s of the residuals given the context c of 30 ms before, whitened.
    Sudden,
    /// Means and deviations over 0.5 s of the residuals given the bands of 30 ms before and their averages, whitened
    /// together.
    Departure,
    /// Deviation of each mean over 0.1 s at the site, as ln of the deviation + 1.
    Spread,
    /// Averages over some 3 s, each in its own deviations.
    Slow,
}

impl Channel {
    /// Values of each band that it gives: 1, or 2 for means and deviations.
    #[must_use]
    pub fn planes(self) -> usize {
        match self {
            Self::Brief | Self::Level | Self::Slow | Self::Sudden | Self::Spread => 1,
            Self::Short | Self::Half | Self::Unexpected | Self::Departure => 2,
        }
    }

    /// Whether it gives a distance as well: ln(‖y‖²/128 + 0.001) of the whitened vector y.
    #[must_use]
    pub fn has_distance(self) -> bool {
        self.planes() == 2
    }
}

/// Shape of a [`Critic`](super::Critic).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticConfig {
    /// Its inputs, 1 to 16 channels.
    pub channels: Vec<Channel>,
    /// Width of the first layer, for each pair of bands. 1 to 256.
    pub narrow: usize,
    /// Width of the second layer, for each four bands. 1 to 256.
    pub wide: usize,
    /// Units of the GRU. 1 to 1024.
    pub hidden: usize,
}

impl CriticConfig {
    /// The shape that ships, for these channels.
    #[must_use]
    pub fn edge(channels: Vec<Channel>) -> Self {
        Self { channels, narrow: 32, wide: 64, hidden: 64 }
    }

    /// Values of each band.
    #[must_use]
    pub fn planes(&self) -> usize {
        self.channels.iter().map(|c| c.planes()).sum()
    }

    /// Distances.
    #[must_use]
    pub fn distances(&self) -> usize {
        self.channels.iter().filter(|c| c.has_distance()).count()
    }

    /// Numbers in a row: planes of 64 bands, then distances.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.planes() * BANDS + self.distances()
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
        ];
        match sizes.into_iter().find(|&(_, size, most)| !(1..=most).contains(&size)) {
            Some((name, size, most)) => Err(format!("critic.{name} = {size} (1..={most}) is out of range")),
            None => Ok(()),
        }
    }
}
