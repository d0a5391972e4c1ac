//! Baseline detectors behind one interface, for comparison with the daemon's.
//!
//! A [`Baseline`] learns from the quiet part of a stream and scores all of it, a row each 50 ms. Thresholds and events are
//! made of these scores by the same tail and the same gate as the daemon's.

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
pub use sound::{ROW, StreamFeatures};

use crate::error::Result;

/// A baseline score of a stream.
pub trait Baseline {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// A score for each row of [`ROW`] frames, higher for more anomalous sound, after fitting to the first `quiet`
    /// rows.
    ///
    /// # Errors
    /// When the quiet part is too short to learn from.
    fn scores(&self, sound: &StreamFeatures, quiet: usize) -> Result<Vec<f64>>;
}

/// All baselines.
#[must_use]
pub fn all() -> Vec<Box<dyn Baseline>> {
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
