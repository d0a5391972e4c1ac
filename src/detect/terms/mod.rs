//! The terms: what the sound of now is compared with.
//!
//! ```text
//! bands ─┬─ mean, deviation of 0.5 and 0.25 s ───────────────▶ density        is it usual here?
//!        ├─ error of the prediction from the last 0.3 s ─────▶ short          did it begin as usual?
//!        ├─ spectrum of the envelopes over 0.64 s ───────────▶ modulation     does it run as usual?
//!        └─ groups of bands ─ error of the prediction ─┬─────▶ residual       what was due by the last 4 and 8 s?
//!                              from 4 s and 8 s        └─────▶ ratio          −PMI: usual, but not here and now
//! samples ─ spectrum of 64 ms less its neighbourhood ────────▶ fine structure  are there lines that are not usual?
//! ```
//!
//! [`TermModel`] is fitted to a calibration in closed form, [`TermState`] is what a stream remembers; every 50 ms a [`Term`]
//! has a value, high where the sound is not what calibration would lead to expect. Memory and time a frame are bounded: the
//! state holds 0.64 s of envelopes, and 100 steps of 40 and of 80 ms. Windows of the bands come with the raw row, samples of 64 ms with
//! [`FineStructure`].
//!
//! Sources: Mahalanobis distance with the shrinkage of Ledoit and Wolf 2004; ridge regression; the density ratio of CPC
//! (arXiv 1807.03748, section 2.2). A context that has just received an anomaly predicts badly for seconds, so what enters it is
//! cut at three deviations of the error, as in robust Kalman filters (Masreliez and Martin 1977).

mod adaptive;
mod adaptive_context;
mod baseline;
mod combination;
mod context;
mod context_fit;
mod density;
mod fine_structure;
mod fit;
mod groups;
mod kept_lines;
mod levinson;
mod mahalanobis;
mod model;
mod modulation;
mod refit;
mod ridge;
mod row_moments;
mod state;
mod tail;

pub(super) use adaptive::{Adaptive, AdaptiveState};
pub(super) use baseline::{Baseline, relative};
pub(super) use combination::Combination;
pub(super) use fine_structure::FineStructure;
pub(super) use fit::fit;
pub(super) use kept_lines::KeptLines;
pub use mahalanobis::{Allowance, Mahalanobis};
pub(super) use model::TermModel;
pub(super) use state::{BandMoments, TermState};

/// How many terms there are.
pub(super) const TERMS: usize = 9;

/// What the sound of now is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// The bands of the last 0.5 s, relative to the last 30 s.
    DensityHalf,
    /// The bands of the last 0.25 s, relative to the last 30 s.
    DensityQuarter,
    /// What the last 0.3 s did not predict, over 0.5 s.
    ShortPrediction,
    /// Modulation of the envelopes over 0.64 s.
    Modulation,
    /// Lines of the spectrum of the last 64 ms.
    FineStructure,
    /// What the last 4 s did not predict, over 0.3 s.
    Residual4,
    /// −PMI of the last 0.3 s given the 4 s before each step.
    Ratio4,
    /// What the last 8 s did not predict, over 0.3 s.
    Residual8,
    /// −PMI of the last 0.3 s given the 8 s before each step.
    Ratio8,
}

impl Term {
    /// All, in the order of [`Values`].
    pub(super) const ALL: [Self; TERMS] = [
        Self::DensityHalf,
        Self::DensityQuarter,
        Self::ShortPrediction,
        Self::Modulation,
        Self::FineStructure,
        Self::Residual4,
        Self::Ratio4,
        Self::Residual8,
        Self::Ratio8,
    ];

    /// What it is a sign of.
    pub(super) fn group(self) -> TermGroup {
        match self {
            Self::DensityHalf | Self::DensityQuarter | Self::Modulation | Self::FineStructure => {
                TermGroup::Density
            }
            Self::ShortPrediction => TermGroup::ShortPrediction,
            Self::Residual4 | Self::Residual8 => TermGroup::LongPrediction,
            Self::Ratio4 | Self::Ratio8 => TermGroup::Pmi,
        }
    }

    /// Whether a calibration may have too few values of it: context may have come too late, and silence has no lines.
    pub(super) fn may_be_missing(self) -> bool {
        self.needs_context() || self == Self::FineStructure
    }

    /// Whether it needs seconds of context, and counts only where that predicts.
    pub(super) fn needs_context(self) -> bool {
        matches!(self.group(), TermGroup::LongPrediction | TermGroup::Pmi)
    }
}

/// What terms are signs of: by the smallest probability of each group the kinds of events are distinguished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermGroup {
    /// The sound is unusual, whatever came before.
    Density,
    /// It did not follow from the last 0.3 s.
    ShortPrediction,
    /// It did not follow from the last seconds.
    LongPrediction,
    /// It is usual by itself, and unusual after the last seconds.
    Pmi,
}

/// A value of each term in the order of [`Term::ALL`]; none where its window is not full, or the site has no such term.
pub(super) type Values = [Option<f64>; TERMS];

#[cfg(test)]
mod tests;
