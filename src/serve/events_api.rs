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

use super::export::{Export, ExportFormat};
use super::guard::{Peer, Role, name_of, refuse_viewer};
use super::live;
use super::routes::AppState;
use crate::error::{Error, ErrorKind, Result};
use crate::event_store::{EventStore, Filter, Page, StoredEvent, Verdict};
use crate::publish::{AckEvent, Judgement, Request, RequestBody};

/// Default number of events of a page.
const PAGE: usize = 100;
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

/// Reads the store on a blocking thread, so that no connection waits.
async fn read<T: Send + 'static>(
    store: EventStore,
    ask: impl FnOnce(&EventStore) -> Result<T> + Send + 'static,
) -> Result<T> {
    let answer = spawn_blocking(move || ask(&store)).await;
    answer.unwrap_or_else(|_| Err(Error::internal("the event store cannot be read")))
}

async fn found(State(known): State<AppState>, Query(asked): QueryParams) -> Response {
    let page = async {
        let (filter, rest) = filter(asked, &["limit"])?;
        let limit = match rest.get("limit") {
            None => PAGE,
            Some(text) => text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| {
                Error::config(format!("limit={text:?} cannot be read"), "give a number of events, 1 to 1000")
            })?,
        };
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

fn unknown() -> Response {
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

async fn picture(known: AppState, id: String) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "there is no picture of that event\n").into_response();
    // the path comes from the stored event: nothing of the request goes into it
    let of_hub = known.dashboard().find(&id).cloned();
    let event = match of_hub {
        Some(event) => Some(event),
        None => read(known.review.store.clone(), move |store| store.get(&id))
            .await
            .ok()
            .flatten()
            .map(|k| k.event),
    };
    let Some(snapshot) = event.and_then(|event| event.snapshot) else { return missing() };
    let path = known.dashboard().about.state.join(format!("{snapshot}.png"));
    let read = spawn_blocking(move || {
        let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST_PICTURE);
        if small { std::fs::read(path).ok() } else { None }
    });
    match read.await {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "image/png")], bytes).into_response(),
        // the picture is still being drawn, or the disk refused it: the request is valid
        _ => StatusCode::NO_CONTENT.into_response(),
    }
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
    let verdict = match verdict {
        Verdict::Normal => Judgement::Normal,
        Verdict::Anomaly => Judgement::Anomaly,
    };
    let ack = AckEvent { id: Some(kept.event.id.clone()), stream: None, number: None, last: false, verdict };
    let this_run = (known.health)().boot == kept.event.boot;
    this_run
        && known
            .review
            .request_sender
            .try_send(Request { ask: RequestBody::AckEvent(ack), transaction: None })
            .is_ok()
}
