//! Following the beats of a stream.

use super::Rhythm;
use super::onsets::OnsetStrength;
use crate::detect::exact::{Exact, exact};
use crate::units::FRAME_RATE;

/// Onsets a period apart, one after another, from which on beats are followed.
const LOCKED: u8 = 4;
/// Onsets that are remembered while none are.
const SEEN: usize = 16;
/// Beats missing one after another after which they are not followed any more.
const LOST: u32 = 3;
/// Intervals that the present period is the mean of.
const INTERVALS: usize = 8;
/// Fewest of them that say more than calibration does.
const FEWEST_INTERVALS: u8 = 4;
/// Other onsets of the last cycle that are remembered.
const OTHERS: usize = 4;
/// An onset is over once its strength has fallen for so many frames.
const FALLING: u64 = 2;
/// Changes of tempo below this share of the period are not reported.
const LEAST_TEMPO: f64 = 0.02;

/// What was wrong with a beat. Times are seconds from the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BeatFault {
    /// It did not come, or has not come yet.
    Missing {
        /// When it was due.
        due_s: f64,
    },
    /// It came before it was due.
    Early {
        /// When it was due.
        due_s: f64,
        /// How much before, as a negative number.
        offset_ms: f64,
    },
    /// It came after it was due.
    Late {
        /// When it was due.
        due_s: f64,
        /// How much after.
        offset_ms: f64,
    },
}

impl Exact for BeatFault {
    fn write(&self, out: &mut Vec<u8>) {
        let (which, due_s, offset_ms) = match *self {
            Self::Missing { due_s } => (0, due_s, 0.0),
            Self::Early { due_s, offset_ms } => (1, due_s, offset_ms),
            Self::Late { due_s, offset_ms } => (2, due_s, offset_ms),
        };
        u8::write(&which, out);
        (due_s, offset_ms).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let which = u8::read(from)?;
        let (due_s, offset_ms) = Exact::read(from)?;
        match which {
            0 => Some(Self::Missing { due_s }),
            1 => Some(Self::Early { due_s, offset_ms }),
            2 => Some(Self::Late { due_s, offset_ms }),
            _ => None,
        }
    }
}

impl BeatFault {
    /// When the beat was due.
    pub(crate) fn due_s(&self) -> f64 {
        match self {
            Self::Missing { due_s } | Self::Early { due_s, .. } | Self::Late { due_s, .. } => *due_s,
        }
    }
}

/// Follows the beats of one stream: O(1) a frame, bounded memory, a function of the frames since it was made.
///
/// Beats are followed from the fourth onset in a row on that comes a period after another. The next beat is due a period after
/// the last one, where the period is the mean of the last intervals. After a beat that was early or late the next may come a
/// period after it or a period after its due time. After three missing beats none are followed until there are four again.
#[derive(Debug, Clone)]
pub(crate) struct BeatTracker {
    rhythm: Rhythm,
    strength: OnsetStrength,
    /// Number of the frame in hand, by which times are counted.
    now: u64,
    /// Frame and strength of the onset that is going on.
    candidate: Option<(u64, f32)>,
    /// The latest onset, frames.
    latest: Option<f64>,
    /// The last onsets, each with how many in a row it is, while no beats are followed.
    seen: [(f64, u8); SEEN],
    seen_count: usize,
    /// The beats that are followed.
    beats: Option<Beats>,
    /// Beats that are missing, one after another.
    missed: u32,
    intervals: [f64; INTERVALS],
    interval_count: usize,
    error: Option<f64>,
}

exact!(BeatTracker {
    rhythm,
    strength,
    now,
    candidate,
    latest,
    seen,
    seen_count,
    beats,
    missed,
    intervals,
    interval_count,
    error
});

/// What is known of beats that are followed. Times are in frames.
#[derive(Debug, Clone)]
struct Beats {
    last: f64,
    /// When the next is due, and when else it may come.
    due: f64,
    other_due: Option<f64>,
    /// The last due time at which nothing had come, while the beat may still come late.
    awaited: Option<f64>,
    /// An onset at no due time since the last beat.
    stray: Option<f64>,
    /// Other onsets of this cycle and of the last, after their beat.
    others: [[f64; OTHERS]; 2],
    counts: [usize; 2],
}

exact!(Beats { last, due, other_due, awaited, stray, others, counts });

