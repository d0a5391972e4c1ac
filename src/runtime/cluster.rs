//! Streams that the workers of a cluster share: commands of their tasks to the analysis, and its reports.

use std::time::{Duration, Instant, SystemTime};

use super::Engine;
use super::cluster_session::ClusterSession;
use super::inference::Inference;
use crate::capture::{OpenSource, SourceConfig};
use crate::cluster::{AnalysisReport, Session, StreamCommand, StreamSnapshot};
use crate::config::Config;
use crate::detect::Calibration;
use crate::error::Result;
use crate::publish::ClusterView;
use crate::ring::Read;

impl Inference {
    /// Executes one command of the task of a shared stream; true where there was one.
    pub(super) fn take_shared(&mut self, index: usize, piece: &mut [f32]) -> Result<bool> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(false) };
        let Some(shared) = &mut stream.shared else { return Ok(false) };
        let number = stream.number;
        let Ok(sound) = shared.inlet.sound.try_recv() else {
            // its ring carries nothing but its end
            return match stream.feed.reader.read(piece) {
                Read::Empty => Ok(false),
                Read::Closed if number.is_none() => self.close(index).map(|()| false),
                _ => Ok(false),
            };
        };
        // waiting sound is a replay, which runs as fast as possible
        self.behind |= !shared.inlet.sound.is_empty();
        match (sound, number) {
            (StreamCommand::Begin { session, rate, known }, _) => {
                // the task restarted without ending the last session
                self.discard(index)?;
                self.begin_session(index, session, rate, known)?;
            }
            (StreamCommand::Resume(snapshot), _) => {
                self.discard(index)?;
                let resumed = self.resume_session(index, *snapshot)?;
                if let Some(shared) = self.streams.get_mut(index).and_then(|stream| stream.shared.as_mut()) {
                    shared.inlet.report(AnalysisReport::Resumed(resumed));
                }
            }
            (StreamCommand::Snapshot(asked), number) => {
                let snapshot = match number {
                    Some(number) => self.snapshot_of(index, number)?,
                    None => None,
                };
                if let Some(shared) = self.streams.get_mut(index).and_then(|stream| stream.shared.as_mut()) {
                    shared.inlet.report(AnalysisReport::Snapshot(asked, snapshot));
                }
            }
            (StreamCommand::Samples(samples), Some(number)) => {
                stream.last = Some(Instant::now());
                self.engine.feed(number, &samples)?;
            }
            (StreamCommand::Gap(lost), Some(number)) => {
                let rate = self.engine.pipeline(number).map_or(0, super::StreamPipeline::rate);
                self.drive(|engine, sink| engine.gap(number, lost, rate, sink))?;
            }
            (StreamCommand::End, Some(number)) => {
                self.drive(|engine, sink| engine.end(number, sink))?;
                if let Some(stream) = self.streams.get_mut(index) {
                    stream.number = None;
                    if let Some(shared) = &mut stream.shared {
                        shared.session = None;
                        let known = shared.known.take();
                        shared.inlet.report(AnalysisReport::Ended(known));
                    }
                }
            }
            (StreamCommand::Leave, _) => {
                self.discard(index)?;
                if let Some(shared) = self.streams.get_mut(index).and_then(|stream| stream.shared.as_mut()) {
                    shared.inlet.report(AnalysisReport::Left);
                }
            }
            (StreamCommand::End, None) => shared.inlet.report(AnalysisReport::Ended(None)),
            (StreamCommand::Samples(_) | StreamCommand::Gap(_), None) => {}
        }
        Ok(true)
    }

    /// A snapshot of a stream after all samples that it was given; none while its memory cannot be saved.
    fn snapshot_of(&mut self, index: usize, number: usize) -> Result<Option<Box<StreamSnapshot>>> {
        let Some(memory) = self.engine.memory(number)? else { return Ok(None) };
        let detector = self.engine.pipeline(number).map(super::StreamPipeline::detector);
        let shared = self.streams.get_mut(index).and_then(|stream| stream.shared.as_mut());
        Ok(shared.zip(detector).and_then(|(shared, detector)| shared.snapshot(memory, detector)))
    }

    /// A stream goes on where a snapshot was taken; the reason where it cannot be used.
    fn resume_session(&mut self, index: usize, snapshot: StreamSnapshot) -> Result<Result<(), String>> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(Err("it is not there".into())) };
        let StreamSnapshot { session, bytes, new, .. } = snapshot;
        let mut find = |id: &str| {
            let (_, json) = new.iter().find(|(of, _)| of == id)?;
            serde_json::from_str::<Calibration>(json).ok()
        };
        let number = match self.engine.resume(&stream.feed.id, &bytes, &mut find) {
            Ok(number) => number,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let started = session.started();
        let age = SystemTime::now().duration_since(started).unwrap_or(Duration::ZERO);
        if let Some(shared) = &mut stream.shared {
            shared.session = Some(session);
            shared.known = None;
            shared.reported = new.iter().map(|(id, _)| id.clone()).collect();
        }
        stream.owned = true;
        self.joined(index, number);
        if let Some(stream) = self.streams.get_mut(index) {
            stream.started = started;
            stream.zero = Instant::now().checked_sub(age);
            stream.anomaly.set(self.engine.in_event(number));
        }
        self.publish_anomalies();
        Ok(Ok(()))
    }

    fn begin_session(
        &mut self,
        index: usize,
        session: Session,
        rate: u32,
        known: Option<String>,
    ) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        stream.known = known.and_then(|text| {
            let known = crate::detect::StreamState::from_json(text.as_bytes());
            known.map_err(|e| tracing::warn!("{}: {e}; calibrating again", stream.feed.id)).ok()
        });
        let started = session.started();
        let age = SystemTime::now().duration_since(started).unwrap_or(Duration::ZERO);
        if let Some(shared) = &mut stream.shared {
            shared.session = Some(session);
            shared.known = None;
            shared.reported.clear();
        }
        stream.owned = true;
        self.join(index, rate)?;
        if let Some(stream) = self.streams.get_mut(index) {
            stream.started = started;
            stream.zero = Instant::now().checked_sub(age);
        }
        Ok(())
    }

    /// Gives up a stream as it is: its ongoing event is reported by the next worker.
    fn discard(&mut self, index: usize) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        stream.owned = false;
        if let Some(shared) = &mut stream.shared {
            shared.session = None;
        }
        match stream.number.take() {
            Some(number) => self.engine.discard(number),
            None => Ok(()),
        }
    }
}

