//! Updates of the page.

use std::time::SystemTime;

use super::learning_progress::{CalibrationLength, learning};
use super::scores::Summary;
use crate::detect::Reading;
use crate::serve::{SpectrogramColumn, UiEvent, UiSender};
use crate::units::FRAME_RATE;

/// What the page gets of a stream: the most anomalous reading of a second, and the spectrogram.
#[derive(Debug, Default)]
pub(super) struct DashboardUpdate {
    summary: Summary,
    /// Columns that are not kept yet.
    columns: Vec<SpectrogramColumn>,
}

impl DashboardUpdate {
    /// Takes a reading; sends the most anomalous one of each second.
    pub(super) fn second(
        &mut self,
        feed: &UiSender,
        place: usize,
        of: (SystemTime, u64, Reading),
        wanted: Option<CalibrationLength>,
    ) {
        if !feed.is_on() {
            return;
        }
        let (zero, frame, reading) = of;
        if let Some(score) = self
            .summary
            .take(zero, frame, reading, FRAME_RATE, |state| learning(state, wanted, SystemTime::now()))
        {
            feed.send(UiEvent::Second { stream: place, score });
        }
    }

    /// Keeps a column for pages that are opened later; sends it where a page looks.
    pub(super) fn column(&mut self, feed: &UiSender, place: usize, column: Box<SpectrogramColumn>) {
        self.columns.push((*column).clone());
        feed.keep(place, &mut self.columns);
        if feed.is_watched(place) {
            feed.send(UiEvent::SpectrogramColumn { stream: place, column });
        }
    }
}
