//! The figures in the text format of Prometheus.
//!
//! They are the health document, so that the two cannot disagree; counters count from the start of the daemon, those of
//! event documents from the making of the outbox.

mod cluster;
mod prometheus_text;

use prometheus_text::PrometheusText;

use super::dashboard::{DashboardState, StreamView, state_label};
use crate::event_store::StoreHealth;
use crate::publish::{ChunkHealth, Delays, Health, StreamHealth};
use crate::telemetry::{cpu_seconds, open_files};

/// Text format 0.0.4.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Count = (&'static str, &'static str, fn(&StreamHealth) -> u64);

const COUNTS: [Count; 15] = [
    ("cpc_stream_samples_in_total", "Samples at 16 kHz that came in.", |s| s.samples_in),
    ("cpc_stream_samples_scored_total", "Samples that were scored.", |s| s.samples_scored),
    ("cpc_stream_samples_shed_total", "Samples that fill no whole hop, beside a gap or at the end.", |s| {
        s.samples_shed
    }),
    ("cpc_stream_samples_lost_total", "Samples of the source that never reached the model.", |s| {
        s.lost_samples
    }),
    (
        "cpc_stream_samples_not_finite_total",
        "Samples that were no numbers, or beyond 1e4: taken as 0.",
        |s| s.not_finite,
    ),
    (
        "cpc_stream_model_resets_total",
        "Times that the model's output was not finite and its state was reset.",
        |s| s.model_resets,
    ),
    ("cpc_stream_bytes_refused_total", "Bytes of raw PCM that are no whole frames.", |s| s.bytes_refused),
    (
        "cpc_stream_ring_overruns_total",
        "Times that the ring of the stream was full and refused samples.",
        |s| s.overruns,
    ),
    ("cpc_stream_device_xruns_total", "Times that the sound card reported a gap.", |s| s.xruns),
    ("cpc_stream_alarms_capped_total", "Alarms that the cap refused.", |s| s.capped),
    ("cpc_stream_events_known_total", "Events not reported because their kind was declared normal.", |s| {
        s.known
    }),
    (
        "cpc_stream_events_repeated_total",
        "Events not reported because their sound was reported often.",
        |s| s.repeats,
    ),
    ("cpc_stream_event_documents_muted_total", "Event documents not reported because of muting.", |s| {
        s.muted
    }),
    ("cpc_stream_learning_failed_total", "Times that a calibration failed and restarted.", |s| {
        s.learning_failed
    }),
    ("cpc_stream_place_changes_total", "Times that the site has changed.", |s| s.regimes),
];

type ChunkCount = (&'static str, &'static str, fn(&ChunkHealth) -> u64);

/// Only of microphones on the broker.
const CHUNKS: [ChunkCount; 5] = [
    ("cpc_stream_chunks_total", "Chunks of a microphone on the broker that arrived.", |c| c.taken),
    ("cpc_stream_chunks_late_total", "Chunks that arrived after they had been given up.", |c| c.late),
    ("cpc_stream_chunks_repeated_total", "Chunks whose sound had arrived before.", |c| c.repeated),
    ("cpc_stream_chunks_refused_total", "Invalid messages, and chunks of an unexpected session.", |c| {
        c.refused
    }),
    ("cpc_stream_chunk_frames_missing_total", "Frames that are missing between chunks.", |c| {
        c.missing_frames
    }),
];

type Figure = (&'static str, &'static str, fn(&StreamView) -> Option<f64>);

const FIGURES: [Figure; 4] = [
    ("cpc_stream_score", "Highest -log10 of the tail probability in the last second.", |v| {
        v.latest.as_ref()?.score
    }),
    ("cpc_stream_surprise", "Surprise then, in robust deviations from normal.", |v| {
        v.latest.as_ref()?.surprise
    }),
    ("cpc_stream_novelty", "Novelty then, about 1 for normal sound.", |v| v.latest.as_ref()?.novelty),
    ("cpc_stream_level_dbfs", "Level then, dB full scale.", |v| {
        Some(f64::from(v.latest.as_ref()?.level_dbfs))
    }),
];

