//! How rows of band statistics are laid out, and how much sound they need.

use std::ops::Range;

use crate::error::Error;
use crate::units::BANDS;

/// Frames between the past and what it predicts: their windows share no sample.
pub(super) const LAG: usize = 3;
/// Frames at the start that contexts and windows take to fill.
pub(super) const WARM_UP: usize = 100;
/// Frames of a row: 50 ms.
pub const ROW: usize = 5;

/// Where the parts of a raw row lie: means over 0.1 s; means, then deviations, over 0.25 s and over 0.5 s; a slow average
/// of the first; means over 0.1 s, then means and deviations over 0.5 s, of what contexts did not predict; means and
/// deviations over 0.5 s of what the bands themselves did not.
pub(super) const BRIEF: Range<usize> = 0..BANDS;
pub(super) const SHORT: Range<usize> = BANDS..3 * BANDS;
/// Means and deviations of the bands over 0.5 s in a raw row.
pub const HALF: Range<usize> = 3 * BANDS..5 * BANDS;
pub(super) const SLOW: Range<usize> = 5 * BANDS..6 * BANDS;
pub(super) const SUDDEN: Range<usize> = 6 * BANDS..7 * BANDS;
/// Those of what contexts did not predict of the bands.
pub const UNEXPECTED: Range<usize> = 7 * BANDS..9 * BANDS;
/// Those of what the bands themselves did not.
pub const DEPARTURE: Range<usize> = 9 * BANDS..11 * BANDS;
/// Numbers in a raw row.
pub(super) const RAW: usize = 11 * BANDS;

/// Too little sound to learn from.
pub(super) fn too_short(seconds: usize) -> Error {
    Error::config(
        format!("calibration received {seconds} usable seconds in a row, expected at least 6"),
        "let calibration listen longer, or run `calibrate` again",
    )
}
