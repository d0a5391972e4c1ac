//! Chunks in the order of their frames, whatever order they came in.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::capture::config::PcmForm;
use crate::capture::counters::ChunkCounters;

/// How long what is missing is waited for once something behind it has come.
const PATIENCE: Duration = Duration::from_millis(200);
/// Chunks that wait for one that is missing, at most.
const WAITING: usize = 64;
/// Who does not fit in is heard once who does has said nothing for so long.
const FLOOR: Duration = Duration::from_millis(500);
/// How far a chunk may be ahead of the clock, seconds, beside a twentieth of the time that has passed.
const AHEAD_S: f64 = 5.0;
/// Holes that are remembered, so that what comes too late is told from what comes twice.
const HOLES: usize = 32;

/// Sound of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) frames: u64,
    /// Interleaved.
    pub(super) samples: Vec<f32>,
    /// When it came.
    pub(super) at: Instant,
}

impl Piece {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.frames)
    }
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The sound that follows has another beginning: how much is missing before it tells only the clock.
    Begin(PcmForm),
    /// So many frames are missing.
    Gap(u64),
    Sound(Piece),
}

/// Where the stream stands, and what waits.
#[derive(Debug, Default)]
pub(super) struct Order {
    stand: Option<Stand>,
    waiting: BTreeMap<u64, Piece>,
    holes: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Stand {
    run: (PcmForm, u32),
    next: u64,
    /// When something that fits came last.
    heard: Instant,
}

impl Stand {
    /// The last frame at which a chunk that comes `at` may begin.
    fn reach(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.heard).as_secs_f64();
        let frames = (passed * 1.05 + AHEAD_S) * f64::from(self.run.0.rate);
        self.next.saturating_add(frames as u64)
    }
}

impl Order {
    /// Takes the next chunk of the form and session `run`; appends what is to be done.
    pub(super) fn take(
        &mut self,
        run: (PcmForm, u32),
        piece: Piece,
        counts: &ChunkCounters,
        steps: &mut Vec<Step>,
    ) {
        let at = piece.at;
        let Some(stand) = &mut self.stand else { return self.begin(run, piece, steps) };
        let same = stand.run == run;
        if same && (stand.next..=stand.reach(at)).contains(&piece.first) {
            stand.heard = at;
            if self.waiting.contains_key(&piece.first) {
                counts.count(|c| &c.repeated);
                return;
            }
            self.waiting.insert(piece.first, piece);
            self.play(counts, steps);
            if self.waiting.len() > WAITING {
                self.leap(counts, steps);
            }
        } else if at.saturating_duration_since(stand.heard) >= FLOOR {
            self.flush(counts, steps);
            self.begin(run, piece, steps);
        } else if same && piece.end() <= stand.next {
            let late = self.holes.iter().any(|&(from, to)| from < piece.end() && piece.first < to);
            counts.count(if late { |c| &c.late } else { |c| &c.repeated });
        } else {
            counts.count(|c| &c.refused);
        }
    }

    /// When what is missing is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|piece| piece.at + PATIENCE).min()
    }

    /// Gives up what has been missing for too long.
    pub(super) fn give_up(&mut self, now: Instant, counts: &ChunkCounters, steps: &mut Vec<Step>) {
        while self.due().is_some_and(|due| now >= due) {
            self.leap(counts, steps);
        }
    }

    fn begin(&mut self, run: (PcmForm, u32), piece: Piece, steps: &mut Vec<Step>) {
        self.waiting.clear();
        self.holes.clear();
        self.stand = Some(Stand { run, next: piece.end(), heard: piece.at });
        steps.push(Step::Begin(run.0));
        steps.push(Step::Sound(piece));
    }

    fn flush(&mut self, counts: &ChunkCounters, steps: &mut Vec<Step>) {
        while !self.waiting.is_empty() {
            self.leap(counts, steps);
        }
    }

    /// Goes on behind what is missing.
    fn leap(&mut self, counts: &ChunkCounters, steps: &mut Vec<Step>) {
        let (Some(stand), Some((&first, _))) = (&mut self.stand, self.waiting.first_key_value()) else {
            return;
        };
        if first > stand.next {
            steps.push(Step::Gap(first - stand.next));
            if self.holes.len() == HOLES {
                self.holes.pop_front();
            }
            self.holes.push_back((stand.next, first));
            stand.next = first;
        }
        self.play(counts, steps);
    }

    /// Plays what follows without a hole.
    fn play(&mut self, counts: &ChunkCounters, steps: &mut Vec<Step>) {
        let Some(stand) = &mut self.stand else { return };
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > stand.next {
                return;
            }
            let piece = entry.remove();
            if piece.first < stand.next {
                // it overlaps with what was played: whoever cuts sound like that is not to be trusted
                counts.count(|c| &c.refused);
                continue;
            }
            stand.next = piece.end();
            steps.push(Step::Sound(piece));
        }
    }
}

#[cfg(test)]
mod tests;