/// All of them. `refused` counts the events that were dropped on their way to the page.
pub(super) fn text(health: &Health, dashboard: &DashboardState, store: StoreHealth, refused: u64) -> String {
    let mut page = PrometheusText(String::with_capacity(8192));
    let name = "cpc_stream_build_info";
    page.head(name, "gauge", "Always 1; the labels are version, model and node.");
    page.row(
        name,
        &[("version", &health.version), ("model", &dashboard.about.model), ("node", &dashboard.about.node)],
        1.0,
    );
    node(&mut page, health, dashboard);
    for (name, help, of) in COUNTS {
        page.head(name, "counter", help);
        for (id, stream) in &health.streams {
            page.row(name, &[("stream", id)], of(stream) as f64);
        }
    }
    for (name, help, of) in CHUNKS {
        let heard = health.streams.iter().filter_map(|(id, stream)| Some((id, stream.chunks.as_ref()?)));
        for (at, (id, chunks)) in heard.enumerate() {
            if at == 0 {
                page.head(name, "counter", help);
            }
            page.row(name, &[("stream", id)], of(chunks) as f64);
        }
    }
    streams(&mut page, health);
    if let Some(health) = &health.cluster {
        cluster::write(&mut page, health);
    }
    views(&mut page, dashboard);
    past(&mut page, store);
    let name = "cpc_stream_http_messages_refused_total";
    page.one(name, "counter", "Messages that found no room on their way to the page.", refused as f64);
    page.one("cpc_stream_http_pages", "gauge", "Pages that look right now.", dashboard.clients() as f64);
    page.0
}

fn past(page: &mut PrometheusText, store: StoreHealth) {
    for (name, help, value) in [
        ("cpc_stream_event_store_events", "Events of the past on the disk.", store.events as f64),
        ("cpc_stream_event_store_bytes", "Bytes of their documents and labels.", store.bytes as f64),
        (
            "cpc_stream_event_store_degraded",
            "1 while the disk refuses them, so that the last ones wait in memory.",
            f64::from(u8::from(store.degraded)),
        ),
    ] {
        page.one(name, "gauge", help, value);
    }
    let name = "cpc_stream_event_store_lost_total";
    page.one(name, "counter", "Events that could not be kept.", store.lost as f64);
}

fn node(page: &mut PrometheusText, health: &Health, dashboard: &DashboardState) {
    let flag = |x: bool| f64::from(u8::from(x));
    for (name, help, value) in [
        (
            "cpc_stream_event_documents_accepted_total",
            "Event documents that became durable.",
            health.events_accepted,
        ),
        (
            "cpc_stream_event_documents_acknowledged_total",
            "Of these, confirmed by the broker.",
            health.events_acked,
        ),
        (
            "cpc_stream_event_documents_dropped_total",
            "Of these, given up for age or size.",
            health.events_dropped,
        ),
        (
            "cpc_stream_messages_refused_total",
            "Messages that found no room before the outbox.",
            health.events_refused,
        ),
        ("cpc_stream_requests_done_total", "Requests that were carried out.", health.requests_done),
        ("cpc_stream_requests_refused_total", "Requests that were not.", health.requests_refused),
        (
            "cpc_stream_snapshots_written_total",
            "Snapshots of events that were written.",
            health.snapshots_written,
        ),
        ("cpc_stream_snapshots_dropped_total", "Snapshots that were given up.", health.snapshots_dropped),
    ] {
        page.one(name, "counter", help, value as f64);
    }
    for (name, help, value) in [
        ("cpc_stream_ready", "1 while the analysis runs.", flag(dashboard.ready)),
        ("cpc_stream_hangs", "1 while a part of the daemon hangs.", flag(dashboard.hangs.is_some())),
        ("cpc_stream_uptime_seconds", "Seconds since the start.", health.uptime_s),
        (
            "cpc_stream_event_documents_pending",
            "Documents that wait for the broker.",
            health.events_pending as f64,
        ),
        ("cpc_stream_broker_connected", "1 while the broker is there.", flag(health.broker.connected)),
        (
            "cpc_stream_broker_faults",
            "The broker is away, topics and subscriptions that it refuses or drops, a second node of this name.",
            health.broker.faults.len() as f64,
        ),
        (
            "cpc_stream_broker_away_seconds",
            "Seconds for which the configured broker has been away; 0 while it is there, or none is configured.",
            health.broker.away_s,
        ),
        ("cpc_stream_outbox_bytes", "Their size.", health.outbox.bytes as f64),
        ("cpc_stream_outbox_degraded", "1 while the disk refuses events.", flag(health.outbox.degraded)),
        (
            "cpc_stream_load_ratio",
            "Share of the time for which the analysis works, over some 10 s.",
            health.load_percent / 100.0,
        ),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", health.rss_bytes as f64),
    ] {
        page.one(name, "gauge", help, value);
    }
    if let Some(seconds) = cpu_seconds() {
        let help = "Processor time of user and system, in seconds.";
        page.one("process_cpu_seconds_total", "counter", help, seconds);
    }
    if let Some(count) = open_files() {
        page.one("process_open_fds", "gauge", "Open file handles.", count as f64);
    }
    let name = "cpc_stream_hop_duration_seconds";
    page.head(name, "histogram", "Time to process a hop.");
    page.histogram(name, &[], &health.hop_spread);
    let name = "cpc_stream_delay_seconds";
    page.head(
        name,
        "histogram",
        "Delay by stage: heard (capture to score), step (the model), commit (outbox).",
    );
    let Delays { heard, step, commit } = health.delays;
    for (stage, delay) in [("heard", heard), ("step", step), ("commit", commit)] {
        page.histogram(name, &[("stage", stage)], &delay.spread);
    }
}

