//! The API of past events: queries, counts, export and review.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::channel;
use tokio::task::spawn_blocking;

use super::app_state::AppState;
use super::export::{Export, ExportFormat};
use super::guard::{Peer, Role, name_of, refuse_viewer};
use super::live;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Verdict};
use crate::event_store::{EventStore, Filter, Page, StoredEvent};
use crate::publish::{AckEvent, Request, RequestBody};

/// Default number of events of a page.
const PAGE: usize = 100;
/// The same of events that sound like one.
const SIMILAR: usize = 10;
/// Events of an export that are read at a time.
const PIECE: usize = 250;
/// Bytes of a picture, at most: one of 32 s has a few hundred thousand.
const LARGEST_PICTURE: u64 = 8 << 20;

/// The routes, all behind the token.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/events", get(found))
        .route("/api/v1/events/summary", get(summary))
        .route("/api/v1/events/export", get(export))
        .route("/api/v1/events/{name}", get(one))
        .route("/api/v1/events/{id}/similar", get(similar))
        .route("/api/v1/events/{id}/review", post(review))
}

type QueryParams = Query<HashMap<String, String>>;

pub(super) fn failed(error: &Error) -> Response {
    let code = match error.kind() {
        ErrorKind::Config => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, format!("{error}; {}\n", error.fix())).into_response()
}

fn filter(asked: HashMap<String, String>, own: &[&str]) -> Result<(Filter, HashMap<String, String>)> {
    let (mut filter, mut rest) = (Filter::default(), HashMap::new());
    for (key, value) in asked {
        if own.contains(&key.as_str()) {
            rest.insert(key, value);
        } else {
            filter.set(&key, &value)?;
        }
    }
    Ok((filter, rest))
}

fn limit(asked: &HashMap<String, String>, usual: usize, most: usize) -> Result<usize> {
    let Some(text) = asked.get("limit") else { return Ok(usual) };
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
        Error::config(
            format!("limit={text:?} cannot be read"),
            format!("give a number of events, 1 to {most}"),
        )
    })
}

/// Reads the store on a blocking thread, so that no connection waits.
pub(super) async fn read<T: Send + 'static>(
    store: EventStore,
    ask: impl FnOnce(&EventStore) -> Result<T> + Send + 'static,
) -> Result<T> {
    let answer = spawn_blocking(move || ask(&store)).await;
    answer.unwrap_or_else(|_| Err(Error::internal("the event store cannot be read")))
}

async fn found(State(known): State<AppState>, Query(asked): QueryParams) -> Response {
    let page = async {
        let (filter, rest) = filter(asked, &["limit"])?;
        let limit = limit(&rest, PAGE, 1000)?;
        read(known.review.store, move |store| store.page(&filter, limit)).await
    };
    page.await.map_or_else(|e| failed(&e), |page| Json(page).into_response())
}

async fn summary(State(known): State<AppState>, Query(asked): QueryParams) -> Response {
    let sum = async {
        let (filter, _) = filter(asked, &[])?;
        read(known.review.store, move |store| store.summary(&filter)).await
    };
    sum.await.map_or_else(|e| failed(&e), |sum| Json(sum).into_response())
}

/// All events that match the filter, a piece at a time, so that a slow client holds neither memory nor a thread.
async fn export(State(known): State<AppState>, Query(asked): QueryParams) -> Response {
    let (filter, rest) = match filter(asked, &["format"]) {
        Ok(asked) => asked,
        Err(error) => return failed(&error),
    };
    let form = match rest.get("format").map_or("json", String::as_str) {
        "json" => ExportFormat::Json,
        "csv" => ExportFormat::Csv,
        other => {
            return failed(&Error::config(format!("format={other:?} is not known"), "ask for json or csv"));
        }
    };
    let (way, out) = channel::<Bytes>(2);
    tokio::spawn(async move {
        let mut filter = filter;
        let mut export = Export::new(form);
        loop {
            let asked = filter.clone();
            let Ok(Page { events, next }) =
                read(known.review.store.clone(), move |store| store.page(&asked, PIECE)).await
            else {
                return;
            };
            let piece = export.piece(&events, next.is_none());
            if way.send(piece.into()).await.is_err() || next.is_none() {
                return;
            }
            filter.before = next;
        }
    });
    let named = format!("attachment; filename=\"{}\"", form.file_name());
    let head = [(header::CONTENT_TYPE, form.content_type()), (header::CONTENT_DISPOSITION, named.as_str())];
    (head, live::plain(out)).into_response()
}

