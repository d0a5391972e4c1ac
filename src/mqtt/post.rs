//! What an exchange brings to those who listen.

use std::sync::Arc;
use std::time::Instant;

/// Something for who listens on a topic.
#[derive(Debug, Clone)]
pub enum Post {
    /// The broker is there. What it keeps of the topics comes again.
    Up,
    /// The broker is away, and why.
    Down(Arc<str>),
    /// The broker refuses the subscription, and why.
    Refused(Arc<str>),
    /// Nothing will come until it is up again, by somebody's decision: because another node has it, or for now nobody.
    Rest(Option<Arc<str>>),
    /// Its sound goes to the analysis by another way than this one.
    Here,
    /// A message.
    Letter(Letter),
}

/// A message from others.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its topic.
    pub topic: String,
    /// Its content. Empty where it was larger than who listens takes.
    pub payload: Vec<u8>,
    /// It was kept by the broker and is not fresh.
    pub retained: bool,
    /// When it came.
    pub at: Instant,
}
