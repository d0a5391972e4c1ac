//! Recordings to events: what the daemon would have said of them, faster than real time.
//!
//! Each recording is a stream of its own: its first minutes teach what is normal in it, the rest is watched. A
//! [`Scorer`] takes one recording, in constant memory; [`score`] takes many, one a thread, and writes two files:
//!
//! | file | what it holds |
//! | --- | --- |
//! | events | a JSON object a line, an event a line: `file`, then a [`Finding`](crate::event::Finding) as it was when the event was over, with `emitted_s` as of the moment at which it was first told |
//! | frames | CSV, 10 rows a second from the start of each recording: `file,t_s,surprise,novelty,score,p`, see [`Row`] |
//!
//! The minutes that normal is learnt from have no score while they are heard; their rows are made afterwards, by what
//! was learnt from them. Events are told of the rest alone.
//!
//! With [`Job::calibrate_across`] each folder is one stream of short files: the first ones, by name, teach what is normal in all,
//! and each file after them is scored by that alone, whatever the number of threads.
//!
//! What is known of a finished recording waits in a folder beside the events (`EVENTS.part`) until all are done. A run
//! that ends before its time, however it ends, goes on from there, and its two files are those of a run that was left
//! alone, byte for byte.

mod find;
mod learn;
mod row;
mod run;
mod scorer;
mod work;

pub use find::{LeftOut, find};
pub use row::Row;
pub use run::{Job, Progress, Summary, score};
pub use scorer::{Listener, Outcome, Scorer};
