//! Latents, contexts and bands of the event that is going on, and of the site without it.

use crate::detect::exact::exact;
use crate::detect::ongoing_event::OngoingEvent;
use crate::frame::Frame;
use crate::kernels::add_squares;
use crate::nn::LabelSpace;
use crate::units::FRAME_RATE;

/// Active frames without which the sound of an event is not known: 30 ms.
const LEAST: u64 = 3;
/// Seconds that the background remembers.
const SECONDS: u32 = 120;

/// Sums of z, c and bands, and of their squares.
#[derive(Debug, Clone, Default)]
struct Sums {
    frames: u64,
    /// Of each number of z, c and bands its sum, and that of its square.
    sums: Vec<f64>,
    squares: Vec<f64>,
    /// Where c and bands begin.
    context: usize,
    bands: usize,
}

exact!(Sums { frames, sums, squares, context, bands });

impl Sums {
    fn clear(&mut self, frame: &Frame) {
        self.frames = 0;
        (self.context, self.bands) = (frame.z.len(), frame.z.len() + frame.c.len());
        for sums in [&mut self.sums, &mut self.squares] {
            sums.clear();
            sums.resize(width(frame), 0.0);
        }
    }

    fn push(&mut self, frame: &Frame) {
        self.frames += 1;
        let (mut sums, mut squares) = (&mut self.sums[..], &mut self.squares[..]);
        for numbers in [&frame.z, &frame.c, &frame.bands] {
            let of = numbers.len().min(sums.len());
            add_squares(numbers, &mut sums[..of], &mut squares[..of]);
            (sums, squares) = (&mut sums[of..], &mut squares[of..]);
        }
    }

    /// Mean and standard deviation of z, then of c, then of bands.
    fn pooled(&self) -> impl Iterator<Item = f64> + '_ {
        let n = self.frames as f64;
        let mean = move |sum: f64| sum / n;
        let deviation = move |(sum, square): (f64, f64)| (square / n - (sum / n).powi(2)).max(0.0).sqrt();
        let width = self.sums.len();
        [0..self.context, self.context..self.bands, self.bands..width].into_iter().flat_map(move |of| {
            let part = |of: std::ops::Range<usize>| {
                let sums = self.sums.get(of.clone()).unwrap_or_default();
                sums.iter().copied().zip(self.squares.get(of).unwrap_or_default().iter().copied())
            };
            part(of.clone()).map(move |(sum, _)| mean(sum)).chain(part(of).map(deviation))
        })
    }
}

/// Numbers of a frame that are pooled.
fn width(frame: &Frame) -> usize {
    frame.z.len() + frame.c.len() + frame.bands.len()
}

/// What z, c and bands are like over the active frames of an event, and over quiet seconds of the site.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventLatents {
    onset: Option<u64>,
    event: Sums,
    /// The quiet second that goes on.
    second: Sums,
    /// Mean over quiet seconds of what is [pooled](Sums::pooled) over each, and how many they were.
    background: Vec<f64>,
    seconds: u32,
}

exact!(EventLatents { onset, event, second, background, seconds });

impl EventLatents {
    /// Takes a frame while `event` goes on; one that may be a pause in it does not count. Without an event it is sound of the
    /// site, where it is `quiet`.
    pub(crate) fn push(&mut self, event: Option<&OngoingEvent>, frame: &Frame, quiet: bool) {
        let Some(event) = event else {
            self.push_background(frame, quiet);
            return;
        };
        if self.onset != Some(event.onset()) {
            self.onset = Some(event.onset());
            self.event.clear(frame);
        }
        if event.last_active() == frame.index {
            self.event.push(frame);
        }
    }

