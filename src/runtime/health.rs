//! The health document.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::PipelineFigures;
use super::event_builder::{milli, rfc3339};
use super::loss::{LossWindow, SoundCounts};
use super::progress::{Figures, ThreadProgress};
use super::snapshot::SnapshotCounts;
use crate::capture::{OpenSource, SourceCounters};
use crate::publish::{ChunkHealth, ClusterView, Delays, Health, InputHealth, PublisherStatus, StreamHealth};
use crate::ring::RingCounters;
use crate::telemetry::resident_bytes;
use crate::units::HOP;

/// The sources of the figures.
pub(super) struct HealthReporter {
    boot: String,
    started: Instant,
    /// Of each thread of the analysis.
    progress: Vec<Arc<ThreadProgress>>,
    status: Arc<PublisherStatus>,
    snapshots: Arc<SnapshotCounts>,
    streams: Vec<(String, Arc<RingCounters>, Arc<SourceCounters>)>,
    /// What was lost of late of each of them.
    losses: Mutex<Vec<LossWindow>>,
    /// The first stream of each source: counters of a device are reported once, not for each channel.
    firsts: HashSet<String>,
    /// Those of microphones on the broker.
    mics: HashSet<String>,
    /// Where this is a worker of a cluster.
    cluster: Option<ClusterView>,
}

impl HealthReporter {
    pub(super) fn new(
        boot: &str,
        progress: Vec<Arc<ThreadProgress>>,
        status: Arc<PublisherStatus>,
        snapshots: Arc<SnapshotCounts>,
        sources: &[OpenSource],
        cluster: Option<ClusterView>,
    ) -> Self {
        let started = Instant::now();
        let streams: Vec<_> = sources
            .iter()
            .flat_map(|source| {
                let of = |feed: &crate::capture::StreamFeed| {
                    (feed.id.clone(), feed.reader.counters(), Arc::clone(&source.counters))
                };
                source.feeds.iter().map(of).collect::<Vec<_>>()
            })
            .collect();
        let of_mics = sources.iter().filter(|source| source.mic.is_some());
        let mics = of_mics.flat_map(|source| source.feeds.iter().map(|feed| feed.id.clone())).collect();
        let firsts = sources.iter().filter_map(|source| Some(source.feeds.first()?.id.clone())).collect();
        Self {
            boot: boot.to_owned(),
            started,
            progress,
            status,
            snapshots,
            losses: Mutex::new(streams.iter().map(|_| LossWindow::new(started)).collect()),
            streams,
            firsts,
            mics,
            cluster,
        }
    }

    /// The ids of the streams.
    pub(super) fn streams(&self) -> impl Iterator<Item = &str> {
        self.streams.iter().map(|(id, ..)| id.as_str())
    }

    /// Event documents that stdout did not take.
    pub(super) fn lines_lost(&self) -> u64 {
        self.status.lines_lost()
    }

    /// Samples of each stream that were scored so far.
    pub(super) fn scored(&self) -> BTreeMap<String, u64> {
        let figures = |progress: &Arc<ThreadProgress>| {
            progress.figures.lock().map(|figures| figures.streams.clone()).unwrap_or_default()
        };
        let streams = self.progress.iter().flat_map(figures);
        streams.map(|(id, figures)| (id, figures.samples.scored)).collect()
    }

    /// The document as of now.
    pub(super) fn health(&self) -> Health {
        let mut figures = Figures::default();
        for progress in &self.progress {
            let of_thread = progress.figures.lock().map(|f| f.clone()).unwrap_or_default();
            figures.join(&of_thread);
        }
        let hop = figures.hop.percentiles();
        let mut streams = BTreeMap::new();
        let (now, mut losses) = (Instant::now(), self.losses.lock().unwrap_or_else(PoisonError::into_inner));
        for ((id, ring, source), loss) in self.streams.iter().zip(losses.iter_mut()) {
            let counts = SoundCounts { came: ring.pushed(), lost: ring.lost(), opened: source.opened() };
            let share = loss.share(now, counts);
            let found = figures.streams.iter().find(|(name, _)| name == id);
            let pipeline = found.map(|(_, figures)| *figures).unwrap_or_default();
            let samples = pipeline.samples;
            streams.insert(
                id.clone(),
                StreamHealth {
                    overruns: ring.overruns(),
                    xruns: if self.firsts.contains(id) { source.xruns() } else { 0 },
                    lost_samples: counts.lost,
                    lost_percent: (share * 1e4).round() / 100.0,
                    samples_in: samples.resampled,
                    samples_scored: samples.scored,
                    samples_shed: samples.shed,
                    not_finite: source.not_finite(),
                    model_resets: pipeline.model_resets,
                    bytes_refused: source.bytes_refused(),
                    measured_hz: source.wrong_rate().map(|(measured, _)| measured),
                    configured_hz: source.wrong_rate().map(|(_, configured)| configured),
                    input: input(&pipeline),
                    capped: pipeline.detector.capped,
                    known: pipeline.detector.known,
                    repeats: pipeline.detector.repeats,
                    muted: pipeline.muted,
                    learning_failed: pipeline.learning_failed,
                    regimes: pipeline.detector.regimes,
                    threshold: pipeline.threshold.map(milli),
                    budget_per_hour: pipeline.budget_per_hour,
                    chunks: chunks(source, self.mics.contains(id)),
                },
            );
        }
        drop(losses);
        let total = |of: fn(&StreamHealth) -> u64| streams.values().map(of).sum();
        let mut health = Health {
            time: rfc3339(SystemTime::now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot.clone(),
            uptime_s: (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            samples_in: total(|s| s.samples_in),
            samples_scored: total(|s| s.samples_scored),
            samples_shed: total(|s| s.samples_shed),
            hop_p50_us: hop.p50.round(),
            hop_p99_us: hop.p99.round(),
            hop_spread: hop.spread,
            delays: Delays {
                heard: figures.heard.percentiles().into(),
                step: figures.step.percentiles().into(),
                commit: self.status.commits().into(),
            },
            load_percent: (figures.load * 1e4).round() / 100.0,
            snapshots_written: self.snapshots.written(),
            snapshots_dropped: self.snapshots.dropped(),
            rss_bytes: resident_bytes().unwrap_or(0),
            streams,
            cluster: self.cluster.as_ref().and_then(|view| Some(view.lock().ok()?.clone())),
            ..Health::default()
        };
        debug_assert_eq!(health.samples_scored % HOP as u64, 0);
        self.status.fill(&mut health);
        health
    }
}

fn chunks(source: &SourceCounters, of_mic: bool) -> Option<ChunkHealth> {
    let counts = source.chunks();
    of_mic.then(|| ChunkHealth {
        taken: counts.taken(),
        late: counts.late(),
        repeated: counts.repeated(),
        refused: counts.refused(),
        missing_frames: counts.missing(),
    })
}

fn input(pipeline: &PipelineFigures) -> InputHealth {
    let hops = pipeline.hops;
    InputHealth {
        state: pipeline.input.as_str().to_owned(),
        faint: hops.faint,
        offset: hops.offset,
        clipping: hops.clipping,
        stuck: hops.stuck,
        silent: hops.silent,
        invalid: hops.invalid,
    }
}
