//! Scoring of recordings: the events that the daemon would have reported, faster than real time.
//!
//! Each recording is a stream of its own: its first minutes are the calibration, the rest is watched. A [`Scorer`]
//! takes one recording, in constant memory; [`score`] takes many, one a thread, and writes two files:
//!
//! | file | what it holds |
//! | --- | --- |
//! | events | a JSON object a line, an event a line: `file`, then a [`Finding`](crate::event::Finding) as of the end of the event, with `emitted_s` as of its first report |
//! | frames | CSV, 10 rows a second from the start of each recording: `file,t_s,surprise,novelty,score,p`, see [`Row`] |
//!
//! The calibration part is scored afterwards, by the calibration from it. Events are reported for the rest alone.
//!
//! With [`ScoreJob::calibrate_across`] each folder is one stream of short files: the first ones, by name, are the
//! calibration of all, and each file after them is scored by that alone, for any number of threads. Of each file nothing is learnt
//! until contexts have settled and windows are full, so that files below [`least_taught_s`] teach nothing.
//!
//! Results of finished recordings wait in a folder beside the events (`EVENTS.part`) until all are done. An interrupted
//! run resumes from there, and its two files equal those of an uninterrupted run, byte for byte.

mod event_merger;
mod find;
mod learn;
mod listener;
mod row;
mod run;
mod scorer;
mod work;

pub use find::{Recordings, Skipped, find};
pub use listener::Listener;
pub use row::Row;
pub use run::{ScoreJob, ScoreProgress, Summary, score};
pub use scorer::{Outcome, Scorer, least_taught_s};
