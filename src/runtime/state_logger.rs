//! Log lines about a stream's input state, one for each change.

use crate::detect::{DetectorState, InputState, Reading};

/// The last logged state.
#[derive(Debug)]
pub(super) struct StateLogger {
    input: InputState,
    relearning: bool,
}

impl Default for StateLogger {
    fn default() -> Self {
        Self { input: InputState::Good, relearning: false }
    }
}

impl StateLogger {
    /// Logs changes of the stream `id` in `reading`.
    pub(super) fn take(&mut self, id: &str, reading: &Reading) {
        let now = reading.input;
        let before = std::mem::replace(&mut self.input, now);
        match (before.usable(), now.usable()) {
            _ if before == now => {}
            (_, false) => tracing::warn!("{id}: the input is {now}; it is not judged until that has passed"),
            (false, true) => tracing::info!("{id}: the input is {now} again"),
            (true, true) if now == InputState::Good => tracing::info!("{id}: the input is good again"),
            (true, true) => tracing::warn!("{id}: the input is {now}"),
        }
        let now = matches!(reading.state, DetectorState::Relearning { .. });
        match (std::mem::replace(&mut self.relearning, now), now) {
            (false, true) => {
                tracing::warn!(
                    "{id}: the site has changed; it is calibrated again, only severe events are reported"
                );
            }
            (true, false) => tracing::info!("{id}: all events are reported again"),
            _ => {}
        }
    }
}
