//! How well detectors find rare events: [`Outcome`] of one detector on one stream, [`Summary`] over streams.

mod alarms;
mod estimate;
mod measure;
mod ours;
mod outcome;
mod plots;
mod summary;
mod tables;
mod tables_of_alarms;

pub use alarms::{AtBudget, Delay};
pub use estimate::{Areas, Interval, Resampler};
pub use measure::{Contender, Judged, Keep, Options, measure};
pub use ours::Ours;
pub use outcome::{Alarm, Anomaly, EventOutcome, Outcome, SEGMENT_S, Segment, Verdict};
pub use plots::{roc_plot, time_plot};
pub use summary::{CollectionAreas, FamilyStreams, FamilySummary, KindAreas, RatioAreas, Report, Summary};
pub use tables::markdown;
