use proptest::prelude::*;

use super::*;

const RUN: (PcmForm, u32) =
    (PcmForm { rate: 16_000, channels: 1, format: crate::capture::PcmFormat::S16le }, 7);
const LENGTH: u64 = 320;

/// Chunks that come one after another, so many ms after the start.
struct Bench {
    reorder: ReorderBuffer,
    counts: ChunkCounters,
    start: Instant,
    steps: Vec<OrderedStep>,
}

impl Bench {
    fn new() -> Self {
        Self {
            reorder: ReorderBuffer::default(),
            counts: ChunkCounters::default(),
            start: Instant::now(),
            steps: Vec::new(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Chunk number `n` of `run` comes.
    fn comes(&mut self, run: (PcmForm, u32), n: u64, ms: u64) {
        let at = self.at(ms);
        self.reorder.give_up(at, &self.counts, &mut self.steps);
        let piece = Piece { first: n * LENGTH, frames: LENGTH, samples: vec![n as f32], at };
        self.reorder.take(run, piece, &self.counts, &mut self.steps);
    }

    /// What came of it: numbers of chunks, and lengths of gaps below zero.
    fn played(&mut self) -> Vec<i64> {
        let played = self.steps.drain(..).filter_map(|step| match step {
            OrderedStep::Begin(_) => None,
            OrderedStep::Gap(lost) => Some(-(lost as i64)),
            OrderedStep::Sound(piece) => Some(piece.samples[0] as i64),
        });
        played.collect()
    }
}

#[test]
fn reordered_chunks_are_put_in_order() {
    let mut bench = Bench::new();
    for (i, n) in [0, 1, 3, 2, 5, 6, 4, 4, 7].into_iter().enumerate() {
        bench.comes(RUN, n, 20 * i as u64);
    }
    assert_eq!(bench.played(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((bench.counts.repeated(), bench.counts.late()), (1, 0));
}

#[test]
fn missing_chunks_are_a_gap_of_their_length() {
    let mut bench = Bench::new();
    [(0, 0), (1, 20), (4, 80), (5, 100)].into_iter().for_each(|(n, ms)| bench.comes(RUN, n, ms));
    assert_eq!(bench.played(), [0, 1]);
    bench.comes(RUN, 6, 279);
    assert!(bench.played().is_empty(), "it is waited for");
    bench.comes(RUN, 7, 280);
    assert_eq!(bench.played(), [-640, 4, 5, 6, 7]);
    bench.comes(RUN, 2, 300);
    bench.comes(RUN, 7, 300);
    assert_eq!((bench.counts.late(), bench.counts.repeated()), (1, 1));
    // an hour away, by the clock and by the numbers
    bench.comes(RUN, 180_000, 3_600_000);
    bench.comes(RUN, 180_001, 3_600_300);
    assert_eq!(bench.played(), [-((180_000 - 8) * 320), 180_000, 180_001]);
}

#[test]
fn a_second_sender_is_accepted_once_the_first_is_silent() {
    let mut bench = Bench::new();
    bench.comes(RUN, 1000, 0);
    let other = (RUN.0, 8);
    bench.comes(other, 0, 20);
    bench.comes(RUN, u64::MAX / LENGTH, 30);
    bench.comes(RUN, 1001, 40);
    assert_eq!(bench.played(), [1000, 1001]);
    assert_eq!(bench.counts.refused(), 2);
    // a restart
    bench.comes(other, 5, 600);
    bench.comes(other, 6, 620);
    assert_eq!(bench.steps.first(), Some(&OrderedStep::Begin(RUN.0)));
    assert_eq!(bench.played(), [5, 6]);
    // one that counts from 0 again without another session
    (0..30).for_each(|n| bench.comes(other, n, 640 + 20 * n));
    let played = bench.played();
    assert_eq!(played.last(), Some(&29), "{played:?}");
}

#[test]
fn parts_of_chunks_are_refused() {
    let mut bench = Bench::new();
    bench.comes(RUN, 0, 0);
    let piece = Piece { first: 100, frames: LENGTH, samples: vec![9.0], at: bench.at(20) };
    bench.reorder.take(RUN, piece, &bench.counts, &mut bench.steps);
    assert_eq!((bench.played(), bench.counts.refused()), (vec![0], 1));
}

proptest! {
    #[test]
    fn every_frame_is_played_once_or_missing(
        chunks in proptest::collection::vec((0u32..3, any::<u64>(), 0u64..400, 1u64..2000, 0u64..300), 1..120),
    ) {
        let mut bench = Bench::new();
        let mut ms = 0;
        for (kind, wild, near, frames, wait) in chunks {
            ms += wait;
            let at = bench.at(ms);
            bench.reorder.give_up(at, &bench.counts, &mut bench.steps);
            let first = if kind == 0 { wild / 2 } else { near * 100 };
            let piece = Piece { first, frames, samples: Vec::new(), at };
            bench.reorder.take((RUN.0, 7 + u32::from(kind == 2)), piece, &bench.counts, &mut bench.steps);
            prop_assert!(bench.reorder.waiting.len() <= WAITING && bench.reorder.holes.len() <= HOLES);
        }
        bench.reorder.give_up(bench.at(ms + 1000), &bench.counts, &mut bench.steps);
        prop_assert!(bench.reorder.waiting.is_empty());
        let mut next = None;
        for step in &bench.steps {
            match step {
                OrderedStep::Begin(_) => next = None,
                OrderedStep::Gap(lost) => {
                    prop_assert!(*lost > 0);
                    next = next.map(|next: u64| next + lost);
                }
                OrderedStep::Sound(piece) => {
                    prop_assert!(next.is_none_or(|next| next == piece.first));
                    next = Some(piece.first + piece.frames);
                }
            }
        }
    }
}
