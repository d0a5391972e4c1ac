//! How the critic is taught.

use serde::{Deserialize, Serialize};

use crate::critic::Channel;

/// The part of a training run that teaches the critic, once the model is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticTraining {
    /// Generated scenes of some four minutes each: a site, then foreign sounds in it. `lessons` is its name of before.
    #[serde(alias = "lessons")]
    pub scenes: usize,
    /// Optimiser steps; 0 for no critic.
    pub steps: usize,
    /// Windows of 5 s a step.
    pub batch: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Its inputs for each band.
    pub channels: Vec<Channel>,
}

impl Default for CriticTraining {
    fn default() -> Self {
        Self {
            scenes: 1600,
            steps: 3000,
            batch: 32,
            learning_rate: 0.003,
            channels: vec![
                Channel::Brief,
                Channel::Short,
                Channel::Half,
                Channel::Level,
                Channel::Unexpected,
                Channel::Slow,
                Channel::Sudden,
                Channel::Departure,
                Channel::Spread,
            ],
        }
    }
}
