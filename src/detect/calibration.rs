//! What is normal here: the outcome of calibration, kept between runs.

use std::fmt::Write as _;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::activity::Activity;
use super::background_model::BackgroundModel;
use super::config::DetectConfig;
use super::detector_model::DetectorModel;
use super::reference::tempered;
use super::surprise::Surprise;
use super::tail::{P_FLOOR, Tail};
use super::terms::{Combination, TermModel};
use crate::error::{Error, Result};
use crate::frame::FrameShape;

/// Version of the JSON form of [`Calibration`].
pub const CALIBRATION_VERSION: u32 = 9;

/// Seconds of calibration that count as much as what is known of sites in general.
const PRIOR_SECONDS: f64 = 90.0;
/// −log10 of what surprise alone must be less probable by.
const SURPRISE_ALONE: f64 = 1.0;
/// No step of the gain is less probable than this.
pub(super) const STEP_P: f64 = 0.1;

/// An id that is computed once. It is no part of the content.
#[derive(Debug, Clone, Default)]
pub(crate) struct CachedId(OnceLock<String>);

impl PartialEq for CachedId {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What was learnt about normal sound. As JSON it holds about 50,000 numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub(crate) version: u32,
    pub(crate) model: String,
    pub(crate) shape: FrameShape,
    /// Frames that surprise averages over.
    pub(crate) surprise_frames: u64,
    /// Seconds of usable sound.
    pub(crate) seconds: f64,
    /// Median level of a hop.
    pub(crate) background_dbfs: f32,
    pub(crate) surprise: Surprise,
    pub(crate) surprise_tail: Tail,
    pub(crate) site: BackgroundModel,
    pub(crate) novelty_tail: Tail,
    /// The tail of medians of novelty over 1 s: beyond it lies another site.
    pub(crate) place_tail: Tail,
    /// The tail of the critic's output, for a model that has one.
    pub(crate) critic_tail: Option<Tail>,
    /// What the sound of now is compared with, and how the terms are combined.
    pub(crate) terms: TermModel,
    pub(crate) combination: Combination,
    /// The tail of the combined score.
    pub(crate) score_tail: Tail,
    /// Level and rhythm, by which the kind of an event is decided.
    pub(crate) activity: Activity,
    #[serde(skip)]
    pub(crate) cached_id: CachedId,
}

impl Calibration {
    /// The first 8 hex digits of the sha256 of the JSON form.
    #[must_use]
    pub fn id(&self) -> String {
        let of_content = || {
            let json = serde_json::to_vec(self).unwrap_or_default();
            Sha256::digest(json).iter().take(4).fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        self.cached_id.0.get_or_init(of_content).clone()
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

    /// The site, and the tail of the maxima of its novelty.
    #[must_use]
    pub fn novelty(&self) -> (&BackgroundModel, &Tail) {
        (&self.site, &self.novelty_tail)
    }

    /// The tail of the maxima of the critic's output, for a model that has a critic.
    #[must_use]
    pub fn critic(&self) -> Option<&Tail> {
        self.critic_tail.as_ref()
    }

    /// Tail probability of an output of the critic, per second of normal sound.
    ///
    /// A short calibration knows little of its own tail, and what is usual at many sites is known from training. The two
    /// are averaged as logarithms, p = p_site^w · p_usual^(1−w) with w = T/(T + 90 s) for a tail of T seconds: those that
    /// the site's tail was fitted to, which of a long calibration are not all.
    #[must_use]
    pub fn critic_probability(&self, logit: f64, usual: Option<&Tail>) -> Option<f64> {
        Some(critic_probability(self.critic_tail.as_ref()?, logit, usual))
    }

    /// Tail probability of a combined score, per second of normal sound: that of calibration, tempered by how often sound of many
    /// sites exceeds it ([`tempered`]).
    pub(super) fn score_probability(&self, score: f64) -> f64 {
        let surprisal = self.score_tail.surprisal(score);
        10f64.powf(-tempered(surprisal, self.seconds)).clamp(P_FLOOR, 1.0)
    }

    /// The same of surprise, which the other terms do not see: 10 times as probable, so that only what surprise has never been in
    /// normal sound counts by it alone.
    pub(super) fn surprise_probability(&self, surprise: f64) -> f64 {
        let surprisal = tempered(self.surprise_tail.surprisal(surprise), self.seconds) - SURPRISE_ALONE;
        10f64.powf(-surprisal).clamp(P_FLOOR, 1.0)
    }

    /// Whether frames of `detector_model` may be scored with this under `config`.
    ///
    /// # Errors
    /// Names what disagrees. The remedy is always to calibrate again.
    pub fn check(&self, config: &DetectConfig, detector_model: &DetectorModel) -> Result<()> {
        let (shape, model) = (detector_model.shape, &detector_model.model);
        let frames = config.surprise_frames();
        let cause = if self.version != CALIBRATION_VERSION {
            format!("is of version {}, expected {CALIBRATION_VERSION}", self.version)
        } else if self.model != *model {
            format!("was made with model {}, but model {model} is loaded", self.model)
        } else if self.shape != shape {
            format!("is for frames of {:?}, but the model gives {shape:?}", self.shape)
        } else if self.surprise.skip_k() != config.skip_k {
            format!(
                "was made with skip_k = {}, but the config says {}",
                self.surprise.skip_k(),
                config.skip_k
            )
        } else if self.surprise_frames != frames {
            format!(
                "was made with a surprise window of {} frames, but the config says {frames}",
                self.surprise_frames
            )
        } else if self.critic_tail.is_some() != detector_model.critic.is_some() {
            "and the model disagree about a critic".to_owned()
        } else if !self.is_whole() {
            "is damaged: its parts disagree in length or hold values that no fit gives".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::config(format!("the stored calibration {cause}"), "remove it or run `calibrate` again"))
    }

    fn is_whole(&self) -> bool {
        self.surprise.is_whole(self.shape.horizons)
            && self.site.is_whole(self.shape.context)
            && self.surprise_tail.is_whole()
            && self.novelty_tail.is_whole()
            && self.place_tail.is_whole()
            && self.critic_tail.as_ref().is_none_or(Tail::is_whole)
            && self.terms.is_whole()
            && self.combination.is_whole()
            && self.score_tail.is_whole()
            && self.activity.is_whole()
    }
}

/// Tail probability of an output of the critic ([`Calibration::critic_probability`]).
pub(super) fn critic_probability(tail: &Tail, logit: f64, usual: Option<&Tail>) -> f64 {
    let site = tail.tail_probability(logit);
    let Some(usual) = usual else { return site };
    let seconds = tail.maxima().len() as f64;
    let weight = seconds / (seconds + PRIOR_SECONDS);
    let both = weight * site.ln() + (1.0 - weight) * usual.tail_probability(logit).ln();
    both.exp().clamp(P_FLOOR, 1.0)
}

/// The critic's vote: −log10 of its probability, which no step of the gain makes smaller than 0.1.
pub(super) fn vote(p: f64, is_gain_step: bool) -> f64 {
    let p = if is_gain_step { p.max(STEP_P) } else { p };
    -p.log10()
}
