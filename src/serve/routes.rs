//! What is answered to which path.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::feed::Feed;
use super::guard::Guard;
use super::hub::Hub;
use super::server::HealthSource;
use super::{live, metrics};

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
/// The scripts of the page, which import each other.
const SCRIPTS: [(&str, &str); 9] = [
    ("/ask.js", include_str!("page/ask.js")),
    ("/draw.js", include_str!("page/draw.js")),
    ("/events.js", include_str!("page/events.js")),
    ("/health.js", include_str!("page/health.js")),
    ("/live.js", include_str!("page/live.js")),
    ("/normal.js", include_str!("page/normal.js")),
    ("/page.js", include_str!("page/page.js")),
    ("/streams.js", include_str!("page/streams.js")),
    ("/words.js", include_str!("page/words.js")),
];
const ICON: &str = include_str!("page/icon.svg");

/// Bytes of a picture, at most: one of 32 s has a few hundred thousand.
const LARGEST_PICTURE: u64 = 8 << 20;

/// What the answers are made of.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) hub: Arc<Mutex<Hub>>,
    pub(super) feed: Feed,
    pub(super) health: HealthSource,
}

impl Known {
    /// Only the thread `http` takes it, and never across a wait.
    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All routes.
pub(super) fn router(known: Known, guard: &Arc<Guard>) -> Router {
    let text = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    let secret = Router::new()
        .route("/metrics", get(figures))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/events", get(events))
        .route("/api/v1/events/{picture}", get(picture))
        .route("/api/v1/history", get(history))
        .route("/api/v1/calibration", get(calibration))
        .route("/api/v1/live", get(live))
        .with_state(known.clone());
    let open = Router::new()
        .route("/healthz", get(alive))
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

async fn alive(State(known): State<Known>) -> Response {
    let hangs = known.hub().hangs.clone();
    let code = if hangs.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let status = if hangs.is_some() { "hangs" } else { "ok" };
    (code, Json(json!({ "status": status, "hangs": hangs }))).into_response()
}

async fn ready(State(known): State<Known>) -> Response {
    let ready = known.hub().ready;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": ready }))).into_response()
}

async fn figures(State(known): State<Known>) -> Response {
    let health = (known.health)();
    let text = metrics::text(&health, &known.hub(), known.feed.refused());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn overview(State(known): State<Known>) -> Response {
    let health = (known.health)();
    Json(known.hub().overview(&health)).into_response()
}

async fn events(State(known): State<Known>) -> Response {
    Json(json!({ "events": known.hub().events() })).into_response()
}

async fn history(State(known): State<Known>, Query(of): Query<OfStream>) -> Response {
    let hub = known.hub();
    let place = of.stream.and_then(|id| hub.place(&id));
    place.and_then(|place| hub.history(place)).map_or_else(unknown, |found| Json(found).into_response())
}

async fn calibration(State(known): State<Known>, Query(of): Query<OfStream>) -> Response {
    let hub = known.hub();
    let view = of.stream.and_then(|id| hub.place(&id)).and_then(|place| hub.streams.get(place));
    // a stream that still learns has none
    view.map_or_else(unknown, |view| Json(json!({ "calibration": view.calibration })).into_response())
}

async fn live(State(known): State<Known>, Query(of): Query<OfStream>) -> Response {
    let mut hub = known.hub();
    let place = of.stream.as_deref().and_then(|id| hub.place(id));
    if of.stream.is_some() && place.is_none() {
        return unknown();
    }
    let Some(out) = hub.join(place) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages look already; close one\n").into_response();
    };
    let watch = known.feed.watch(place);
    ([(header::CONTENT_TYPE, "text/event-stream")], live::body(out, watch)).into_response()
}

async fn picture(State(known): State<Known>, Path(name): Path<String>) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "there is no picture of that event\n").into_response();
    // the path is the daemon's own, of an event that it remembers: nothing of the request goes into it
    let path: Option<PathBuf> = name.strip_suffix(".png").and_then(|id| {
        let hub = known.hub();
        let snapshot = hub.find(id)?.snapshot.as_ref()?;
        Some(hub.about.state.join(format!("{snapshot}.png")))
    });
    let Some(path) = path else { return missing() };
    let read = tokio::task::spawn_blocking(move || {
        let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST_PICTURE);
        if small { std::fs::read(path).ok() } else { None }
    });
    match read.await {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "image/png")], bytes).into_response(),
        // it is still drawn, or the disk refused it: nothing is wrong with the request
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
