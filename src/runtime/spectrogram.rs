//! The spectrum of a stream for the page.

use crate::detect::Reading;
use crate::frame::Frame;
use crate::serve::SpectrogramColumn;
use crate::units::{BANDS, frame_end, samples_to_seconds};

/// Frames of a column.
const FRAMES: u32 = 5;

/// Collects the frames of a column from the bands that the analysis has anyway.
#[derive(Debug, Default)]
pub(super) struct SpectrogramBuilder {
    frames: u32,
    column: Option<SpectrogramColumn>,
}

impl SpectrogramBuilder {
    /// A column, when it is complete.
    pub(super) fn push(&mut self, frame: &Frame, reading: &Reading) -> Option<SpectrogramColumn> {
        let t_s = samples_to_seconds(frame_end(frame.index));
        let column = self.column.get_or_insert(SpectrogramColumn {
            t_s,
            bands: [0; BANDS],
            score: None,
            surprise: None,
            novelty: None,
            level_dbfs: -120.0,
        });
        column.t_s = t_s;
        for (level, power) in column.bands.iter_mut().zip(&frame.bands) {
            // `as` takes NaN as 0, and saturates to 0 to 255
            *level = (*level).max(((power + 14.0) * 10.0) as u8);
        }
        column.score = higher(column.score, reading.score);
        column.surprise = higher(column.surprise, reading.surprise);
        column.novelty = higher(column.novelty, reading.novelty);
        column.level_dbfs = column.level_dbfs.max(reading.level_dbfs);
        self.frames += 1;
        if self.frames < FRAMES {
            return None;
        }
        self.frames = 0;
        self.column.take()
    }
}

fn higher(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
