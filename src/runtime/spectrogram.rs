//! The spectrum of a stream for the page.

use crate::detect::Reading;
use crate::frame::Frame;
use crate::serve::SpectrogramColumn;
use crate::units::{BANDS, frame_end, samples_to_seconds};

/// Frames of a column.
const FRAMES: u32 = 5;

/// Collects frames, while a page looks at the stream.
#[derive(Debug, Default)]
pub(super) struct SpectrogramBuilder {
    wanted: bool,
    frames: u32,
    strip: Option<SpectrogramColumn>,
}

impl SpectrogramBuilder {
    pub(super) fn want(&mut self, wanted: bool) {
        if self.wanted != wanted {
            *self = Self { wanted, ..Self::default() };
        }
    }

    /// A column, when it is complete.
    pub(super) fn push(&mut self, frame: &Frame, reading: &Reading) -> Option<SpectrogramColumn> {
        if !self.wanted {
            return None;
        }
        let t_s = samples_to_seconds(frame_end(frame.index));
        let strip = self.strip.get_or_insert(SpectrogramColumn {
            t_s,
            bands: [0; BANDS],
            score: None,
            surprise: None,
            novelty: None,
            level_dbfs: -120.0,
        });
        strip.t_s = t_s;
        for (level, power) in strip.bands.iter_mut().zip(&frame.bands) {
            // `as` takes NaN as 0, and saturates to 0 to 255
            *level = (*level).max(((power + 14.0) * 10.0) as u8);
        }
        strip.score = higher(strip.score, reading.score);
        strip.surprise = higher(strip.surprise, reading.surprise);
        strip.novelty = higher(strip.novelty, reading.novelty);
        strip.level_dbfs = strip.level_dbfs.max(reading.level_dbfs);
        self.frames += 1;
        if self.frames < FRAMES {
            return None;
        }
        self.frames = 0;
        self.strip.take()
    }
}

fn higher(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
