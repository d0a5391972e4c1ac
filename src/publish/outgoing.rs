//! What is published.

use super::embedding::Embedding;
use super::payload::{Availability, Health, Score};
use super::progress::StreamProgress;
use super::request::{Command, Response};
use crate::event::{DayName, DaySummary, Event};

/// Something to publish.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// An event document: kept until the broker has confirmed it.
    Event(Box<Event>),
    /// Whether an event goes on: retained, the latest counts.
    Anomaly {
        /// Stream id.
        stream: String,
        /// An event goes on.
        on: bool,
    },
    /// The figures of a moment: nothing where there is no connection.
    Score {
        /// Stream id.
        stream: String,
        /// The figures.
        score: Score,
    },
    /// The mean of some contexts: nothing where there is no connection.
    Embedding {
        /// Stream id.
        stream: String,
        /// The mean.
        embedding: Box<Embedding>,
    },
    /// Whether a source delivers sound: retained, the latest counts.
    Availability {
        /// Stream id.
        stream: String,
        /// The availability.
        availability: Availability,
    },
    /// The state of a stream: retained, the latest counts.
    Progress {
        /// Stream id.
        stream: String,
        /// The state.
        progress: StreamProgress,
    },
    /// The state of the node: retained, the latest counts.
    Health(Box<Health>),
    /// A setting of a stream that can be changed over the broker, as it is: retained, the latest counts.
    Setting {
        /// Stream id.
        stream: String,
        /// The setting.
        key: Command,
        /// Its value.
        value: String,
    },
    /// The events of a day: retained, the latest counts.
    Day {
        /// Stream id.
        stream: String,
        /// The day.
        day: DayName,
        /// The counts.
        summary: Box<DaySummary>,
    },
    /// The picture of an event, a PNG: retained, the latest counts.
    Picture {
        /// Stream id.
        stream: String,
        /// The file.
        png: Vec<u8>,
    },
    /// The answer to a request: nothing where there is no connection.
    Response {
        /// The command.
        command: Command,
        /// The answer.
        response: Response,
    },
}
