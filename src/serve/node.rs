//! What the server is given of the node that it shows.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::event_store::{EventStore, Recorder};
use crate::publish::{DirectRequest, Health, Request};

/// Returns the current health document; callable from any thread.
pub type HealthSource = Arc<dyn Fn() -> Health + Send + Sync>;

/// Properties of the node that do not change while the daemon runs.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    /// Node id.
    pub node: String,
    /// Name of the model and the start of its hash.
    pub model: String,
    /// The state folder, for pictures of events.
    pub state: PathBuf,
    /// Whether events have pictures.
    pub pictures: bool,
    /// Whether events have clips, which operators may listen to.
    pub clips: bool,
    /// Whether events go to a broker.
    pub broker: bool,
    /// Ids of the streams, in the order by which a [`UiSender`](super::UiSender) counts them.
    pub streams: Vec<String>,
}

/// The event store, and the channels of reviews and requests.
#[derive(Debug, Clone)]
pub struct Review {
    /// The events.
    pub store: EventStore,
    /// Stores verdicts and labels.
    pub recorder: Recorder,
    /// Reports verdicts to detectors.
    pub request_sender: Sender<Request>,
    /// Requests of operators, who wait for the response.
    pub direct_requests: Sender<DirectRequest>,
}
