//! The store of past events, of their reviews (verdicts and labels), and of the sounds that have a label.
//!
//! ```text
//! inference ─ Recorder ─▶ channel (1024) ─▶ thread `events`: commits ─▶ events.redb ◀─ EventStore: the page, exports
//!            (never waits, counts refusals)   (bounds: count, bytes, age)
//! ```
//!
//! Each event is one row: its latest document, a verdict and a label. A commit is on the disk when it returns, so that a kill
//! or a power cut takes what had not been committed and nothing else. While the disk refuses, the last 1,024 events wait in
//! memory and are written once it takes them again; they and the last 1,024 that it took can be asked for. A daemon without a state folder of its own
//! keeps only these.
//!
//! An event that an operator gave a label is also an *example* of it, by its embedding. Examples outlive their events; by them the
//! analysis gives later events a label ([`Recorder::label`], which never waits).
//!
//! It is no queue: the outbox delivers events, and nothing here waits for a broker.

mod config;
mod file;
mod filter;
mod label_example;
mod labels;
mod recogniser;
mod row;
mod similar;
mod store;
mod writer;

pub use config::EventsConfig;
pub use filter::{Filter, VerdictFilter};
pub use label_example::LabelExample;
pub use labels::{LabelChange, LabelFile, LabelInfo, ReviewAnswer};
pub use row::{LabelSource, StoredEvent};
pub use similar::{Similar, SimilarEvent};
pub use store::{EventStore, HalfHour, Page, Summary};
pub use writer::{DayAnswer, EventName, Recorder, StoreHealth};

#[cfg(test)]
mod label_tests;
#[cfg(test)]
mod tests;
