//! Updates of the page.

use std::time::SystemTime;

use super::inference::Inference;
use super::learning_progress::{CalibrationLength, learning};
use super::scores::Summary;
use crate::detect::{Calibration, Reading, Tail};
use crate::serve::{CalibrationView, SpectrogramColumn, TailView, UiEvent, UiSender};
use crate::units::FRAME_RATE;

/// Bins of a histogram.
const BINS: usize = 40;
/// Points of a curve.
const POINTS: usize = 60;
/// Tail probability a second at which curves end: once in thirty years.
const RAREST: f64 = 1e-9;

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

impl Inference {
    /// Sends the calibration of a stream, once it exists.
    pub(super) fn show_calibration(&self, number: usize) {
        let stream = self.of_number.get(number).and_then(|&at| self.streams.get(at));
        let place = stream.map(|stream| stream.place);
        let pipeline = self.engine.pipeline(number).filter(|_| self.feed.is_on());
        let known = pipeline.and_then(|pipeline| pipeline.detector().calibration());
        if let (Some(stream), Some(calibration)) = (place, known) {
            let view = view(calibration, self.engine.detector_model().usual());
            self.feed.send(UiEvent::Calibration { stream, view: Box::new(view) });
        }
    }
}

fn view(calibration: &Calibration, usual: Option<&Tail>) -> CalibrationView {
    let critic = calibration
        .critic()
        .map(|tail| tail_view("critic", tail, &|x| calibration.critic_probability(x, usual).unwrap_or(1.0)));
    let (_, surprise) = calibration.surprise();
    let (_, novelty) = calibration.novelty();
    let others = [("surprise", surprise), ("novelty", novelty)]
        .map(|(name, tail)| tail_view(name, tail, &|x| tail.tail_probability(x)));
    CalibrationView {
        id: calibration.id(),
        seconds: calibration.seconds(),
        background_dbfs: calibration.background_dbfs(),
        tails: critic.into_iter().chain(others).collect(),
    }
}

fn tail_view(score: &str, tail: &Tail, p: &dyn Fn(f64) -> f64) -> TailView {
    let maxima = tail.maxima();
    let low = maxima.first().copied().unwrap_or(0.0);
    let high = maxima.last().copied().unwrap_or(low);
    let width = ((high - low) / BINS as f64).max(1e-9);
    let mut counts = vec![0u32; BINS];
    for x in maxima {
        let bin = (((x - low) / width) as usize).min(BINS - 1);
        if let Some(count) = counts.get_mut(bin) {
            *count += 1;
        }
    }
    let span = (high - low).max(1e-6);
    let end = (1..40).map(|n| high + span * f64::from(n) / 4.0).find(|&x| p(x) <= RAREST);
    let end = end.unwrap_or(high + 10.0 * span);
    let at = |n: usize| low + (end - low) * n as f64 / (POINTS - 1) as f64;
    TailView {
        score: score.to_owned(),
        bins: (low, width),
        counts,
        discarded: tail.discarded(),
        threshold: tail.threshold(),
        shape: tail.law().shape,
        scale: tail.law().scale,
        curve: (0..POINTS).map(|n| (at(n), p(at(n)))).collect(),
    }
}