fn streams(page: &mut PrometheusText, health: &Health) {
    let name = "cpc_stream_samples_waiting";
    page.head(name, "gauge", "Samples that came in and are neither scored nor shed yet.");
    for (id, s) in &health.streams {
        let waiting = s.samples_in.saturating_sub(s.samples_scored + s.samples_shed);
        page.row(name, &[("stream", id)], waiting as f64);
    }
    let name = "cpc_stream_input_hops_total";
    page.head(name, "counter", "Hops of 10 ms by what was wrong with the input.");
    for (id, stream) in &health.streams {
        let input = &stream.input;
        for (state, count) in [
            ("faint", input.faint),
            ("offset", input.offset),
            ("clipping", input.clipping),
            ("stuck", input.stuck),
            ("silent", input.silent),
            ("invalid", input.invalid),
        ] {
            page.row(name, &[("stream", id), ("state", state)], count as f64);
        }
    }
    let off = health.streams.iter().filter_map(|(id, stream)| Some((id, stream.measured_hz?)));
    for (at, (id, measured)) in off.enumerate() {
        let name = "cpc_stream_source_measured_hertz";
        if at == 0 {
            page.head(
                name,
                "gauge",
                "Samples a second from a network, where they are off what is configured.",
            );
        }
        page.row(name, &[("stream", id)], f64::from(measured));
    }
    type Setting = (&'static str, &'static str, fn(&StreamHealth) -> Option<f64>);
    const SETTINGS: [Setting; 2] = [
        ("cpc_stream_threshold", "Threshold on the score that is in force.", |s| s.threshold),
        ("cpc_stream_budget_events_per_hour", "The false-alarm budget in force, events an hour.", |s| {
            s.budget_per_hour
        }),
    ];
    for (name, help, of) in SETTINGS {
        page.head(name, "gauge", help);
        for (id, stream) in &health.streams {
            if let Some(value) = of(stream) {
                page.row(name, &[("stream", id)], value);
            }
        }
    }
}

fn views(page: &mut PrometheusText, dashboard: &DashboardState) {
    let name = "cpc_stream_stream_up";
    page.head(name, "gauge", "1 while the stream is online.");
    for view in &dashboard.streams {
        page.row(name, &[("stream", &view.id)], f64::from(u8::from(view.is_online())));
    }
    let name = "cpc_stream_stream_state";
    page.head(name, "gauge", "1 for the state of the stream.");
    for view in &dashboard.streams {
        let now = state_label(view.latest.as_ref());
        for state in ["waiting", "calibrating", "provisional", "watching", "relearning"] {
            page.row(name, &[("stream", &view.id), ("state", state)], f64::from(u8::from(state == now)));
        }
    }
    let name = "cpc_stream_events_total";
    page.head(name, "counter", "Events that began, by the tier that they began with.");
    for view in &dashboard.streams {
        for (tier, count) in ["alarm", "severe"].into_iter().zip(view.reported) {
            page.row(name, &[("stream", &view.id), ("tier", tier)], count as f64);
        }
    }
    let name = "cpc_stream_calibration_timestamp_seconds";
    page.head(name, "gauge", "Unix time at which this run made, or loaded, the calibration in force.");
    for view in &dashboard.streams {
        if let Some(at) = view.calibrated_s {
            page.row(name, &[("stream", &view.id)], at);
        }
    }
    for (name, help, of) in FIGURES {
        page.head(name, "gauge", help);
        for view in &dashboard.streams {
            // of a stream that is offline the last second is long past
            if let Some(value) = of(view).filter(|_| view.is_online()) {
                page.row(name, &[("stream", &view.id)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Availability, Score, Watching};
    use crate::serve::{NodeInfo, UiEvent};

    #[test]
    fn a_stream_that_is_offline_has_no_last_score() {
        let mut dashboard =
            DashboardState::new(NodeInfo { streams: vec!["hall".to_owned()], ..NodeInfo::default() });
        let score = Score {
            t_s: 1.0,
            time: String::new(),
            surprise: None,
            novelty: None,
            level_dbfs: -60.0,
            p: Some(0.01),
            score: Some(2.0),
            state: Watching::Watching,
            learning: None,
        };
        let mut shown = |event| {
            dashboard.take(event);
            let page = text(&Health::default(), &dashboard, StoreHealth::default(), 0);
            page.contains("cpc_stream_score{stream=\"hall\"} 2\n")
        };
        let presence = |availability| UiEvent::Presence { stream: "hall".into(), availability };
        assert!(!shown(presence(Availability::online())));
        assert!(shown(UiEvent::Second { stream: 0, score }));
        assert!(!shown(presence(Availability::offline("unplugged"))));
    }
}
