//! What is normal here: the outcome of calibration, kept between runs.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::DetectConfig;
use super::novelty::Novelty;
use super::surprise::Surprise;
use super::tail::Tail;
use crate::error::{Error, Result};
use crate::frame::FrameShape;

/// Version of the JSON form of [`Calibration`].
pub const CALIBRATION_VERSION: u32 = 1;

/// What was learnt about normal sound. As JSON it holds about d²/2 numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub(crate) version: u32,
    pub(crate) model: String,
    pub(crate) shape: FrameShape,
    /// Frames that surprise and novelty average over.
    pub(crate) windows: (u64, u64),
    /// Seconds of usable sound.
    pub(crate) seconds: f64,
    /// Median level of a hop.
    pub(crate) background_dbfs: f32,
    pub(crate) surprise: Surprise,
    pub(crate) surprise_tail: Tail,
    pub(crate) novelty: Novelty,
    pub(crate) novelty_tail: Tail,
}

impl Calibration {
    /// The first 8 hex digits of the sha256 of the JSON form.
    #[must_use]
    pub fn id(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).iter().take(4).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Hash of the model whose frames it was learnt from.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Seconds of usable sound it was learnt from.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Median level of a hop, dB full scale.
    #[must_use]
    pub fn background_dbfs(&self) -> f32 {
        self.background_dbfs
    }

    /// Normal surprise, and the tail of its maxima.
    #[must_use]
    pub fn surprise(&self) -> (&Surprise, &Tail) {
        (&self.surprise, &self.surprise_tail)
    }

    /// Normal novelty, and the tail of its maxima.
    #[must_use]
    pub fn novelty(&self) -> (&Novelty, &Tail) {
        (&self.novelty, &self.novelty_tail)
    }

    /// Whether frames of `shape` from `model` may be scored with this under `config`.
    ///
    /// # Errors
    /// Names what disagrees. The remedy is always to calibrate again.
    pub fn check(&self, config: &DetectConfig, shape: FrameShape, model: &str) -> Result<()> {
        let windows = config.windows();
        let cause = if self.version != CALIBRATION_VERSION {
            format!("is of version {}, expected {CALIBRATION_VERSION}", self.version)
        } else if self.model != model {
            format!("was made with model {}, but model {model} is loaded", self.model)
        } else if self.shape != shape {
            format!("is for frames of {:?}, but the model gives {shape:?}", self.shape)
        } else if self.surprise.skip_k() != config.skip_k {
            format!(
                "was made with skip_k = {}, but the config says {}",
                self.surprise.skip_k(),
                config.skip_k
            )
        } else if self.windows != windows {
            format!(
                "was made with surprise and novelty windows of {:?} frames, but the config says {windows:?}",
                self.windows
            )
        } else if !self.is_whole() {
            "is damaged: its parts disagree in length or hold values that no fit gives".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::config(format!("the stored calibration {cause}"), "remove it or run `calibrate` again"))
    }

    fn is_whole(&self) -> bool {
        self.surprise.is_whole(self.shape.horizons)
            && self.novelty.is_whole(self.shape.latent)
            && self.surprise_tail.is_whole()
            && self.novelty_tail.is_whole()
    }
}