    fn push_background(&mut self, frame: &Frame, quiet: bool) {
        if !quiet || self.second.sums.len() != width(frame) {
            self.second.clear(frame);
        }
        if !quiet {
            return;
        }
        self.second.push(frame);
        if self.second.frames < u64::from(FRAME_RATE) {
            return;
        }
        if self.background.len() != 2 * self.second.sums.len() {
            (self.background, self.seconds) = (vec![0.0; 2 * self.second.sums.len()], 0);
        }
        self.seconds = (self.seconds + 1).min(SECONDS);
        let share = 1.0 / f64::from(self.seconds);
        self.background
            .iter_mut()
            .zip(self.second.pooled())
            .for_each(|(mean, x)| *mean += share * (x - *mean));
        self.second.clear(frame);
    }

    /// The same after a break of the stream: the site is what it was.
    pub(crate) fn after_break(self) -> Self {
        Self { background: self.background, seconds: self.seconds, ..Self::default() }
    }

    /// The embedding of an event in `space`, without what it has in common with the site; none where too few of its frames were
    /// active, or it is another event.
    pub(crate) fn embedding(&self, event: &OngoingEvent, space: &LabelSpace) -> Option<Vec<i8>> {
        space.embed(&self.pooled(event)?, &self.background)
    }

    fn pooled(&self, event: &OngoingEvent) -> Option<Vec<f64>> {
        let known = self.onset == Some(event.onset()) && self.event.frames >= LEAST;
        known.then(|| self.event.pooled().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::ongoing_event::ScoredFrame;

    #[test]
    fn active_frames_alone_are_pooled_and_another_event_begins_anew() {
        let mut latents = EventLatents::default();
        let frame = |index: u64, x: f32| Frame {
            index,
            z: vec![x, 1.0],
            c: vec![-x],
            bands: vec![7.0],
            ..Frame::default()
        };
        let mut event = OngoingEvent::new(&ScoredFrame::quiet(7));
        for (index, x, active) in [(8, 1.0, true), (9, 99.0, false), (10, 3.0, true), (11, 5.0, true)] {
            event.push(&ScoredFrame::quiet(index), active);
            latents.push(Some(&event), &frame(index, x), false);
        }
        let deviation = (8.0f64 / 3.0).sqrt();
        let pooled = latents.pooled(&event).unwrap();
        for (found, expected) in pooled.iter().zip([3.0, 1.0, deviation, 0.0, -3.0, deviation, 7.0, 0.0]) {
            assert!((found - expected).abs() < 1e-9, "{pooled:?}");
        }
        assert_eq!(pooled.len(), 8);
        let other = OngoingEvent::new(&ScoredFrame::quiet(20));
        assert_eq!(latents.pooled(&other), None);
        latents.push(Some(&other), &frame(20, 1.0), false);
        assert_eq!((latents.pooled(&event), latents.pooled(&other)), (None, None), "one frame is too few");
    }

    #[test]
    fn the_background_is_the_mean_of_quiet_seconds_and_outlives_a_break() {
        let mut latents = EventLatents::default();
        let frame = |index: u64, x: f32| Frame { index, z: vec![x, 1.0], c: vec![-x], ..Frame::default() };
        for index in 0..250 {
            let quiet = !(100..150).contains(&index);
            let x = if quiet { (index % 2) as f32 + 3.0 * (index / 150) as f32 } else { 99.0 };
            latents.push(None, &frame(index, x), quiet);
        }
        let expected = [2.0, 1.0, 0.5, 0.0, -2.0, 0.5];
        assert!(latents.background.iter().zip(expected).all(|(x, e)| (x - e).abs() < 1e-9), "{latents:?}");
        let mut after = latents.clone().after_break();
        assert_eq!((after.background.len(), after.seconds), (6, 2));
        // an event of what the site is like has no direction of its own
        let mut event = OngoingEvent::new(&ScoredFrame::quiet(300));
        for index in 301..311 {
            event.push(&ScoredFrame::quiet(index), true);
            after.push(Some(&event), &frame(index, 1.5 + (index % 2) as f32), false);
        }
        let axes = (0..36).map(|at| if at % 7 == 0 { 1.0 } else { 0.0 }).collect();
        let space = LabelSpace::new(vec![0.0; 6], axes).unwrap();
        assert_eq!(after.embedding(&event, &space), Some(vec![0; 6]));
    }
}
