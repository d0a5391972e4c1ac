//! How well detectors find rare events: [`Outcome`] of one detector on one stream, [`Summary`] over streams.

mod bootstrap;
mod measure;
mod ours;
mod outcome;
mod plots;
mod summary;
mod tables;

pub use bootstrap::Resampler;
pub use measure::{Contender, Judged, Options, measure};
pub use ours::Ours;
pub use outcome::{Alarm, EventOutcome, Outcome, SEGMENT_S, Segment, Verdict};
pub use plots::{roc_plot, time_plot};
pub use summary::{Areas, AtBudget, Delay, Interval, Report, Summary};
pub use tables::markdown;
