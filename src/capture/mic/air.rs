//! How sources reach what microphones publish.

use crossbeam_channel::Sender;

use super::{LARGEST_CHUNK, MicTopics};
use crate::error::{Error, Result};
use crate::mqtt::Post;

/// The exchange that brings chunks, and who decides which of them.
#[derive(Debug, Clone)]
pub struct Air {
    /// Where they are.
    pub topics: MicTopics,
    /// A source does not listen by itself: somebody lets it, by way of [`OpenSource::mic`](crate::capture::OpenSource::mic).
    pub shared: bool,
    /// What brings them; none where a cluster does.
    #[cfg(feature = "mqtt")]
    pub exchange: Option<crate::mqtt::Exchange>,
}

impl Air {
    /// Has the chunks of the microphone `id` brought to `way`, unless somebody else decides that.
    pub(in crate::capture) fn listen(&self, id: &str, way: &Sender<Post>) {
        if self.shared {
            let _ = way.try_send(Post::Rest(None));
            return;
        }
        self.hear(id, way);
    }

    /// Has the chunks of the microphone `id` brought to `way`.
    #[cfg(feature = "mqtt")]
    pub fn hear(&self, id: &str, way: &Sender<Post>) {
        if let Some(exchange) = &self.exchange {
            exchange.hear(self.topics.audio(id), LARGEST_CHUNK, way.clone());
        }
    }

    /// There is nothing to hear without MQTT.
    #[cfg(not(feature = "mqtt"))]
    pub fn hear(&self, _: &str, _: &Sender<Post>) {
        let _ = LARGEST_CHUNK;
    }
}

/// Why a microphone cannot be heard where there is no exchange.
pub(in crate::capture) fn needed(air: Option<&Air>) -> Result<&Air> {
    air.ok_or_else(|| {
        Error::config(
            "a source names a microphone on the broker (`mqtt`), and no broker is configured",
            "set `broker` in [publish]; it needs a program that was built with the feature `mqtt`",
        )
    })
}
