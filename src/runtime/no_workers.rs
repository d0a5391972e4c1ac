//! Without MQTT there are no microphones on a broker, and no pool of workers.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::CalibrationStore;
use super::inference::Inference;
use super::keeper::Known;
use super::progress::Progress;
use super::shard::Hands;
use crate::capture::{Air, OpenSource, SourceConfig};
use crate::config::Config;
use crate::error::Result;

/// What the analysis is to do with a shared stream.
#[derive(Debug)]
pub(super) enum Hand {}

/// Nobody.
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
pub(crate) fn open_air(_: &Config, _: &[SourceConfig], _: &str) -> Result<Option<Air>> {
    Ok(None)
}

/// Nobody.
#[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "as with MQTT")]
pub(super) fn enlist(
    _: &Config,
    _: Option<&Air>,
    _: (&[OpenSource], &[SourceConfig]),
    _: (Receiver<Known>, Hands),
    _: &CalibrationStore,
    _: &[Arc<Progress>],
) -> Result<Option<Worker>> {
    Ok(None)
}

impl Inference {
    /// There are no shared streams.
    pub(super) fn take_hands(&mut self) -> Result<()> {
        self.hands.try_recv().map_or(Ok(()), |hand| match hand {})
    }
}
