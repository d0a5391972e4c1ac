//! The scores of a recording, ten rows a second.

use serde::Serialize;

use crate::detect::Reading;
use crate::units::FRAME_RATE;

/// Rows a second.
const ROW_RATE: u32 = 10;
/// Frames a row.
const FRAMES: u64 = (FRAME_RATE / ROW_RATE) as u64;

/// The detector's reading of 0.1 s of sound: that of the frame with the highest score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// End of the 0.1 s, in seconds from the start of the recording.
    pub t_s: f64,
    /// Surprise S in robust deviations; none where there is no score, and in the 0.1 s after the calibration.
    pub surprise: Option<f64>,
    /// Novelty N, about 1 for normal sound; none where there is no score.
    pub novelty: Option<f64>,
    /// −log10 p, 0 to 12; 0 where no frame could be scored (settling, digital silence).
    pub score: f64,
    /// Tail probability per second of normal sound; 1 where no frame could be scored.
    pub p: f64,
}

/// Makes rows of the readings of consecutive frames.
#[derive(Debug, Default)]
pub(super) struct Rows {
    frames: u64,
    best: Option<Row>,
}

impl Rows {
    /// Takes the reading of the next frame; returns the row that ends with it.
    pub(super) fn push(&mut self, reading: &Reading) -> Option<Row> {
        self.frames += 1;
        if let (Some(score), Some(p)) = (reading.score, reading.p)
            && self.best.is_none_or(|best| score > best.score)
        {
            let (surprise, novelty) = (reading.surprise, reading.novelty);
            self.best = Some(Row { t_s: 0.0, surprise, novelty, score, p });
        }
        if self.frames.is_multiple_of(FRAMES) { Some(self.close()) } else { None }
    }

    /// The last row, where the recording does not fill it.
    pub(super) fn finish(&mut self) -> Option<Row> {
        (!self.frames.is_multiple_of(FRAMES)).then(|| self.close())
    }

    fn close(&mut self) -> Row {
        let empty = Row { t_s: 0.0, surprise: None, novelty: None, score: 0.0, p: 1.0 };
        let t_s = self.frames.div_ceil(FRAMES) as f64 / f64::from(ROW_RATE);
        Row { t_s, ..self.best.take().unwrap_or(empty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{DetectorState, InputState, Quality};

    fn reading(score: Option<f64>) -> Reading {
        Reading {
            state: DetectorState::Watching,
            quality: if score.is_some() { Quality::Good } else { Quality::Silent },
            surprise: Some(2.0),
            novelty: score,
            p: score.map(|s| 10f64.powf(-s)),
            score,
            level_dbfs: -40.0,
            input: InputState::Good,
        }
    }

    #[test]
    fn a_row_is_its_highest_frame_or_nothing() {
        let mut rows = Rows::default();
        let mut made: Vec<Row> =
            (0..25).filter_map(|i| rows.push(&reading((i < 10).then_some(f64::from(i % 7))))).collect();
        made.extend(rows.finish());
        let first = Row { t_s: 0.1, surprise: Some(2.0), novelty: Some(6.0), score: 6.0, p: 1e-6 };
        let empty = |t_s| Row { t_s, surprise: None, novelty: None, score: 0.0, p: 1.0 };
        assert_eq!(made, [first, empty(0.2), empty(0.3)]);
    }

    #[test]
    fn a_recording_of_whole_rows_has_no_more() {
        let mut rows = Rows::default();
        assert!(rows.finish().is_none());
        assert_eq!((0..100).filter_map(|_| rows.push(&reading(Some(1.0)))).count(), 10);
        assert!(rows.finish().is_none());
    }
}
