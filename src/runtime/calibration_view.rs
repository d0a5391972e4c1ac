//! A calibration as the page shows it.

use super::inference::Inference;
use crate::detect::{Calibration, Tail};
use crate::serve::{CalibrationView, TailView, UiEvent};

/// Bins of a histogram.
const BINS: usize = 40;
/// Points of a curve.
const POINTS: usize = 60;
/// Tail probability a second at which curves end: once in thirty years.
const RAREST: f64 = 1e-9;

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
