//! Whether a stream receives anything at all: the state of its input, from the raw samples.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::exact::{exact, exact_names};
use crate::units::{FRAME_RATE, HOP};

/// Hops in 1 s.
const SECOND: usize = FRAME_RATE as usize;
/// Mean square below which there is nothing: −115 dBFS.
const NOTHING: f64 = 3.162_277_660_168_379e-12;
/// Hops in a row with nothing in them, past which the input is dead.
const NOTHING_HOPS: u32 = 10;
/// Mean square below which 10 s are faint: −85 dBFS.
const FAINT: f64 = 3.162_277_660_168_379e-9;
/// Seconds that are faint together.
const FAINT_SECONDS: usize = 10;
/// |sample| from which it counts as clipped.
const CLIPPED: f32 = 0.999;
/// Clipped samples within 1 s that make it clipping: 1 %.
const CLIPPED_SAMPLES: usize = SECOND * HOP / 100;
/// |mean| of 1 s above which there is an offset, if it is also above this share of the RMS.
const OFFSET: (f64, f64) = (0.05, 0.5);

/// What is the matter with the input of a stream, from the least to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Nothing.
    Good,
    /// 10 s below −85 dBFS (RMS about the mean of each second): a dead microphone that hisses in its last bits.
    Faint,
    /// |mean| over 1 s above 0.05 and above half of the RMS.
    Offset,
    /// 1 % or more of the samples of the last 1 s at |x| ≥ 0.999.
    Clipping,
    /// A constant for more than 0.1 s: about the mean of each hop, less than −115 dBFS is left.
    Stuck,
    /// Digital silence, or less than −115 dBFS, for more than 0.1 s.
    Silent,
    /// A sample that is not a number or infinite.
    Invalid,
}

exact_names!(InputState { Good, Faint, Offset, Clipping, Stuck, Silent, Invalid });

impl std::fmt::Display for InputState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl InputState {
    /// One word, as in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Faint => "faint",
            Self::Offset => "offset",
            Self::Clipping => "clipping",
            Self::Stuck => "stuck",
            Self::Silent => "silent",
            Self::Invalid => "invalid",
        }
    }

    /// Whether such sound is worth scoring.
    #[must_use]
    pub fn usable(self) -> bool {
        self < Self::Stuck
    }
}

/// What the samples of a hop say of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// The state of the input.
    pub state: InputState,
    /// Whether there is nothing in this hop but a constant: too short to be a state, and no sound.
    pub empty: bool,
}

impl Input {
    /// Nothing is the matter.
    pub const GOOD: Self = Self { state: InputState::Good, empty: false };
}

/// Hops in each state since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCounts {
    /// In [`InputState::Good`].
    pub good: u64,
    /// In [`InputState::Faint`].
    pub faint: u64,
    /// In [`InputState::Offset`].
    pub offset: u64,
    /// In [`InputState::Clipping`].
    pub clipping: u64,
    /// In [`InputState::Stuck`].
    pub stuck: u64,
    /// In [`InputState::Silent`].
    pub silent: u64,
    /// In [`InputState::Invalid`].
    pub invalid: u64,
}

exact!(InputCounts { good, faint, offset, clipping, stuck, silent, invalid });

impl InputCounts {
    fn add(&mut self, state: InputState) {
        let count = match state {
            InputState::Good => &mut self.good,
            InputState::Faint => &mut self.faint,
            InputState::Offset => &mut self.offset,
            InputState::Clipping => &mut self.clipping,
            InputState::Stuck => &mut self.stuck,
            InputState::Silent => &mut self.silent,
            InputState::Invalid => &mut self.invalid,
        };
        *count += 1;
    }

    /// Hops in any state.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.good + self.faint + self.offset + self.clipping + self.stuck + self.silent + self.invalid
    }
}

/// Watches the input of one stream, hop by hop, without allocating.
///
/// Each hop is judged by itself and by the second and the 10 s before it; of several complaints the worst is
/// told. A worse state is entered at once. A better one is entered after 1 s of hops that are all better than the
/// present state: the worst among them is next, so that the state does not flap.
#[derive(Debug, Clone)]
pub struct InputMonitor {
    state: InputState,
    counts: InputCounts,
    /// Hops in a row, up to now, that were better than `state`, and the worst of them.
    better: (usize, InputState),
    /// Hops in a row, up to now, with nothing in them but a constant.
    nothing: u32,
    /// The hops of the last 1 s.
    second: VecDeque<Sums>,
    /// Hops since the last full second in `seconds`.
    part: usize,
    /// Mean squares, about the mean, of the last 10 whole seconds.
    seconds: VecDeque<f64>,
}