pub(super) fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "no such event is kept; /api/v1/events lists those that are\n").into_response()
}

async fn one(State(known): State<AppState>, Path(name): Path<String>) -> Response {
    if let Some(id) = name.strip_suffix(".png") {
        return picture(known, id.to_owned()).await;
    }
    match read(known.review.store, move |store| store.get(&name)).await {
        Ok(Some(kept)) => Json(kept).into_response(),
        Ok(None) => unknown(),
        Err(error) => failed(&error),
    }
}

async fn similar(
    State(known): State<AppState>,
    Path(id): Path<String>,
    Query(asked): QueryParams,
) -> Response {
    let found = async {
        let limit = limit(&asked, SIMILAR, 100)?;
        read(known.review.store, move |store| store.similar(&id, limit)).await
    };
    match found.await {
        Ok(Some(found)) => Json(found).into_response(),
        Ok(None) => unknown(),
        Err(error) => failed(&error),
    }
}

async fn picture(known: AppState, id: String) -> Response {
    let Some(event) = event(&known, id).await else { return unknown() };
    let Some(snapshot) = event.snapshot else {
        return (StatusCode::NOT_FOUND, "there is no picture of that event\n").into_response();
    };
    match file(&known, &format!("{snapshot}.png"), LARGEST_PICTURE).await {
        Some(bytes) => ([(header::CONTENT_TYPE, "image/png")], bytes).into_response(),
        // the picture is still being drawn, or the disk refused it: the request is valid
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// The event `id`: the latest of this run, or one of the store.
pub(super) async fn event(known: &AppState, id: String) -> Option<Event> {
    let latest = known.dashboard().find(&id).cloned();
    if latest.is_some() {
        return latest;
    }
    let kept = read(known.review.store.clone(), move |store| store.get(&id)).await;
    kept.ok().flatten().map(|kept| kept.event)
}

/// A file of the state folder, of `largest` bytes at most. `name` comes from a stored event: nothing of a request goes
/// into it.
pub(super) async fn file(known: &AppState, name: &str, largest: u64) -> Option<Vec<u8>> {
    let path = known.dashboard().about.state.join(name);
    let read = spawn_blocking(move || {
        let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= largest);
        if small { std::fs::read(path).ok() } else { None }
    });
    read.await.ok().flatten()
}

/// The review of an event by an operator. A missing field stays as it is; null takes the verdict back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewRequest {
    #[serde(default, deserialize_with = "given")]
    verdict: Option<Option<Verdict>>,
    label: Option<String>,
}

fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<Verdict>>, D::Error> {
    Option::deserialize(from).map(Some)
}

async fn review(
    State(known): State<AppState>,
    Extension(role): Extension<Role>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
    Json(said): Json<ReviewRequest>,
) -> Response {
    if let Some(refused) = refuse_viewer(role, known.operators) {
        return refused;
    }
    let recorder = known.review.recorder.clone();
    let (of, wanted) = (id.clone(), said.verdict.flatten());
    let outcome = read(known.review.store.clone(), move |store| {
        let before = store.get(&of)?.and_then(|kept| kept.verdict);
        recorder.judge(&of, said.verdict.unwrap_or(before), said.label)
    });
    let kept = match outcome.await {
        Ok(Some(kept)) => kept,
        Ok(None) => return unknown(),
        Err(error) => return failed(&error),
    };
    let from = name_of(peer);
    let verdict = kept.verdict.map_or("none", Verdict::as_str);
    tracing::info!(
        "an operator at {from} says of event {id} of {}: verdict {verdict}, label {:?}",
        kept.event.stream,
        kept.label
    );
    let taught = wanted.is_some_and(|verdict| inform_detector(&known, &kept, verdict));
    Json(json!({ "event": kept, "detector_informed": taught })).into_response()
}

/// Reports the verdict to the detector, which remembers the last events of this run.
fn inform_detector(known: &AppState, kept: &StoredEvent, verdict: Verdict) -> bool {
    let ack = AckEvent { id: Some(kept.event.id.clone()), stream: None, number: None, last: false, verdict };
    let this_run = (known.health)().boot == kept.event.boot;
    this_run
        && known
            .review
            .request_sender
            .try_send(Request { ask: RequestBody::AckEvent(ack), transaction: None })
            .is_ok()
}
