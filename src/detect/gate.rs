//! From tail probabilities to events: hysteresis, duration, merging, hold-off.

use std::collections::VecDeque;

use super::config::{DetectConfig, ms_to_frames};
use super::ongoing_event::{OngoingEvent, ScoredFrame};
use crate::detect::exact::exact;
use crate::units::FRAME_RATE;

/// Frames after an event for which the context of what follows is that event: 3 s.
const AFTERMATH: u64 = 3 * FRAME_RATE as u64;

/// Times in frames, probabilities per 1 s block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    on_below: f64,
    off_above: f64,
    severe_below: f64,
    min_frames: u64,
    hang: u64,
    lookback: u64,
    merge: u64,
    hold_off: u64,
    longest: u64,
}

exact!(Rules { on_below, off_above, severe_below, min_frames, hang, lookback, merge, hold_off, longest });

impl Rules {
    pub(crate) fn new(config: &DetectConfig) -> Self {
        let q = config.budget_per_block();
        Self {
            on_below: q,
            off_above: off_above(q),
            severe_below: q / 100.0,
            min_frames: ms_to_frames(config.min_duration_ms).max(1),
            hang: ms_to_frames(config.hang_ms).max(1),
            lookback: ms_to_frames(config.onset_lookback_ms),
            merge: ms_to_frames(config.merge_gap_ms),
            hold_off: ms_to_frames(config.hold_off_ms),
            longest: ms_to_frames(config.max_event_s * 1000.0).max(1),
        }
    }

    /// The same with the threshold `threshold` on −log10 p in place of −log10 q. It never asks for more than severe:
    /// what is severe begins an event whatever the threshold.
    pub(crate) fn at(&self, threshold: f64) -> Self {
        let on_below = 10f64.powf(-threshold).clamp(self.severe_below, 1.0);
        Self { on_below, off_above: off_above(on_below), ..*self }
    }

    /// An event whose smallest p is below this is severe: q/100, wherever the threshold is.
    pub(crate) fn severe_below(&self) -> f64 {
        self.severe_below
    }
}

fn off_above(on_below: f64) -> f64 {
    (10.0 * on_below).min(on_below.max(0.5))
}

/// What a frame changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// An event was confirmed; it is [`Gate::episode`].
    Began,
    /// It is over.
    Ended(Box<OngoingEvent>),
}

/// The gate of one unbroken stretch of frames.
///
/// With q = 10^−threshold, at first the budget per 1 s block: an event is confirmed when p < q in `min_duration` frames in a row; it has an end
/// when p stayed above 10·q for `hang`; the end is reported when, after that, no further confirmation began within
/// `merge_gap`. Its onset is the first frame of the run of p ≤ 10·q that leads into the confirming frames, at most
/// `onset_lookback` before them. (10·q is capped at 0.5 for budgets above 180 events an hour.)
///
/// Predictions from seconds of context go wrong for seconds after an event, because it is part of that context. For 3 s after
/// one, order and time alone do not confirm the next.
///
/// The p of a frame is the probability that the *maximum of a second* exceeds the frame's score. A second's
/// maximum exceeds the score of q at least as often as any of its frames does, and an event needs a run of such
/// frames, so normal sound begins at most q events a second.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    rules: Rules,
    recent: VecDeque<ScoredFrame>,
    /// Frames in a row, up to now, with p < q.
    hot: u64,
    /// First frame of the run, up to now, with p ≤ 10·q.
    warm_since: Option<u64>,
    /// Frames in a row, up to now, without a sign of the event.
    quiet: u64,
    episode: Option<OngoingEvent>,
    /// First frame that may confirm the next event.
    ready_at: u64,
    /// First frame that may confirm one by order and time alone.
    context_ready_at: u64,
    /// The last event was cut for length and still goes on.
    exhausted: bool,
}

exact!(Gate { rules, recent, hot, warm_since, quiet, episode, ready_at, context_ready_at, exhausted });

