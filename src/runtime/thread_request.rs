//! Requests to a thread of the analysis, and its answers.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::publish::RequestBody;

/// A request for one thread.
#[derive(Debug)]
pub(super) struct ThreadRequest {
    pub(super) ticket: u64,
    pub(super) ask: RequestBody,
}

/// The reason why a thread did not execute a request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request names no stream and no event of this thread.
    Elsewhere(Error),
    /// The detector has forgotten the event of this id, which the event store may have.
    Forgotten(String),
    /// The request failed.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The answer of a thread to a request.
pub(super) type Outcome = Result<Option<Value>, Refusal>;

/// The same with the number of the request.
pub(super) struct Answer {
    pub(super) ticket: u64,
    pub(super) thread: usize,
    pub(super) outcome: Outcome,
}
