//! The input of microphones that publish their sound over MQTT.

use crossbeam_channel::Sender;

use super::chunk::LARGEST_CHUNK;
use super::topics::MicTopics;
use crate::error::{Error, Result};
use crate::mqtt::Incoming;

/// The MQTT client of chunks.
#[derive(Debug, Clone)]
pub struct MqttAudioInput {
    /// Their topics.
    pub topics: MicTopics,
    /// The client; `None` where a cluster delivers the sound, through
    /// [`OpenSource::mic`](crate::capture::OpenSource::mic).
    #[cfg(feature = "mqtt")]
    pub client: Option<crate::mqtt::MqttClient>,
}

impl MqttAudioInput {
    /// Subscribes `way` to the chunks of the microphone `id`, unless a cluster delivers them.
    #[cfg(feature = "mqtt")]
    pub(in crate::capture) fn listen(&self, id: &str, way: &Sender<Incoming>) {
        match &self.client {
            Some(client) => client.subscribe(self.topics.audio(id), LARGEST_CHUNK, way.clone()),
            None => drop(way.try_send(Incoming::Elsewhere(None))),
        }
    }

    /// Without MQTT there are no microphones.
    #[cfg(not(feature = "mqtt"))]
    pub(in crate::capture) fn listen(&self, _: &str, _: &Sender<Incoming>) {
        let _ = LARGEST_CHUNK;
    }
}

/// The error of a microphone without an MQTT client.
pub(in crate::capture) fn needed(microphones: Option<&MqttAudioInput>) -> Result<&MqttAudioInput> {
    microphones.ok_or_else(|| {
        Error::config(
            "a source names a microphone on the broker (`mqtt`), and no broker is configured",
            "set `broker` in [publish]; it needs a program that was built with the feature `mqtt`",
        )
    })
}