impl Gate {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            recent: VecDeque::new(),
            hot: 0,
            warm_since: None,
            quiet: 0,
            episode: None,
            ready_at: 0,
            context_ready_at: 0,
            exhausted: false,
        }
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Whether the last event was cut for its length and still goes on.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The event that is going on.
    pub(crate) fn episode(&self) -> Option<&OngoingEvent> {
        self.episode.as_ref()
    }

    /// The next frame; its index follows the one before.
    pub(crate) fn push(&mut self, frame: &ScoredFrame) -> Option<Change> {
        let warm = frame.p <= self.rules.off_above;
        self.hot = if frame.p < self.rules.on_below { self.hot + 1 } else { 0 };
        self.warm_since = warm.then(|| self.warm_since.unwrap_or(frame.index));
        if self.episode.is_some() {
            return self.go_on(frame, warm);
        }
        self.remember(frame);
        if self.exhausted {
            self.quiet = if warm { 0 } else { self.quiet + 1 };
            self.exhausted = self.quiet < self.rules.hang;
            self.hot = 0;
        }
        let is_aftermath = frame.index < self.context_ready_at && frame.clues.p.is_led_by_context();
        if frame.index < self.ready_at || is_aftermath {
            self.hot = 0;
        }
        (self.hot >= self.rules.min_frames).then(|| {
            self.episode = self.begin(frame.index);
            self.recent.clear();
            self.quiet = 0;
            Change::Began
        })
    }

    /// Ends the event that is going on, at its last active frame.
    pub(crate) fn finish(&mut self) -> Option<OngoingEvent> {
        let episode = self.episode.take()?;
        self.ready_at = episode.last_active() + 1 + self.rules.hold_off;
        self.context_ready_at = episode.last_active() + 1 + AFTERMATH;
        self.hot = 0;
        Some(episode)
    }

    /// The same, and what still goes on must fall quiet before the next event.
    pub(crate) fn cut(&mut self) -> Option<OngoingEvent> {
        (self.exhausted, self.quiet) = (self.episode.is_some(), 0);
        self.finish()
    }

    fn remember(&mut self, frame: &ScoredFrame) {
        let most = (self.rules.lookback + self.rules.min_frames) as usize;
        if self.recent.len() < most {
            self.recent.push_back(frame.clone());
        } else if let Some(mut oldest) = self.recent.pop_front() {
            oldest.clone_from(frame);
            self.recent.push_back(oldest);
        }
    }

    fn begin(&self, now: u64) -> Option<OngoingEvent> {
        let confirming = now + 1 - self.hot;
        let onset = self.warm_since.unwrap_or(confirming).max(confirming.saturating_sub(self.rules.lookback));
        let mut frames = self.recent.iter().filter(|f| f.index >= onset);
        let mut episode = OngoingEvent::new(frames.next()?);
        frames.for_each(|f| episode.push(f, true));
        Some(episode)
    }

    fn go_on(&mut self, frame: &ScoredFrame, warm: bool) -> Option<Change> {
        let Rules { min_frames, hang, merge, longest, .. } = self.rules;
        let episode = self.episode.as_mut()?;
        let closing = self.quiet >= hang;
        let active = if closing { self.hot >= min_frames } else { warm };
        episode.push(frame, active);
        if active {
            self.quiet = 0;
            self.exhausted = frame.index + 1 - episode.onset() >= longest;
            return if self.exhausted { self.finish().map(Box::new).map(Change::Ended) } else { None };
        }
        self.quiet += 1;
        let over = self.quiet >= hang + merge && self.hot == 0;
        if over { self.finish().map(Box::new).map(Change::Ended) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// q = 0.01, off at 0.1, and times as by default.
    fn rules() -> Rules {
        Rules::new(&DetectConfig { events_per_hour: 36.0, ..Default::default() })
    }

    /// Runs of (frames, p), one after another; gives (frame, onset, end) of each change.
    fn run(runs: &[(u64, f64)]) -> Vec<(u64, u64, Option<u64>)> {
        let mut gate = Gate::new(rules());
        let mut changes = Vec::new();
        let mut index = 0;
        for &(frames, p) in runs {
            for _ in 0..frames {
                let frame =
                    ScoredFrame { p, score: -p.log10(), level_dbfs: -40.0, ..ScoredFrame::quiet(index) };
                match gate.push(&frame) {
                    Some(Change::Began) => changes.push((index, gate.episode().unwrap().onset(), None)),
                    Some(Change::Ended(e)) => changes.push((index, e.onset(), Some(e.last_active() + 1))),
                    None => {}
                }
                index += 1;
            }
        }
        changes
    }

    #[test]
    fn thirty_milliseconds_confirm_and_the_end_waits_for_hang_and_merge_gap() {
        assert_eq!(run(&[(100, 0.5), (2, 0.001), (100, 0.5)]), []);
        let changes = run(&[(100, 0.5), (20, 0.001), (100, 0.5)]);
        assert_eq!(changes, [(102, 100, None), (159, 100, Some(120))]);
    }

    #[test]
    fn the_aftermath_of_an_event_is_no_event_but_a_foreign_sound_is() {
        use super::super::kind::{EventFeatures, TermProbabilities};
        let by = |density, long_prediction| EventFeatures {
            p: TermProbabilities { density, long_prediction, ..TermProbabilities::default() },
            ..EventFeatures::default()
        };
        for (clues, expected) in [(by(0.5, 1e-6), 2), (by(1e-6, 0.5), 3)] {
            let mut gate = Gate::new(rules());
            let mut begun = 0;
            for index in 0..900 {
                let active = [100..120, 250..270, 600..620].iter().any(|range| range.contains(&index));
                let p = if active { 1e-6 } else { 0.5 };
                let frame = ScoredFrame { p, score: -p.log10(), clues, ..ScoredFrame::quiet(index) };
                begun += u32::from(gate.push(&frame) == Some(Change::Began));
            }
            assert_eq!(begun, expected);
        }
    }

    #[test]
    fn onset_goes_back_over_the_warm_run_but_not_far() {
        assert_eq!(run(&[(100, 0.5), (10, 0.05), (3, 0.001)]), [(112, 100, None)]);
        assert_eq!(run(&[(100, 0.5), (80, 0.05), (3, 0.001)]), [(182, 150, None)]);
        assert_eq!(run(&[(3, 0.001)]), [(2, 0, None)]);
    }

    #[test]
    fn warm_frames_hold_an_event_and_short_pauses_do_not_end_it() {
        let changes = run(&[(10, 0.5), (5, 0.001), (19, 0.5), (5, 0.05), (100, 0.5)]);
        assert_eq!(changes, [(12, 10, None), (78, 10, Some(39))]);
    }

    #[test]
    fn an_event_confirmed_again_within_the_merge_gap_goes_on() {
        let changes = run(&[(10, 0.5), (5, 0.001), (38, 0.5), (5, 0.001), (100, 0.5)]);
        assert_eq!(changes, [(12, 10, None), (97, 10, Some(58))]);
        let warm_only = run(&[(10, 0.5), (5, 0.001), (38, 0.5), (5, 0.05), (100, 0.5)]);
        assert_eq!(warm_only, [(12, 10, None), (54, 10, Some(15))]);
    }

    #[test]
    fn hold_off_delays_the_next_event() {
        let changes = run(&[(10, 0.5), (5, 0.001), (42, 0.5), (30, 0.001), (100, 0.5)]);
        assert_eq!(changes[..2], [(12, 10, None), (54, 10, Some(15))]);
        assert_eq!(changes[2], (67, 57, None));
    }

    #[test]
    fn an_endless_event_is_cut_once_and_must_fall_quiet_first() {
        let changes = run(&[(10, 0.5), (10_000, 0.001), (25, 0.5), (5, 0.001)]);
        assert_eq!(changes[..2], [(12, 10, None), (3009, 10, Some(3010))]);
        assert_eq!(changes[2..], [(10_037, 10_035, None)]);
    }

    #[test]
    fn a_budget_of_every_second_is_still_a_rule() {
        let rules = Rules::new(&DetectConfig { events_per_hour: 3600.0, ..Default::default() });
        assert_eq!((rules.on_below, rules.off_above), (1.0, 1.0));
        let rules = Rules::new(&DetectConfig { events_per_hour: 360.0, ..Default::default() });
        assert_eq!((rules.on_below, rules.off_above), (0.1, 0.5));
    }

    #[test]
    fn a_learnt_threshold_moves_both_ends_but_not_severe() {
        let rules = rules();
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        let higher = rules.at(3.0);
        assert!(near(higher.on_below, 1e-3) && near(higher.off_above, 1e-2));
        assert_eq!((higher.severe_below(), rules.at(9.0).on_below), (1e-4, 1e-4));
        assert_eq!(rules.at(-0.3).on_below, 1.0);
    }
}
