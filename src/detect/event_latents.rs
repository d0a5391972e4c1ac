//! Latents and contexts of the event that is going on.

use crate::detect::exact::exact;
use crate::detect::ongoing_event::OngoingEvent;
use crate::frame::Frame;

/// Active frames without which the sound of an event is not known: 30 ms.
const LEAST: u64 = 3;

/// Sums of z and c, and of their squares, over the active frames of an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventLatents {
    onset: Option<u64>,
    frames: u64,
    /// Of each number of z and c its sum and that of its square.
    sums: Vec<(f64, f64)>,
    /// Width of z.
    latent: usize,
}

exact!(EventLatents { onset, frames, sums, latent });

impl EventLatents {
    /// Takes a frame while `event` goes on; one that may be a pause in it does not count.
    pub(crate) fn push(&mut self, event: Option<&OngoingEvent>, frame: &Frame) {
        let Some(event) = event else { return };
        if self.onset != Some(event.onset()) {
            (self.onset, self.frames, self.latent) = (Some(event.onset()), 0, frame.z.len());
            self.sums.clear();
            self.sums.resize(frame.z.len() + frame.c.len(), (0.0, 0.0));
        }
        if event.last_active() != frame.index {
            return;
        }
        self.frames += 1;
        for ((sum, square), &x) in self.sums.iter_mut().zip(frame.z.iter().chain(&frame.c)) {
            let x = f64::from(x);
            *sum += x;
            *square += x * x;
        }
    }

    /// Mean and standard deviation of z, then of c; none where too few frames were active, or the event is another.
    pub(crate) fn pooled(&self, event: &OngoingEvent) -> Option<Vec<f64>> {
        if self.onset != Some(event.onset()) || self.frames < LEAST {
            return None;
        }
        let n = self.frames as f64;
        let mean = |&(sum, _): &(f64, f64)| sum / n;
        let deviation = |&(sum, square): &(f64, f64)| (square / n - (sum / n).powi(2)).max(0.0).sqrt();
        let (z, c) = self.sums.split_at_checked(self.latent)?;
        let parts = z.iter().map(mean).chain(z.iter().map(deviation));
        Some(parts.chain(c.iter().map(mean)).chain(c.iter().map(deviation)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::ongoing_event::ScoredFrame;

    #[test]
    fn active_frames_alone_are_pooled_and_another_event_begins_anew() {
        let mut latents = EventLatents::default();
        let frame = |index: u64, x: f32| Frame { index, z: vec![x, 1.0], c: vec![-x], ..Frame::default() };
        let mut event = OngoingEvent::new(&ScoredFrame::quiet(7));
        for (index, x, active) in [(8, 1.0, true), (9, 99.0, false), (10, 3.0, true), (11, 5.0, true)] {
            event.push(&ScoredFrame::quiet(index), active);
            latents.push(Some(&event), &frame(index, x));
        }
        let deviation = (8.0f64 / 3.0).sqrt();
        let pooled = latents.pooled(&event).unwrap();
        for (found, expected) in pooled.iter().zip([3.0, 1.0, deviation, 0.0, -3.0, deviation]) {
            assert!((found - expected).abs() < 1e-9, "{pooled:?}");
        }
        assert_eq!(pooled.len(), 6);
        let other = OngoingEvent::new(&ScoredFrame::quiet(20));
        assert_eq!(latents.pooled(&other), None);
        latents.push(Some(&other), &frame(20, 1.0));
        assert_eq!((latents.pooled(&event), latents.pooled(&other)), (None, None), "one frame is too few");
    }
}
