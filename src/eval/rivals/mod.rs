//! Detectors that others would build, behind one interface: what ours is compared with.
//!
//! A [`Rival`] learns from the quiet part of a stream and scores all of it, a row each 50 ms. Thresholds and events
//! are made of these scores by the same tail and the same gate as ours.

mod autoencoder;
mod gaussian;
mod gmm;
mod groups;
mod ridge;
mod rows;
mod sequence;
mod simple;
mod sound;

pub use autoencoder::Autoencoder;
pub use gaussian::Mahalanobis;
pub use gmm::Mixture;
pub use ridge::Ridge;
pub(super) use rows::{moments, smooth};
pub use sequence::Sequence;
pub use simple::{Energy, Flux, Neighbours};
pub use sound::{ROW, Sound};

use crate::error::Result;

/// Something that gives a stream a score.
pub trait Rival {
    /// What it is called in tables.
    fn name(&self) -> &'static str;

    /// A score for each row of [`ROW`] frames, higher for stranger, after learning from the first `quiet` rows.
    ///
    /// # Errors
    /// When the quiet part is too short to learn from.
    fn scores(&self, sound: &Sound, quiet: usize) -> Result<Vec<f64>>;
}

/// All rivals.
#[must_use]
pub fn all() -> Vec<Box<dyn Rival>> {
    vec![
        Box::new(Energy),
        Box::new(Flux),
        Box::new(Mahalanobis::half_second()),
        Box::new(Mahalanobis::two_seconds()),
        Box::new(Neighbours),
        Box::new(Mixture),
        Box::new(Autoencoder),
        Box::new(Ridge),
        Box::new(Sequence),
    ]
}
