//! Setup of the connection to microphones, and of a worker of a pool.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::worker::{Shared, Worker, WorkerConfig};
use crate::capture::{MicTopics, MqttAudioInput, OpenSource, SourceConfig};
use crate::config::Config;
use crate::error::Result;
use crate::mqtt::link::ConnectOptions;
use crate::mqtt::{MqttClient, Protocol};
use crate::runtime::CalibrationStore;
use crate::runtime::progress::ThreadProgress;
use crate::runtime::shard::StreamHandovers;
use crate::runtime::state_writer::Known;

/// rumqttc takes no shorter one with MQTT 5. Workers do not wait for it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Expiry of a hello message.
const EXPIRY_S: u32 = 2;

/// The connection to microphones on the broker, where a source names one.
pub(crate) fn open_microphones(
    config: &Config,
    sources: &[SourceConfig],
    node: &str,
) -> Result<Option<MqttAudioInput>> {
    if !sources.iter().any(|source| source.mqtt.is_some()) {
        return Ok(None);
    }
    let topics = MicTopics::new(&config.publish.prefix);
    if config.cluster.is_on() {
        return Ok(Some(MqttAudioInput { topics, shared: true, client: None }));
    }
    let shared = config.pool.enable;
    let options = ConnectOptions {
        protocol: Protocol::V5,
        keep_alive: KEEP_ALIVE,
        will: shared.then(|| (topics.worker(node), "")),
        message_expiry_s: EXPIRY_S,
        ..config.publish.options(format!("cpc-stream-{node}-mics"))?
    };
    let client = MqttClient::start("mics", "microphones", options)?;
    Ok(Some(MqttAudioInput { topics, shared, client: Some(client) }))
}

/// Makes the daemon a worker, where it is to be one.
pub(in crate::runtime) fn start_worker(
    config: &Config,
    air: Option<&MqttAudioInput>,
    (open, sources): (&[OpenSource], &[SourceConfig]),
    (states, handovers): (Receiver<Known>, StreamHandovers),
    store: &CalibrationStore,
    progress: &[Arc<ThreadProgress>],
) -> Result<Option<Worker>> {
    let Some(air) = air.filter(|air| air.shared) else { return Ok(None) };
    let Some(client) = air.client.clone() else { return Ok(None) };
    let shared = open.iter().zip(sources).filter_map(|(source, config)| {
        let stream = config.stream_ids().into_iter().next()?;
        Some((config.mqtt.clone()?, Shared { stream, way: source.mic.clone()? }))
    });
    Worker::start(WorkerConfig {
        node: config.node_id(),
        pool: config.pool.clone(),
        air: air.clone(),
        client,
        mics: shared.collect(),
        states,
        handovers,
        store: store.clone(),
        progress: progress.to_vec(),
    })
    .map(Some)
}
