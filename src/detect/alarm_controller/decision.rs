//! What becomes of an alarm: reported, withheld, or known.

use super::AlarmController;
use super::running::{AlarmFate, Count, Decision, Running, UNREPORTED};
use crate::detect::ongoing_event::OngoingEvent;
use crate::event::Verdict;

/// From this p on a window is background.
const QUIET: f64 = 0.05;

impl AlarmController {
    /// Keeps the window if it is the farthest of its event, or makes it part of the background.
    pub(super) fn look_at(&mut self, window: &[f32], p: f64) {
        let Some(running) = &mut self.running else {
            if p >= QUIET && !self.frozen {
                self.declared.hear_background(window);
            }
            return;
        };
        let Some(distance) = self.declared.distance(window) else { return };
        match &mut running.farthest {
            Some((farthest, kept)) if distance > *farthest => {
                *farthest = distance;
                kept.copy_from_slice(window);
            }
            Some(_) => {}
            None => running.farthest = Some((distance, window.to_vec())),
        }
    }

    /// What becomes of the alarm of the event that is going on; true if it is reported now. With `last` it waits no more.
    pub(super) fn decide(&mut self, number: u64, last: bool) -> bool {
        let Some(running) = &mut self.running else { return false };
        running.frames += 1;
        // where it is over already, it stays what it was
        let severe_below = self.base.severe_below();
        let severe = self.gate.episode().map_or(running.severe, |e| e.peak_p() < severe_below);
        if severe && !running.severe {
            running.severe = true;
            running.graver = running.fate == AlarmFate::Reported;
            match std::mem::replace(&mut running.count, Count::No) {
                Count::No => {}
                Count::Due => self.block.alarm = None,
                Count::Done => {
                    self.learnt.controller.judge(running.number, Verdict::Anomaly);
                }
            }
        }
        match running.fate {
            AlarmFate::Reported => return false,
            AlarmFate::Known | AlarmFate::Repeat if !running.goes_too_far() => return false,
            AlarmFate::Known | AlarmFate::Repeat => {}
            AlarmFate::Withheld if !severe => return false,
            AlarmFate::Withheld => {}
            AlarmFate::Pending
                if !last
                    && self.declared.is_any(self.repeat_after.is_some())
                    && running.frames <= self.window =>
            {
                return false;
            }
            AlarmFate::Pending => {
                if let Some(fate) = self.recognise(number) {
                    return fate == AlarmFate::Reported;
                }
            }
        }
        let Some(running) = &mut self.running else { return false };
        // of a site that is not the calibrated one, p says little: there severe sound is capped as well
        let reported = match (self.frozen, severe) {
            (true, _) => severe && self.bucket.admit(false),
            (false, true) => true,
            (false, false) => !self.held || self.bucket.admit(false),
        };
        running.fate = if reported { AlarmFate::Reported } else { AlarmFate::Withheld };
        running.number = if reported { number } else { UNREPORTED };
        if !severe && !self.frozen {
            running.count = Count::Due;
            self.block.alarm = Some(running.number);
        }
        reported
    }

    /// What becomes of the alarm by what is known of its sound; none where nothing is, or it goes beyond that. A frequent
    /// sound that is reported again counts neither for the budget nor the cap.
    fn recognise(&mut self, number: u64) -> Option<AlarmFate> {
        let running = self.running.as_mut()?;
        let window = running.window()?;
        let extent = running.extent;
        let (normal, repeat) = (self.declared.knows(window, extent), self.declared.repeat(window, extent));
        running.repeat = repeat;
        let repeat_after = self.repeat_after.unwrap_or(0);
        let frequent = repeat.filter(|repeat| repeat.is_frequent && repeat_after > 0);
        running.limit = normal.or(frequent.map(|repeat| repeat.extent));
        if running.limit.is_none() || running.goes_too_far() {
            return None;
        }
        let rests = frequent.is_none_or(|repeat| repeat.since < repeat_after);
        running.fate = match normal {
            Some(_) => AlarmFate::Known,
            None if rests => AlarmFate::Repeat,
            None => AlarmFate::Reported,
        };
        match running.fate {
            AlarmFate::Known => self.counts.known += 1,
            AlarmFate::Repeat => self.counts.repeats += 1,
            _ => running.number = number,
        }
        Some(running.fate)
    }

    /// The event that is going on is over.
    pub(super) fn end(&mut self, episode: OngoingEvent, number: u64) -> Decision {
        if let Some(running) = &mut self.running {
            running.extent.kind = episode.kind();
            running.severe |=
                running.fate == AlarmFate::Pending && episode.peak_p() < self.base.severe_below();
        }
        let began = self.decide(number, true);
        let Some(running) = self.running.take() else { return Decision::default() };
        self.leave_out(&running);
        let (extent, window) = (running.extent, running.window());
        if running.fate != AlarmFate::Reported {
            if let Some(window) = window.filter(|_| running.fate != AlarmFate::Known) {
                self.declared.note(window, extent, None);
            }
            return Decision::default();
        }
        let blocks = (running.block, self.learnt.maxima.blocks());
        let nearest = window.and_then(|window| self.declared.nearest(window));
        let repeat = window.and_then(|window| self.declared.repeat(window, extent)).or(running.repeat);
        self.declared.remember(running.number, window, blocks, extent);
        if let Some(window) = window {
            self.declared.note(window, extent, Some(running.number));
        }
        Decision { began, ended: Some(episode), nearest, repeat, ..Decision::default() }
    }

    /// Notes which blocks an event keeps from the maxima.
    pub(super) fn leave_out(&mut self, running: &Running) {
        let now = self.learnt.maxima.blocks();
        if running.severe {
            self.block.leave_out(running.block.saturating_sub(1), now + 1);
        } else if now > running.block {
            self.block.leave_out(now, now);
        }
    }
}
