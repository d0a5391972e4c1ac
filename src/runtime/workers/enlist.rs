//! From the configuration to a link by which microphones are heard, and to a worker of a pool.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::worker::{Outfit, Shared, Worker};
use crate::capture::{Air, MicTopics, OpenSource, SourceConfig};
use crate::config::Config;
use crate::error::Result;
use crate::mqtt::link::Options;
use crate::mqtt::{Exchange, Protocol};
use crate::runtime::CalibrationStore;
use crate::runtime::keeper::Known;
use crate::runtime::progress::Progress;
use crate::runtime::shard::Hands;

/// rumqttc takes no shorter one with MQTT 5. Workers do not wait for it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A hello that nobody took for so long is of no use.
const EXPIRY_S: u32 = 2;

/// The link by which microphones on the broker are heard, where a source names one.
pub(crate) fn open_air(config: &Config, sources: &[SourceConfig], node: &str) -> Result<Option<Air>> {
    if !sources.iter().any(|source| source.mqtt.is_some()) {
        return Ok(None);
    }
    let topics = MicTopics::new(&config.publish.prefix);
    if config.cluster.is_on() {
        return Ok(Some(Air { topics, shared: true, exchange: None }));
    }
    let shared = config.pool.enable;
    let options = Options {
        protocol: Protocol::V5,
        keep_alive: KEEP_ALIVE,
        will: shared.then(|| (topics.worker(node), "")),
        message_expiry_s: EXPIRY_S,
        ..config.publish.options(format!("cpc-stream-{node}-mics"))?
    };
    let exchange = Exchange::start("mics", "microphones", options)?;
    Ok(Some(Air { topics, shared, exchange: Some(exchange) }))
}

/// Makes the daemon a worker, where it is to be one.
pub(in crate::runtime) fn enlist(
    config: &Config,
    air: Option<&Air>,
    (open, sources): (&[OpenSource], &[SourceConfig]),
    (states, hands): (Receiver<Known>, Hands),
    store: &CalibrationStore,
    progress: &[Arc<Progress>],
) -> Result<Option<Worker>> {
    let Some(air) = air.filter(|air| air.shared) else { return Ok(None) };
    let Some(exchange) = air.exchange.clone() else { return Ok(None) };
    let shared = open.iter().zip(sources).filter_map(|(source, config)| {
        let stream = config.stream_ids().into_iter().next()?;
        Some((config.mqtt.clone()?, Shared { stream, way: source.mic.clone()? }))
    });
    Worker::start(Outfit {
        node: config.node_id(),
        pool: config.pool.clone(),
        air: air.clone(),
        exchange,
        mics: shared.collect(),
        states,
        hands,
        store: store.clone(),
        progress: progress.to_vec(),
    })
    .map(Some)
}
