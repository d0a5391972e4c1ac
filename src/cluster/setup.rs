//! Arguments of a worker.

use crossbeam_channel::Sender;

use super::ClusterConfig;
use super::relay::RelaySetup;
use super::stream_channel::TaskPort;
use crate::mqtt::Incoming;
use crate::publish::ClusterView;

/// A stream that workers share.
#[derive(Debug)]
pub struct SharedStream {
    /// Id of the stream.
    pub stream: String,
    /// Id of the microphone.
    pub mic: String,
    /// The channel that is analysed; the mean of all where it is none.
    pub channel: Option<u16>,
    /// The channel to the analysis.
    pub outlet: TaskPort,
    /// Channel to the source, which shows whether the microphone is analysed.
    pub way: Option<Sender<Incoming>>,
}

/// Arguments of a worker.
#[derive(Debug)]
pub struct WorkerSetup {
    /// The `[cluster]` table.
    pub config: ClusterConfig,
    /// The MQTT prefix.
    pub prefix: String,
    /// Name of this worker.
    pub node: String,
    /// First 12 hex digits of the model's sha256: a stream is not resumed with another model.
    pub model: String,
    /// The shared streams.
    pub streams: Vec<SharedStream>,
    /// The relay to the MQTT broker, if there is one.
    pub relay: Option<RelaySetup>,
    /// Where the state is shown.
    pub view: ClusterView,
}