exact!(InputMonitor { state, counts, better, nothing, second, part, seconds });

impl Default for InputMonitor {
    fn default() -> Self {
        Self {
            state: InputState::Good,
            counts: InputCounts::default(),
            better: (0, InputState::Good),
            nothing: 0,
            second: VecDeque::with_capacity(SECOND),
            part: 0,
            seconds: VecDeque::with_capacity(FAINT_SECONDS),
        }
    }
}

impl InputMonitor {
    /// A monitor that has received nothing yet and calls it good.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next hop of 160 samples in [−1, 1]; the state after it. An empty hop changes nothing.
    pub fn push(&mut self, hop: &[f32]) -> InputState {
        if hop.is_empty() {
            return self.state;
        }
        let now = self.judge(hop);
        if now >= self.state {
            self.state = now;
            self.better = (0, InputState::Good);
        } else {
            let (hops, worst) = self.better;
            self.better = (hops + 1, worst.max(now));
            if hops + 1 >= SECOND {
                self.state = worst.max(now);
                self.better = (0, InputState::Good);
            }
        }
        self.counts.add(self.state);
        self.state
    }

    /// The state after the last hop.
    #[must_use]
    pub fn state(&self) -> InputState {
        self.state
    }

    /// Whether the input is worth scoring.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.state.usable()
    }

    /// The state after the last hop, and whether that was empty.
    #[must_use]
    pub fn input(&self) -> Input {
        Input { state: self.state, empty: self.nothing > 0 }
    }

    /// Hops in each state since the start.
    #[must_use]
    pub fn counts(&self) -> InputCounts {
        self.counts
    }

    fn judge(&mut self, hop: &[f32]) -> InputState {
        if !hop.iter().all(|x| x.is_finite()) {
            self.nothing = 0;
            self.forget();
            return InputState::Invalid;
        }
        let sums = Sums::of(hop);
        self.nothing = if sums.variance() < NOTHING { self.nothing.saturating_add(1) } else { 0 };
        if self.nothing > NOTHING_HOPS {
            self.forget();
            return if sums.power() < NOTHING { InputState::Silent } else { InputState::Stuck };
        }
        let second = self.remember(sums);
        let mean = second.mean().abs();
        if second.clipped >= CLIPPED_SAMPLES {
            InputState::Clipping
        } else if self.second.len() == SECOND && mean > OFFSET.0 && mean > OFFSET.1 * second.power().sqrt() {
            InputState::Offset
        } else if self.seconds.len() == FAINT_SECONDS
            && self.seconds.iter().sum::<f64>() / (FAINT_SECONDS as f64) < FAINT
        {
            InputState::Faint
        } else {
            InputState::Good
        }
    }

    /// Adds a hop to the windows; gives the sums of the last second.
    fn remember(&mut self, sums: Sums) -> Sums {
        push_bounded(&mut self.second, sums, SECOND);
        let second = self.second.iter().fold(Sums::default(), Sums::join);
        self.part += 1;
        if self.part == SECOND {
            self.part = 0;
            push_bounded(&mut self.seconds, second.variance(), FAINT_SECONDS);
        }
        second
    }

    /// What comes after an interruption is judged by itself.
    fn forget(&mut self) {
        self.second.clear();
        self.seconds.clear();
        self.part = 0;
    }
}

/// Adds `item` at the end of `queue`, which never holds more than `most`.
fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Sums over samples.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    samples: usize,
    sum: f64,
    squares: f64,
    clipped: usize,
}

exact!(Sums { samples, sum, squares, clipped });

impl Sums {
    fn of(samples: &[f32]) -> Self {
        let mut sums = Self { samples: samples.len(), ..Self::default() };
        for &x in samples {
            sums.sum += f64::from(x);
            sums.squares += f64::from(x) * f64::from(x);
            sums.clipped += usize::from(x.abs() >= CLIPPED);
        }
        sums
    }

    fn join(self, other: &Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            clipped: self.clipped + other.clipped,
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.samples.max(1) as f64
    }

    /// Mean square.
    fn power(&self) -> f64 {
        self.squares / self.samples.max(1) as f64
    }

    /// Mean square about the mean.
    fn variance(&self) -> f64 {
        (self.power() - self.mean().powi(2)).max(0.0)
    }
}

#[cfg(test)]
mod tests;
