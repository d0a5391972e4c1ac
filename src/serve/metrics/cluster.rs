//! The figures of a worker of a cluster.

use super::prometheus_text::PrometheusText;
use crate::publish::{ClusterHealth, ClusterStreamHealth};

pub(super) fn write(page: &mut PrometheusText, health: &ClusterHealth) {
    let name = "cpc_stream_cluster_connected";
    page.one(
        name,
        "gauge",
        "1 while the servers of the cluster answer.",
        f64::from(u8::from(health.connected)),
    );
    for (name, help, value) in [
        ("cpc_stream_cluster_documents_stored_total", "Documents that this worker stored.", health.stored),
        (
            "cpc_stream_cluster_documents_repeated_total",
            "Documents that were stored already when a replay made them again.",
            health.repeated,
        ),
        (
            "cpc_stream_cluster_writes_fenced_total",
            "Documents and snapshots that were refused, since another worker was ahead.",
            health.fenced,
        ),
        ("cpc_stream_cluster_takeovers_total", "Streams that this worker took.", health.taken),
        ("cpc_stream_cluster_leases_lost_total", "Leases that ran out under this worker.", health.lost),
        ("cpc_stream_cluster_inexact_total", "Streams that could not be resumed exactly.", health.inexact),
        ("cpc_stream_cluster_snapshots_total", "Snapshots of streams that were kept.", health.snapshots),
        ("cpc_stream_cluster_snapshot_bytes_total", "Their bytes.", health.snapshot_bytes),
    ] {
        page.one(name, "counter", help, value as f64);
    }
    type Gauge = (&'static str, &'static str, fn(&ClusterStreamHealth) -> Option<f64>);
    const GAUGES: [Gauge; 2] = [
        ("cpc_stream_cluster_lag_seconds", "Sound that a stream of this worker is behind.", |s| s.lag_s),
        ("cpc_stream_cluster_snapshot_age_seconds", "Age of its last snapshot.", |s| s.snapshot_age_s),
    ];
    for (name, help, of) in GAUGES {
        page.head(name, "gauge", help);
        for (id, stream) in &health.streams {
            if let Some(value) = of(stream) {
                page.row(name, &[("stream", id)], value);
            }
        }
    }
    let name = "cpc_stream_cluster_owner";
    page.head(name, "gauge", "Always 1; the label worker names the one that analyses the stream.");
    for (id, stream) in &health.streams {
        if let Some(owner) = &stream.owner {
            page.row(name, &[("stream", id), ("worker", owner)], 1.0);
        }
    }
}
