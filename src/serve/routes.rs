//! Routes and their handlers.

use std::sync::Arc;

use axum::extract::{Extension, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::app_state::AppState;
use super::guard::{AccessGuard, Role};
use super::{clip_api, events_api, labels_api, live, metrics, requests_api};

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
/// The scripts of the page, which import each other.
const SCRIPTS: [(&str, &str); 21] = [
    ("/ask.js", include_str!("page/ask.js")),
    ("/axes.js", include_str!("page/axes.js")),
    ("/clip.js", include_str!("page/clip.js")),
    ("/day.js", include_str!("page/day.js")),
    ("/draw.js", include_str!("page/draw.js")),
    ("/events.js", include_str!("page/events.js")),
    ("/filter.js", include_str!("page/filter.js")),
    ("/health.js", include_str!("page/health.js")),
    ("/heatmap.js", include_str!("page/heatmap.js")),
    ("/labels.js", include_str!("page/labels.js")),
    ("/live.js", include_str!("page/live.js")),
    ("/normal.js", include_str!("page/normal.js")),
    ("/operate.js", include_str!("page/operate.js")),
    ("/page.js", include_str!("page/page.js")),
    ("/picture.js", include_str!("page/picture.js")),
    ("/readout.js", include_str!("page/readout.js")),
    ("/review.js", include_str!("page/review.js")),
    ("/similar.js", include_str!("page/similar.js")),
    ("/spectrum.js", include_str!("page/spectrum.js")),
    ("/streams.js", include_str!("page/streams.js")),
    ("/words.js", include_str!("page/words.js")),
];
const ICON: &str = include_str!("page/icon.svg");

/// All routes.
pub(super) fn router(known: AppState, guard: &Arc<AccessGuard>) -> Router {
    let text = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    let secret = Router::new()
        .route("/metrics", get(prometheus_metrics))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/history", get(history))
        .route("/api/v1/calibration", get(calibration))
        .route("/api/v1/spectrogram", get(spectrogram))
        .route("/api/v1/live", get(live))
        .merge(clip_api::routes())
        .merge(events_api::routes())
        .merge(labels_api::routes())
        .merge(requests_api::routes())
        .with_state(known.clone());
    let open = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(ready))
        .with_state(known)
        .route("/", text("text/html; charset=utf-8", PAGE))
        .route("/page.css", text("text/css; charset=utf-8", STYLE))
        .route("/icon.svg", text("image/svg+xml", ICON));
    let open = SCRIPTS
        .into_iter()
        .fold(open, |open, (path, script)| open.route(path, text("text/javascript; charset=utf-8", script)));
    let nothing = || async { (StatusCode::NOT_FOUND, "there is nothing here; the page is at /\n") };
    guard.with_rules(open.merge(guard.with_token(secret)).fallback(nothing))
}

#[derive(Deserialize)]
struct OfStream {
    stream: Option<String>,
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "there is no such stream; /api/v1/overview names them\n").into_response()
}

async fn healthz(State(known): State<AppState>) -> Response {
    let hangs = known.dashboard().hangs.clone();
    let code = if hangs.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let status = if hangs.is_some() { "hangs" } else { "ok" };
    (code, Json(json!({ "status": status, "hangs": hangs }))).into_response()
}

async fn ready(State(known): State<AppState>) -> Response {
    let ready = known.dashboard().ready;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": ready }))).into_response()
}

async fn prometheus_metrics(State(known): State<AppState>) -> Response {
    let health = (known.health)();
    let text =
        metrics::text(&health, &known.dashboard(), known.review.recorder.health(), known.feed.refused());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn overview(State(known): State<AppState>, Extension(role): Extension<Role>) -> Response {
    let health = (known.health)();
    let mut all = known.dashboard().overview(&health);
    // the client's permissions to review events
    all["review"] = json!({ "operators": known.operators, "allowed": role == Role::Operator });
    Json(all).into_response()
}

async fn history(State(known): State<AppState>, Query(of): Query<OfStream>) -> Response {
    let dashboard = known.dashboard();
    let place = of.stream.and_then(|id| dashboard.place(&id));
    place.and_then(|place| dashboard.history(place)).map_or_else(unknown, |found| Json(found).into_response())
}

async fn calibration(State(known): State<AppState>, Query(of): Query<OfStream>) -> Response {
    let dashboard = known.dashboard();
    let view = of.stream.and_then(|id| dashboard.place(&id)).and_then(|place| dashboard.streams.get(place));
    // a stream without a calibration has none
    view.map_or_else(unknown, |view| Json(json!({ "calibration": view.calibration })).into_response())
}

async fn spectrogram(State(known): State<AppState>, Query(of): Query<OfStream>) -> Response {
    let place = of.stream.and_then(|id| known.dashboard().place(&id));
    let recent = place.and_then(|place| known.feed.recent(place));
    recent.map_or_else(unknown, |recent| Json(recent.json()).into_response())
}

async fn live(State(known): State<AppState>, Query(of): Query<OfStream>) -> Response {
    let mut dashboard = known.dashboard();
    let place = of.stream.as_deref().and_then(|id| dashboard.place(id));
    if of.stream.is_some() && place.is_none() {
        return unknown();
    }
    let Some(out) = dashboard.join(place) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages look already; close one\n").into_response();
    };
    let watch = known.feed.watch(place);
    ([(header::CONTENT_TYPE, "text/event-stream")], live::body(out, watch)).into_response()
}
