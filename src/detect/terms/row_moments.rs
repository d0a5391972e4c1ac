//! Mean and covariance of the rows of a density, and what the rows are of.

use serde::{Deserialize, Serialize};

use super::modulation;
use crate::detect::exact::{exact, exact_names};
use crate::kernels::Triangle;
use crate::units::BANDS;

/// Numbers of a window of bands: means, then deviations.
pub(super) const MOMENTS: usize = 2 * BANDS;
/// Rows that count at most: 10 min. What is older gives way.
pub(super) const LONGEST: f64 = 12_000.0;
/// How many densities there are: of half a second, of a quarter, of errors of the short prediction, of modulation.
pub(super) const DENSITIES: usize = 4;
/// Standard deviation of a change of gain that is no sign of anything, in ln of power, of bands and of errors.
const GAIN: f32 = 0.7;
const GAIN_OF_ERRORS: f32 = 0.2;

/// What a density is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// Bands of half a second, relative to the last 30 s.
    Half,
    /// Of a quarter.
    Quarter,
    /// Errors of the short prediction over half a second.
    Short,
    /// Spectra of the envelopes.
    Modulation,
}

exact_names!(Form { Half, Quarter, Short, Modulation });

/// The densities of the bands, in the order of the terms.
pub(super) const FORMS: [Form; DENSITIES] = [Form::Half, Form::Quarter, Form::Short, Form::Modulation];

impl Form {
    /// Numbers of a row.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Half | Self::Quarter | Self::Short => MOMENTS,
            Self::Modulation => modulation::WIDTH,
        }
    }

    /// Standard deviation of the first 64 coordinates together that means nothing.
    pub(super) fn gain(self) -> f32 {
        match self {
            Self::Half | Self::Quarter => GAIN,
            Self::Short => GAIN_OF_ERRORS,
            Self::Modulation => 0.0,
        }
    }

    /// Rows that share sound with a row: so many count as one.
    pub(super) fn overlap(self) -> f64 {
        match self {
            Self::Half | Self::Short => 10.0,
            Self::Quarter => 5.0,
            Self::Modulation => 13.0,
        }
    }
}

/// Mean and covariance of rows, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moments {
    pub(super) form: Form,
    pub(super) mean: Vec<f32>,
    pub(super) covariance: Triangle<f32>,
    /// Rows that it stands for.
    pub(super) weight: f64,
    /// Mean fourth power of the norm of standardised rows.
    pub(super) fourth: f64,
}

exact!(Moments { form, mean, covariance, weight, fourth });

impl Moments {
    /// Becomes like `other`. Does not allocate where it has room.
    pub(super) fn take(&mut self, other: &Self) {
        self.form = other.form;
        self.mean.clone_from(&other.mean);
        self.covariance.take(&other.covariance);
        (self.weight, self.fourth) = (other.weight, other.fourth);
    }

    pub(super) fn is_whole(&self, form: Form) -> bool {
        let width = form.width();
        self.form == form
            && self.mean.len() == width
            && self.covariance.width() == width
            && self.mean.iter().copied().chain(self.covariance.numbers()).all(f32::is_finite)
            && self.weight >= 1.0
            && self.weight.is_finite()
            && self.fourth.is_finite()
    }
}

/// The first 64 coordinates, by which a change of gain moves all alike.
pub(super) fn is_level(coordinate: usize) -> bool {
    coordinate < BANDS
}
