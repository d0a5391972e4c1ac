//! What the log says of a stream, once for each change.

use crate::detect::{DetectorState, InputState, Reading};

/// What was said last.
#[derive(Debug)]
pub(super) struct Notes {
    input: InputState,
    relearning: bool,
}

impl Default for Notes {
    fn default() -> Self {
        Self { input: InputState::Good, relearning: false }
    }
}

impl Notes {
    /// Says of the stream `id` what is new in `reading`.
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
                    "{id}: the place has changed; normal is learnt anew, only severe events are told"
                );
            }
            (true, false) => tracing::info!("{id}: all events are told again"),
            _ => {}
        }
    }
}
