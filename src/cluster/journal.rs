//! The documents of one stream on their way into JetStream: each once, in order, and none by a worker that is behind.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use serde::Deserialize;

use super::jetstream::{JetStream, RETRY_INTERVAL};
use crate::event::Event;

/// The last stored document of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct LastStored {
    boot: String,
    seq: u64,
}

/// The result of storing a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored now.
    Now,
    /// It was stored before, by this worker or another.
    Before,
    /// Another worker is ahead: this one writes nothing of the stream any more.
    Fenced,
}

/// The document log of one stream while it is analysed here.
#[derive(Debug)]
pub(super) struct DocumentLog {
    subject: String,
    stream: String,
    /// Number in JetStream of the stream's last document, and which it is; 0 and none before the first.
    last: (u64, Option<LastStored>),
}

impl DocumentLog {
    /// Reads the last stored document.
    ///
    /// # Errors
    /// Says why the servers do not tell.
    pub(super) async fn open(jetstream: &JetStream, stream: &str) -> Result<Self, String> {
        let subject = jetstream.names.event(stream);
        let last = last_of(jetstream, &subject).await?;
        Ok(Self { subject, stream: stream.to_owned(), last })
    }

    /// Number of the next document of the session `boot`, by what is stored.
    pub(super) fn next_seq(&self, boot: &str) -> u64 {
        self.last.1.as_ref().filter(|mark| mark.boot == boot).map_or(0, |mark| mark.seq + 1)
    }

    /// Stores a document, however long the servers are away. `revision` is that of the lease, for diagnosis.
    pub(super) async fn store(&mut self, jetstream: &JetStream, event: &Event, revision: u64) -> Stored {
        let payload = serde_json::to_vec(event).unwrap_or_default();
        let mark = LastStored { boot: event.boot.clone(), seq: event.seq };
        loop {
            if let Some(last) = &self.last.1 {
                // ids of sessions ascend with time
                if last.boot > mark.boot {
                    return Stored::Fenced;
                }
                if last.boot == mark.boot && last.seq >= mark.seq {
                    return Stored::Before;
                }
            }
            let message = PublishMessage::build()
                .payload(payload.clone().into())
                .message_id(format!("{}:{}:{}", mark.boot, self.stream, mark.seq))
                .expected_last_subject_sequence(self.last.0)
                .header("Cpc-Lease", revision.to_string().as_str());
            let error = match jetstream.context.send_publish(self.subject.clone(), message).await {
                Ok(answer) => match answer.await {
                    Ok(stored) => {
                        let before = stored.duplicate;
                        self.last = (stored.sequence, Some(mark));
                        return if before { Stored::Before } else { Stored::Now };
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.kind() != PublishErrorKind::WrongLastSequence {
                tracing::warn!("cluster: {}: a document waits for the servers: {error}", self.stream);
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            match last_of(jetstream, &self.subject).await {
                Ok(last) => self.last = last,
                Err(error) => {
                    tracing::debug!("cluster: {}: {error}", self.stream);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }
}

async fn last_of(jetstream: &JetStream, subject: &str) -> Result<(u64, Option<LastStored>), String> {
    match jetstream.events.get_last_raw_message_by_subject(subject).await {
        Ok(message) => {
            let mark = serde_json::from_slice(&message.payload).map_err(|e| format!("{subject}: {e}"))?;
            Ok((message.sequence, Some(mark)))
        }
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok((0, None)),
        Err(error) => Err(error.to_string()),
    }
}
