//! Streams that begin.

use std::time::SystemTime;

use super::inference::Inference;
use crate::error::{Error, ErrorKind, Result};
use crate::publish::Command;

impl Inference {
    /// A stream gives its first sample: its number in the engine.
    pub(super) fn join(&mut self, index: usize, rate: u32) -> Result<usize> {
        let gone = || Error::internal("a stream that is not there gives samples");
        let stream = self.streams.get_mut(index).ok_or_else(gone)?;
        stream.started = SystemTime::now();
        let known = stream.known.take();
        let added = match self.engine.add(&stream.feed.id, rate, known) {
            Err(error) if error.kind() == ErrorKind::Config => {
                tracing::warn!("{}: {error}; calibrating again", stream.feed.id);
                self.engine.add(&stream.feed.id, rate, None)
            }
            other => other,
        };
        let number = added?;
        self.joined(index, number);
        Ok(number)
    }

    /// A stream of this thread has a number in the engine from here on.
    pub(super) fn joined(&mut self, index: usize, number: usize) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.number = Some(number);
        self.of_number.resize(self.of_number.len().max(number + 1), usize::MAX);
        if let Some(place) = self.of_number.get_mut(number) {
            *place = index;
        }
        stream.anomaly.reset_and_resend();
        self.publish_anomalies();
        self.publish_setting(index, Command::Budget, self.engine.events_per_hour().to_string());
        self.publish_setting(index, Command::Mute, "0".to_owned());
        self.show_calibration(number);
    }
}
