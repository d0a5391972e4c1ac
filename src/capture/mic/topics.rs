//! Topics of microphones. Every name is here.

/// The topics below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicTopics {
    prefix: String,
}

impl MicTopics {
    /// Topics under `prefix`, which may have several levels.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// QoS 0, never retained: chunks of sound.
    #[must_use]
    pub fn audio(&self, id: &str) -> String {
        format!("{}/mic/{id}/audio", self.prefix)
    }
}
