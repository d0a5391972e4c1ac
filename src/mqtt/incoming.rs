//! Messages and state changes that an MQTT client delivers to its subscribers.

use std::sync::Arc;
use std::time::Instant;

/// A message or a state change for a subscriber.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// Connected. The retained messages of the topics follow.
    Connected,
    /// The connection is lost, with the reason.
    Disconnected(Arc<str>),
    /// The broker refuses the subscription, and why.
    Refused(Arc<str>),
    /// No message follows until the next `Connected`: the stream is assigned to this other node, or to none.
    Elsewhere(Option<Arc<str>>),
    /// The sound of the stream reaches the analysis by another path.
    ByOtherPath,
    /// A message.
    Message(IncomingMessage),
}

/// A message from others.
#[derive(Debug, Clone)]
pub struct IncomingMessage {
    /// Its topic.
    pub topic: String,
    /// Its payload. Empty where it was larger than the subscriber's limit.
    pub payload: Vec<u8>,
    /// It is a retained message.
    pub retained: bool,
    /// Time of arrival.
    pub at: Instant,
}