impl BeatTracker {
    /// Of a stream that begins.
    pub(crate) fn new(rhythm: &Rhythm) -> Self {
        Self {
            rhythm: rhythm.clone(),
            strength: OnsetStrength::new(),
            now: 0,
            candidate: None,
            latest: None,
            seen: [(0.0, 0); SEEN],
            seen_count: 0,
            beats: None,
            missed: 0,
            intervals: [0.0; INTERVALS],
            interval_count: 0,
            error: None,
        }
    }

    /// The next frame, log-mel bands `[64]`; its number follows the one before. Gives what was found to be wrong with a
    /// beat in this frame: `Missing` once the tolerance has passed, `Late` after it where the beat comes after all.
    pub(crate) fn push(&mut self, bands: &[f32], index: u64) -> Option<BeatFault> {
        self.now = index;
        let strength = self.strength.push(bands, &self.rhythm.scale)?;
        let onset = self.onset(strength);
        let received = onset.and_then(|at| self.hear(at));
        received.or_else(|| self.wait())
    }

    /// When the next beat is due, seconds from the start of the stream; none while no beats are followed.
    #[cfg(test)]
    pub(super) fn due_s(&self) -> Option<f64> {
        self.beats.as_ref().map(|beats| seconds(beats.due))
    }

    /// Beats that are missing now, one after another; it stays at 3 once they are not followed any more.
    pub(crate) fn missed_in_a_row(&self) -> u32 {
        self.missed
    }

    /// How much faster the beats come than at calibration, percent; none where they do not, or none are followed.
    pub(crate) fn tempo_percent(&self) -> Option<f64> {
        let ratio = self.rhythm.period_frames() / self.measured_period()?;
        (self.beats.is_some() && (ratio - 1.0).abs() >= LEAST_TEMPO).then_some(100.0 * (ratio - 1.0))
    }

    /// By how much the beat was off that came on time in the last frame, seconds.
    pub(super) fn takes_error_s(&mut self) -> Option<f64> {
        self.error.take().map(|frames| frames / f64::from(FRAME_RATE))
    }

    fn tolerance(&self) -> f64 {
        self.rhythm.tolerance_s * f64::from(FRAME_RATE)
    }

    /// The time of an onset that is now known to have been at its highest.
    fn onset(&mut self, strength: f32) -> Option<f64> {
        match self.candidate {
            Some((_, highest)) if strength > highest => self.candidate = Some((self.now, strength)),
            Some((at, _)) if self.now >= at + FALLING => {
                // the rise was a frame before the strength was at its highest
                (self.candidate, self.latest) = (None, Some(at as f64 - 1.0));
                return self.latest;
            }
            Some(_) => {}
            None => {
                let apart = self.now as f64 - self.latest.unwrap_or(f64::NEG_INFINITY);
                let least = (0.15 * self.rhythm.period_frames()).max(6.0);
                if strength >= self.rhythm.threshold && apart > least {
                    self.candidate = Some((self.now, strength));
                }
            }
        }
        None
    }

    /// An onset: the beat that is due, one that was, or another.
    fn hear(&mut self, at: f64) -> Option<BeatFault> {
        let (tolerance, half) = (self.tolerance(), 0.5 * self.rhythm.period_frames());
        let Some(beats) = &mut self.beats else {
            self.look_for_beats(at);
            return None;
        };
        let near = |due: &f64| (at - due).abs() <= tolerance;
        if let Some(due) = Some(beats.due).filter(near).or(beats.other_due.filter(near)) {
            self.error = Some(at - due);
            self.beat(at, None);
            return None;
        }
        if beats.is_usual(at - beats.awaited.unwrap_or(beats.last), tolerance) {
            return None;
        }
        if let Some(due) = beats.awaited.take().filter(|due| at - due < half) {
            self.beat(at, Some(due));
            return Some(BeatFault::Late { due_s: seconds(due), offset_ms: milliseconds(at - due) });
        }
        beats.stray = beats.stray.or(Some(at));
        None
    }

