//! The spectrum of a stream for whoever looks at it.

use crate::detect::Reading;
use crate::frame::Frame;
use crate::serve::Column;
use crate::units::{BANDS, frame_end, samples_to_seconds};

/// Frames of a strip.
const FRAMES: u32 = 5;

/// Gathers frames, while somebody looks.
#[derive(Debug, Default)]
pub(super) struct Stripper {
    wanted: bool,
    frames: u32,
    strip: Option<Column>,
}

impl Stripper {
    pub(super) fn want(&mut self, wanted: bool) {
        if self.wanted != wanted {
            *self = Self { wanted, ..Self::default() };
        }
    }

    /// A strip, when one is full.
    pub(super) fn push(&mut self, frame: &Frame, reading: &Reading) -> Option<Column> {
        if !self.wanted {
            return None;
        }
        let t_s = samples_to_seconds(frame_end(frame.index));
        let strip = self.strip.get_or_insert(Column {
            t_s,
            bands: [0; BANDS],
            score: None,
            surprise: None,
            novelty: None,
            level_dbfs: -120.0,
        });
        strip.t_s = t_s;
        for (level, power) in strip.bands.iter_mut().zip(&frame.bands) {
            // `as` takes what is no number as 0, and keeps within 0 to 255
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
