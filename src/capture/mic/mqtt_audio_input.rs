//! The input of microphones that publish their sound over MQTT.

use crossbeam_channel::Sender;

use super::{LARGEST_CHUNK, MicTopics};
use crate::error::{Error, Result};
use crate::mqtt::Incoming;

/// The MQTT client of chunks, and the owner of the decision which microphones are subscribed.
#[derive(Debug, Clone)]
pub struct MqttAudioInput {
    /// Their topics.
    pub topics: MicTopics,
    /// Sources do not subscribe by themselves: a worker does it, through
    /// [`OpenSource::mic`](crate::capture::OpenSource::mic).
    pub shared: bool,
    /// The client; `None` where a cluster delivers the sound.
    #[cfg(feature = "mqtt")]
    pub client: Option<crate::mqtt::MqttClient>,
}

impl MqttAudioInput {
    /// Subscribes `way` to the chunks of the microphone `id`, unless a worker decides that.
    pub(in crate::capture) fn listen(&self, id: &str, way: &Sender<Incoming>) {
        if self.shared {
            let _ = way.try_send(Incoming::Elsewhere(None));
            return;
        }
        self.subscribe(id, way);
    }

    /// Subscribes `way` to the chunks of the microphone `id`.
    #[cfg(feature = "mqtt")]
    pub fn subscribe(&self, id: &str, way: &Sender<Incoming>) {
        if let Some(client) = &self.client {
            client.subscribe(self.topics.audio(id), LARGEST_CHUNK, way.clone());
        }
    }

    /// Without MQTT there are no microphones.
    #[cfg(not(feature = "mqtt"))]
    pub fn subscribe(&self, _: &str, _: &Sender<Incoming>) {
        let _ = LARGEST_CHUNK;
    }
}

/// The error of a microphone without an MQTT client.
pub(in crate::capture) fn needed(air: Option<&MqttAudioInput>) -> Result<&MqttAudioInput> {
    air.ok_or_else(|| {
        Error::config(
            "a source names a microphone on the broker (`mqtt`), and no broker is configured",
            "set `broker` in [publish]; it needs a program that was built with the feature `mqtt`",
        )
    })
}