    /// Whether beats can be followed from this onset on.
    fn look_for_beats(&mut self, at: f64) {
        let (period, tolerance) = (self.period(), self.tolerance());
        let seen = self.seen.get(..self.seen_count.min(SEEN)).unwrap_or_default();
        let before = seen.iter().filter(|(time, _)| (at - time - period).abs() <= tolerance);
        let in_a_row = 1 + before.map(|(_, count)| *count).max().unwrap_or(0);
        if in_a_row >= LOCKED {
            let mut beats = Beats::new(at, period);
            for (time, _) in seen.iter().filter(|(time, _)| *time > at - period + tolerance) {
                beats.is_usual(time - (at - period), tolerance);
            }
            (beats.others, beats.counts) = ([beats.others[1], beats.others[0]], [0, beats.counts[0]]);
            (self.beats, self.missed, self.seen_count) = (Some(beats), 0, 0);
            return;
        }
        if let Some(slot) = self.seen.get_mut(self.seen_count % SEEN) {
            *slot = (at, in_a_row);
        }
        self.seen_count += 1;
    }

    /// Time without an onset: whether a beat is missing by now.
    fn wait(&mut self) -> Option<BeatFault> {
        let (period, half) = (self.period(), 0.5 * self.rhythm.period_frames());
        let patience = self.tolerance() + FALLING as f64 + 2.0;
        let beats = self.beats.as_mut()?;
        let due = beats.due;
        // an onset that goes on may be the beat
        if self.candidate.is_some() || (self.now as f64) < beats.other_due.unwrap_or(due).max(due) + patience
        {
            return None;
        }
        if let Some(stray) = beats.stray.take().filter(|stray| due - stray < half) {
            self.beat(stray, Some(due));
            return Some(BeatFault::Early { due_s: seconds(due), offset_ms: milliseconds(stray - due) });
        }
        (beats.awaited, beats.due, beats.other_due) = (Some(due), due + period, None);
        self.missed += 1;
        if self.missed >= LOST {
            self.beats = None;
        }
        Some(BeatFault::Missing { due_s: seconds(due) })
    }

    /// A beat at `at`, which was due at another time where `due` says so.
    fn beat(&mut self, at: f64, due: Option<f64>) {
        let usual = self.rhythm.period_frames();
        let interval = self.beats.as_ref().map_or(0.0, |beats| at - beats.last);
        if (0.5 * usual..1.5 * usual).contains(&interval) {
            if let Some(slot) = self.intervals.get_mut(self.interval_count % INTERVALS) {
                *slot = interval;
            }
            self.interval_count += 1;
        }
        let period = self.period();
        self.missed = 0;
        if let Some(beats) = &mut self.beats {
            let (others, counts) = ([beats.others[1], beats.others[0]], [0, beats.counts[0]]);
            let other_due = due.map(|due| due + period);
            *beats = Beats { other_due, others, counts, ..Beats::new(at, period) };
        }
    }

    /// The present period, frames.
    fn period(&self) -> f64 {
        self.measured_period().unwrap_or_else(|| self.rhythm.period_frames())
    }

    /// The mean of the last intervals that lie near their median; none while there are too few.
    fn measured_period(&self) -> Option<f64> {
        let known = self.interval_count.min(INTERVALS);
        let mut sorted = self.intervals;
        let sorted = sorted.get_mut(..known)?;
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = *sorted.get(known / 2)?;
        let near = sorted.iter().filter(|interval| (*interval - middle).abs() <= self.tolerance());
        let (count, sum) = near.fold((0u8, 0.0), |(count, sum), interval| (count + 1, sum + interval));
        (count >= FEWEST_INTERVALS).then(|| sum / f64::from(count))
    }
}

impl Beats {
    /// After a beat at `last`.
    fn new(last: f64, period: f64) -> Self {
        Self {
            last,
            due: last + period,
            other_due: None,
            awaited: None,
            stray: None,
            others: [[0.0; OTHERS]; 2],
            counts: [0; 2],
        }
    }

    /// Whether an onset so many frames after the beat also came in the last cycle. Remembers it for the next one.
    fn is_usual(&mut self, after: f64, tolerance: f64) -> bool {
        let [now, before] = &mut self.others;
        if let Some(slot) = now.get_mut(self.counts[0]) {
            *slot = after;
            self.counts[0] += 1;
        }
        before.iter().take(self.counts[1]).any(|other| (other - after).abs() <= tolerance)
    }
}

fn seconds(frames: f64) -> f64 {
    frames.max(0.0) / f64::from(FRAME_RATE)
}

fn milliseconds(frames: f64) -> f64 {
    frames * 1000.0 / f64::from(FRAME_RATE)
}
