//! What the watch notes of a block and of the event that is going on.

use serde::{Deserialize, Serialize};

use crate::detect::exact::{exact, exact_names};
use crate::detect::ongoing_event::OngoingEvent;
use crate::detect::recurring::{Extent, Repeat};
use crate::event::Nearest;
use crate::units::FRAME_RATE;

/// Number of alarms that were not reported, and that cannot be judged.
pub(super) const UNREPORTED: u64 = u64::MAX;

/// What became of the alarm of the event that is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlarmFate {
    /// It waits until the window of z is full of the event, to be compared with what was declared normal.
    Pending,
    /// It was reported.
    Reported,
    /// It was not, and is as soon as the event is severe.
    Withheld,
    /// The operator has declared it normal.
    Known,
    /// Its sound was reported often, and lately.
    Repeat,
}

exact_names!(AlarmFate { Pending, Reported, Withheld, Known, Repeat });

/// Whether an alarm counts against the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    No,
    /// At the end of the block.
    Due,
    Done,
}

exact_names!(Count { No, Due, Done });

/// What is known of the event that is going on, beside its [`OngoingEvent`].
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// The block in which it began.
    pub(super) block: u64,
    pub(super) frames: u64,
    /// Its number if it was reported.
    pub(super) number: u64,
    pub(super) fate: AlarmFate,
    pub(super) count: Count,
    pub(super) severe: bool,
    /// It became severe after it was reported; the update is still to be sent.
    pub(super) graver: bool,
    /// Pooled z of the event that is farthest from the background, and how far.
    pub(super) farthest: Option<(f64, Vec<f32>)>,
    /// How far it has gone.
    pub(super) extent: Extent,
    /// How far it may go before it is reported, where it is not reported because its sound is known.
    pub(super) limit: Option<Extent>,
    /// What is known of its sound.
    pub(super) repeat: Option<Repeat>,
}

exact!(Running { block, frames, number, fate, count, severe, graver, farthest, extent, limit, repeat });

impl Running {
    pub(super) fn new(block: u64) -> Self {
        Self {
            block,
            frames: 0,
            number: UNREPORTED,
            fate: AlarmFate::Pending,
            count: Count::No,
            severe: false,
            graver: false,
            farthest: None,
            extent: Extent::default(),
            limit: None,
            repeat: None,
        }
    }

    /// Whether it is not reported because its sound is known, and goes far beyond what is known.
    pub(super) fn goes_too_far(&self) -> bool {
        self.limit.is_some_and(|limit| self.extent.exceeds(limit))
    }

    pub(super) fn window(&self) -> Option<&[f32]> {
        self.farthest.as_ref().map(|(_, window)| window.as_slice())
    }
}

/// What is to be reported after a frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Decision {
    /// An event began. It is [`AlarmController::episode`](super::AlarmController::episode), unless it has ended by now.
    pub(crate) began: bool,
    /// The event that is going on became severe after it was reported.
    pub(crate) graver: bool,
    /// An event that was reported is over.
    pub(crate) ended: Option<OngoingEvent>,
    /// It ended because the site has changed.
    pub(crate) regime: bool,
    /// The former event that it was most like.
    pub(crate) nearest: Option<Nearest>,
    /// What was known of its sound.
    pub(crate) repeat: Option<Repeat>,
}

/// A block of 100 usable frames, gaps between them or not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    pub(super) frames: u32,
    /// Highest −log10 p under the calibration.
    pub(super) highest: f64,
    /// The ordinary alarm in it.
    pub(super) alarm: Option<u64>,
    /// First and last of the blocks that its events keep from the maxima.
    pub(super) left_out: Option<(u64, u64)>,
}

exact!(Block { frames, highest, alarm, left_out });

impl Block {
    /// Whether this could have come about by watching.
    pub(super) fn is_whole(&self) -> bool {
        self.frames < FRAME_RATE && (0.0..=300.0).contains(&self.highest)
    }

    pub(super) fn leave_out(&mut self, first: u64, last: u64) {
        let (a, b) = self.left_out.unwrap_or((first, last));
        self.left_out = Some((a.min(first), b.max(last)));
    }
}
