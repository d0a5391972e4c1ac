//! How well detectors find rare events: [`Outcome`] of one detector on one stream, [`Summary`] over streams.

mod alarms;
mod alarms_of_scores;
mod daemon_detector;
mod estimate;
mod heading;
mod measure;
mod outcome;
mod plots;
mod summary;
mod tables;
mod tables_of_alarms;

pub use alarms::{AtBudget, Delay};
pub use daemon_detector::DaemonDetector;
pub use estimate::{Areas, Interval, Resampler};
pub use measure::{DetectorOutput, DetectorUnderTest, Keep, Options, measure};
pub use outcome::{Alarm, Anomaly, BudgetResult, EventOutcome, Outcome, SEGMENT_S, Segment};
pub use plots::{roc_plot, time_plot};
pub use summary::{
    CollectionAreas, DetectionReport, FamilyStreams, FamilySummary, KindAreas, RatioAreas, StreamAlarms,
    Summary,
};
pub use tables::markdown;
