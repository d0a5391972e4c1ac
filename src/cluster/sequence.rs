//! Chunks of a stream in the order in which JetStream keeps them: their classification is a function of that order and
//! of the times at which they were captured, so that a replay gives the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capture::{Chunk, PcmForm};

/// A chunk that does not fit starts a new session once the current one has been silent for so long.
const SILENCE: Duration = Duration::from_millis(500);
/// How far a chunk may be ahead of the time that has passed, seconds, beside a twentieth of that time.
const AHEAD_S: f64 = 5.0;

/// The classification of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFit {
    /// The first of a session: nothing before it is known of the stream's clock.
    Begin,
    /// It follows, after so many frames that are missing.
    Follows {
        /// Frames that are missing, at the rate of the session.
        lost: u64,
    },
    /// It came before.
    Repeated,
    /// It does not fit in.
    Refused,
}

/// The position of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SessionPosition {
    form: PcmForm,
    session: u32,
    next: u64,
    /// When the last chunk that fitted was captured, since 1970.
    #[serde(alias = "received")]
    captured: Duration,
}

/// Follows the chunks of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequencer {
    place: Option<SessionPosition>,
}

impl Sequencer {
    /// The next chunk, which was captured at `at` since 1970: when the server took it, less its delay.
    pub fn take(&mut self, chunk: &Chunk<'_>, at: Duration) -> ChunkFit {
        let (first, end) = (chunk.first, chunk.first.saturating_add(chunk.frames()));
        let begun = SessionPosition { form: chunk.pcm, session: chunk.session, next: end, captured: at };
        let Some(place) = &mut self.place else {
            self.place = Some(begun);
            return ChunkFit::Begin;
        };
        let passed = at.saturating_sub(place.captured);
        let same = place.session == chunk.session && place.form == chunk.pcm;
        let ahead = (passed.as_secs_f64() * 1.05 + AHEAD_S) * f64::from(chunk.pcm.rate);
        if same && (place.next..=place.next.saturating_add(ahead as u64)).contains(&first) {
            let lost = first - place.next;
            (place.next, place.captured) = (end, place.captured.max(at));
            return ChunkFit::Follows { lost };
        }
        if same && end <= place.next && passed < SILENCE {
            return ChunkFit::Repeated;
        }
        if passed >= SILENCE {
            self.place = Some(begun);
            return ChunkFit::Begin;
        }
        ChunkFit::Refused
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(sequencer: &mut Sequencer, session: u32, first: u64, ms: u64) -> ChunkFit {
        let chunk = Chunk { pcm: PcmForm::default(), session, first, delay_ms: 0, bytes: (&[0; 640]).into() };
        sequencer.take(&chunk, Duration::from_millis(ms))
    }

    #[test]
    fn chunks_follow_repeat_and_leave_holes() {
        let mut order = Sequencer::default();
        assert_eq!(take(&mut order, 1, 0, 0), ChunkFit::Begin);
        assert_eq!(take(&mut order, 1, 320, 20), ChunkFit::Follows { lost: 0 });
        assert_eq!(take(&mut order, 1, 320, 21), ChunkFit::Repeated);
        assert_eq!(take(&mut order, 1, 960, 60), ChunkFit::Follows { lost: 320 });
        assert_eq!(take(&mut order, 1, 640, 61), ChunkFit::Repeated, "late");
        // another sender, while the microphone continues
        assert_eq!(take(&mut order, 2, 0, 70), ChunkFit::Refused);
        assert_eq!(take(&mut order, 1, 1 << 40, 75), ChunkFit::Refused);
        assert_eq!(take(&mut order, 1, 1280, 80), ChunkFit::Follows { lost: 0 });
        // a restart
        assert_eq!(take(&mut order, 2, 0, 700), ChunkFit::Begin);
        assert_eq!(take(&mut order, 2, 320, 720), ChunkFit::Follows { lost: 0 });
        // ten seconds away
        assert_eq!(take(&mut order, 2, 160_640, 10_740), ChunkFit::Follows { lost: 160_000 });
    }

    proptest! {
        #[test]
        fn the_clock_of_a_session_never_goes_back(
            chunks in proptest::collection::vec((1u32..3, 0u64..5000, 0u64..400), 1..200),
        ) {
            let mut order = Sequencer::default();
            let (mut ms, mut next) = (0, 0);
            for (session, at, wait) in chunks {
                ms += wait;
                let first = at * 80;
                match take(&mut order, session, first, ms) {
                    ChunkFit::Begin => next = first + 320,
                    ChunkFit::Follows { lost } => {
                        prop_assert_eq!(first, next + lost);
                        next = first + 320;
                    }
                    ChunkFit::Repeated | ChunkFit::Refused => {}
                }
            }
        }
    }
}
