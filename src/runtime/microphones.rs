//! The connection to microphones on the broker.

use crate::capture::{MqttAudioInput, SourceConfig};
use crate::config::Config;
use crate::error::Result;

/// The connection to microphones on the broker, where a source names one. The sound of a cluster comes another way.
#[cfg(feature = "mqtt")]
pub(crate) fn open_microphones(
    config: &Config,
    sources: &[SourceConfig],
    node: &str,
) -> Result<Option<MqttAudioInput>> {
    use std::time::Duration;

    use crate::capture::MicTopics;
    use crate::mqtt::MqttClient;
    use crate::mqtt::link::ConnectOptions;

    /// rumqttc takes no shorter one with MQTT 5.
    const KEEP_ALIVE: Duration = Duration::from_secs(5);

    if !sources.iter().any(|source| source.mqtt.is_some()) {
        return Ok(None);
    }
    let topics = MicTopics::new(&config.publish.prefix);
    if config.cluster.is_on() {
        return Ok(Some(MqttAudioInput { topics, client: None }));
    }
    let options = ConnectOptions {
        protocol: config.publish.protocol,
        keep_alive: KEEP_ALIVE,
        ..config.publish.options(format!("cpc-stream-{node}-mics"))?
    };
    let client = MqttClient::start("mics", "microphones", options)?;
    Ok(Some(MqttAudioInput { topics, client: Some(client) }))
}

/// None; a source that needs one says so.
#[cfg(not(feature = "mqtt"))]
#[expect(clippy::unnecessary_wraps, reason = "as with MQTT")]
pub(crate) fn open_microphones(_: &Config, _: &[SourceConfig], _: &str) -> Result<Option<MqttAudioInput>> {
    Ok(None)
}
