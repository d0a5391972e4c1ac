//! Verdicts on events that no detector knows, on the thread `events`.

use crossbeam_channel::Sender;
use serde_json::{Value, json};

use super::{Recorder, Writer, WriterMessage};
use crate::error::{Error, Result};
use crate::event::Verdict;
use crate::event_store::filter::Filter;
use crate::event_store::labels::ReviewAnswer;

/// Which event is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventName {
    /// The event of this ULID.
    Id(String),
    /// The last event of this stream.
    LastOf(String),
}

impl Recorder {
    /// Asks for a verdict on an event. The result comes with `ticket` once the disk has taken it.
    ///
    /// # Errors
    /// A configuration error where too many changes wait.
    pub fn judge_later(
        &self,
        event: EventName,
        verdict: Verdict,
        ticket: u64,
        answer: Sender<ReviewAnswer>,
    ) -> Result<()> {
        let full = |_| Error::config("too many requests wait", "ask again in a second");
        self.way.try_send(WriterMessage::Verdict { event, verdict, ticket, answer }).map_err(full)
    }
}

impl Writer {
    pub(super) fn judge_named(&self, event: &EventName, verdict: Verdict) -> Result<Value> {
        let unknown = |cause| Error::config(cause, "name one that the list of events has, by its id");
        let found = match event {
            EventName::Id(id) => self.judge(id, Some(verdict), None)?,
            EventName::LastOf(stream) => {
                let of_stream = Filter { stream: Some(stream.clone()), ..Filter::default() };
                match self.store.page(&of_stream, 1)?.events.first() {
                    Some(last) => self.judge(&last.event.id, Some(verdict), None)?,
                    None => None,
                }
            }
        };
        let kept = found.ok_or_else(|| match event {
            EventName::Id(_) => unknown("no event of that id is kept".to_owned()),
            EventName::LastOf(stream) => unknown(format!("no event of a stream {stream} is kept")),
        })?;
        let (id, stream) = (kept.event.id, kept.event.stream);
        tracing::info!("{stream}: event {id} of an earlier time was judged: {}", verdict.as_str());
        Ok(json!({ "id": id, "detector_informed": false }))
    }
}