impl Engine {
    /// Removes a stream silently: no event ends, and no state is stored.
    pub(super) fn discard(&mut self, stream: usize) -> Result<()> {
        let slot = self.pipeline_mut(stream)?.slot;
        if let Some(entry) = self.pipelines.get_mut(stream) {
            *entry = None;
        }
        self.pending_findings.retain(|(of, _)| *of != stream);
        if let Err(error) = self.batch.leave(slot) {
            self.fail_over(&error)?;
            self.batch.leave(slot)?;
        }
        Ok(())
    }
}

/// The worker, if there is one, and the cluster sessions of the streams by their ids.
pub(super) type Joined = (Option<Worker>, Vec<(String, ClusterSession)>);

/// The worker of a cluster, where one is configured, and the cluster sessions of the streams by their ids.
#[cfg(feature = "cluster")]
pub(super) fn join_cluster(
    config: &Config,
    (open, sources): (&[OpenSource], &[SourceConfig]),
    model: &str,
    view: Option<ClusterView>,
) -> Result<Joined> {
    use crate::cluster::{RelaySetup, SharedStream, WorkerSetup, stream_channel};
    use crate::publish::Topics;

    if !config.cluster.is_on() {
        return Ok((None, Vec::new()));
    }
    let node = config.node_id();
    let (mut streams, mut parts) = (Vec::new(), Vec::new());
    for (source, config_of) in open.iter().zip(sources) {
        let (Some(mic), Some(stream)) = (&config_of.mqtt, config_of.stream_ids().into_iter().next()) else {
            continue;
        };
        let (outlet, inlet) = stream_channel();
        let channel = config_of.channels.as_ref().and_then(|channels| channels.first().copied());
        let (mic, way) = (mic.clone(), source.mic.clone());
        streams.push(SharedStream { stream: stream.clone(), mic, channel, outlet, way });
        parts.push((stream, ClusterSession::new(inlet, config.cluster.event_node())));
    }
    let relay = match config.publish.broker {
        Some(_) => {
            let topics = Topics::new(&config.publish.prefix, config.cluster.event_node())?;
            let options = config.publish.options(format!("cpc-stream-{node}-relay"))?;
            Some(RelaySetup::new(options, topics))
        }
        None => None,
    };
    let setup = WorkerSetup {
        config: config.cluster.clone(),
        prefix: config.publish.prefix.clone(),
        node,
        model: model.to_owned(),
        streams,
        relay,
        view: view.unwrap_or_default(),
    };
    Ok((Some(Worker::start(setup)?), parts))
}

#[cfg(feature = "cluster")]
pub(super) use crate::cluster::Worker;

/// Without the feature `cluster` there is none; the configuration says so before.
#[cfg(not(feature = "cluster"))]
#[derive(Debug)]
pub(super) enum Worker {}

#[cfg(not(feature = "cluster"))]
impl Worker {
    /// There is nothing to wait for.
    pub(super) fn finish(&self, _: Duration) -> bool {
        match *self {}
    }
}

/// None.
#[cfg(not(feature = "cluster"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
pub(super) fn join_cluster(
    _: &Config,
    _: (&[OpenSource], &[SourceConfig]),
    _: &str,
    _: Option<ClusterView>,
) -> Result<Joined> {
    let _ = ClusterSession::new;
    Ok((None, Vec::new()))
}
