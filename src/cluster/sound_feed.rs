//! The sound of one microphone, from a number on. A consumer lives on one server, which may die without a word: one that delivers
//! nothing is made anew behind the last chunk.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::jetstream::{JetStream, RETRY_INTERVAL};
use crate::backoff::Backoff;

/// How long a consumer may deliver nothing, at first and at most: a microphone may be silent.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// Chunks in the order of their numbers.
pub(super) struct SoundFeed {
    sound: Stream,
    subject: String,
    /// Number of the next chunk, at least.
    next: u64,
    messages: Option<Ordered>,
    /// When the servers are asked, if nothing comes.
    due: Instant,
    patience: Backoff,
}

impl SoundFeed {
    /// Of the microphone `mic`, from the chunk `start` on.
    pub(super) fn new(jetstream: &JetStream, mic: &str, start: u64) -> Self {
        Self {
            sound: jetstream.sound.clone(),
            subject: jetstream.names.audio(mic),
            next: start,
            messages: None,
            due: Instant::now(),
            patience: Backoff::new(PATIENCE),
        }
    }

    /// The next chunk, however long the servers are away. Nothing is lost where the call is given up.
    ///
    /// # Errors
    /// When the servers have lost the sound and count it anew.
    pub(super) async fn next(&mut self) -> Result<Message, String> {
        loop {
            let came = match &mut self.messages {
                Some(messages) => timeout_at(self.due, messages.next()).await.ok(),
                None => {
                    sleep_until(self.due).await;
                    None
                }
            };
            match came {
                Some(Some(Ok(message))) => {
                    let number = message.info().map_err(|e| e.to_string())?.stream_sequence;
                    // what a consumer that the client has made anew repeats
                    if number < self.next {
                        continue;
                    }
                    self.next = number + 1;
                    self.patience.reset();
                    self.due = Instant::now() + self.patience.upcoming();
                    return Ok(message);
                }
                Some(other) => {
                    let reason = other.and_then(Result::err).map_or_else(String::new, |e| e.to_string());
                    tracing::debug!("cluster: {}: its consumer is gone ({reason})", self.subject);
                    self.messages = None;
                    self.due = Instant::now() + RETRY_INTERVAL;
                }
                None => self.renew().await?,
            }
        }
    }

    /// Makes the consumer anew where there is sound that it may not have delivered.
    async fn renew(&mut self) -> Result<(), String> {
        self.due = Instant::now() + RETRY_INTERVAL;
        let last = match self.sound.get_info().await {
            Ok(info) => info.state.last_sequence,
            Err(error) => {
                tracing::debug!("cluster: {}: {error}", self.subject);
                return Ok(());
            }
        };
        if self.next > last.saturating_add(1) {
            return Err("the servers have lost the sound, and count it anew".into());
        }
        if self.messages.is_none() || self.next <= last {
            let config = OrderedConfig {
                filter_subject: self.subject.clone(),
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next.max(1) },
                ..OrderedConfig::default()
            };
            self.messages = None;
            let made = match self.sound.create_consumer(config).await {
                Ok(consumer) => consumer.messages().await.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match made {
                Ok(messages) => self.messages = Some(messages),
                Err(reason) => {
                    tracing::debug!("cluster: {}: no consumer: {reason}", self.subject);
                    return Ok(());
                }
            }
        }
        self.due = Instant::now() + self.patience.pause();
        Ok(())
    }
}
