//! A reorder buffer: chunks in the order of their frames.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::capture::counters::ChunkCounters;
use crate::capture::pcm::PcmForm;

/// How long a missing chunk is waited for once a later one has arrived.
const REORDER_TIMEOUT: Duration = Duration::from_millis(200);
/// Most chunks that wait for a missing one.
const WAITING: usize = 64;
/// A second sender is accepted after the current one has been silent this long.
const TAKEOVER_SILENCE: Duration = Duration::from_millis(500);
/// How far a chunk may be ahead of the clock, seconds, beside a twentieth of the time that has passed.
const AHEAD_S: f64 = 5.0;
/// Gaps that are remembered, so that late chunks are told from repeated ones.
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

/// Output of the buffer, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OrderedStep {
    /// A new session follows: the length of the gap before it is known by the clock alone.
    Begin(PcmForm),
    /// So many frames are missing.
    Gap(u64),
    Sound(Piece),
}

/// The position of the stream, and the waiting chunks.
#[derive(Debug, Default)]
pub(super) struct ReorderBuffer {
    position: Option<StreamPosition>,
    waiting: BTreeMap<u64, Piece>,
    holes: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct StreamPosition {
    run: (PcmForm, u32),
    next: u64,
    /// Arrival of the last chunk that fitted.
    last_received: Instant,
}

impl StreamPosition {
    /// The last frame at which a chunk that comes `at` may begin.
    fn reach(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.last_received).as_secs_f64();
        let frames = (passed * 1.05 + AHEAD_S) * f64::from(self.run.0.rate);
        self.next.saturating_add(frames as u64)
    }
}

impl ReorderBuffer {
    /// Takes the next chunk of the format and session `run`; appends the output.
    pub(super) fn take(
        &mut self,
        run: (PcmForm, u32),
        piece: Piece,
        counts: &ChunkCounters,
        steps: &mut Vec<OrderedStep>,
    ) {
        let at = piece.at;
        let Some(position) = &mut self.position else { return self.begin(run, piece, steps) };
        let same = position.run == run;
        if same && (position.next..=position.reach(at)).contains(&piece.first) {
            position.last_received = at;
            if self.waiting.contains_key(&piece.first) {
                counts.count(|c| &c.repeated);
                return;
            }
            self.waiting.insert(piece.first, piece);
            self.play(counts, steps);
            if self.waiting.len() > WAITING {
                self.resync(counts, steps);
            }
        } else if at.saturating_duration_since(position.last_received) >= TAKEOVER_SILENCE {
            self.flush(counts, steps);
            self.begin(run, piece, steps);
        } else if same && piece.end() <= position.next {
            let late = self.holes.iter().any(|&(from, to)| from < piece.end() && piece.first < to);
            counts.count(if late { |c| &c.late } else { |c| &c.repeated });
        } else {
            counts.count(|c| &c.refused);
        }
    }

    /// When the missing chunk is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|piece| piece.at + REORDER_TIMEOUT).min()
    }

    /// Gives up chunks that have been missing for too long.
    pub(super) fn give_up(&mut self, now: Instant, counts: &ChunkCounters, steps: &mut Vec<OrderedStep>) {
        while self.due().is_some_and(|due| now >= due) {
            self.resync(counts, steps);
        }
    }

    fn begin(&mut self, run: (PcmForm, u32), piece: Piece, steps: &mut Vec<OrderedStep>) {
        self.waiting.clear();
        self.holes.clear();
        self.position = Some(StreamPosition { run, next: piece.end(), last_received: piece.at });
        steps.push(OrderedStep::Begin(run.0));
        steps.push(OrderedStep::Sound(piece));
    }

    fn flush(&mut self, counts: &ChunkCounters, steps: &mut Vec<OrderedStep>) {
        while !self.waiting.is_empty() {
            self.resync(counts, steps);
        }
    }

    /// Continues behind the gap.
    fn resync(&mut self, counts: &ChunkCounters, steps: &mut Vec<OrderedStep>) {
        let (Some(position), Some((&first, _))) = (&mut self.position, self.waiting.first_key_value()) else {
            return;
        };
        if first > position.next {
            steps.push(OrderedStep::Gap(first - position.next));
            if self.holes.len() == HOLES {
                self.holes.pop_front();
            }
            self.holes.push_back((position.next, first));
            position.next = first;
        }
        self.play(counts, steps);
    }

    /// Plays the chunks that follow without a gap.
    fn play(&mut self, counts: &ChunkCounters, steps: &mut Vec<OrderedStep>) {
        let Some(position) = &mut self.position else { return };
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > position.next {
                return;
            }
            let piece = entry.remove();
            if piece.first < position.next {
                // it overlaps with played sound in part: a correct sender never sends such a chunk
                counts.count(|c| &c.refused);
                continue;
            }
            position.next = piece.end();
            steps.push(OrderedStep::Sound(piece));
        }
    }
}

#[cfg(test)]
mod tests;
