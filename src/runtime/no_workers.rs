//! Without MQTT there are no microphones on a broker, and no pool of workers.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::CalibrationStore;
use super::inference::Inference;
use super::progress::ThreadProgress;
use super::shard::StreamHandovers;
use super::state_writer::Known;
use crate::capture::{MqttAudioInput, OpenSource, SourceConfig};
use crate::config::Config;
use crate::error::Result;

/// Commands to the analysis for a shared stream.
#[derive(Debug)]
pub(super) enum StreamHandover {}

/// Never constructed.
pub(super) struct Worker;

impl Worker {
    /// There is nothing to wait for.
    #[expect(clippy::unused_self, reason = "as with MQTT")]
    pub(super) fn finish(&self, _: Duration) -> bool {
        true
    }
}

/// None; a source that needs one says so.
#[expect(clippy::unnecessary_wraps, reason = "as with MQTT")]
pub(crate) fn open_microphones(_: &Config, _: &[SourceConfig], _: &str) -> Result<Option<MqttAudioInput>> {
    Ok(None)
}

/// None, as there are no shared streams.
#[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "as with MQTT")]
pub(super) fn start_worker(
    _: &Config,
    _: Option<&MqttAudioInput>,
    _: (&[OpenSource], &[SourceConfig]),
    _: (Receiver<Known>, StreamHandovers),
    _: &CalibrationStore,
    _: &[Arc<ThreadProgress>],
) -> Result<Option<Worker>> {
    Ok(None)
}

impl Inference {
    /// There are no shared streams.
    pub(super) fn take_hands(&mut self) -> Result<()> {
        self.handovers.try_recv().map_or(Ok(()), |hand| match hand {})
    }
}
