//! The API of labels: the list, and their examples as a file to keep, to take to another node and to merge.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::app_state::AppState;
use super::events_api::failed;
use super::guard::{Peer, Role, name_of, refuse_viewer};
use crate::error::{Error, Result};
use crate::event_store::{LabelChange, LabelFile, Recorder};

/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest file of labels: all examples that can be kept, of the widest models in use.
const LARGEST: usize = 16 << 20;

/// The routes, behind the token.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/labels", get(list))
        .route("/api/v1/labels/export", get(export))
        .route("/api/v1/labels/import", post(import).layer(DefaultBodyLimit::max(LARGEST)))
}

async fn list(State(known): State<AppState>) -> Response {
    Json(json!({ "labels": known.review.store.labels() })).into_response()
}

async fn export(State(known): State<AppState>) -> Response {
    let head = [(header::CONTENT_DISPOSITION, "attachment; filename=\"labels.json\"")];
    (head, Json(known.review.store.label_file())).into_response()
}

async fn import(
    State(known): State<AppState>,
    Extension(role): Extension<Role>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse_viewer(role, known.operators) {
        return refused;
    }
    let recorder = known.review.recorder.clone();
    let merged = spawn_blocking(move || merge(&recorder, &body)).await;
    match merged.unwrap_or_else(|_| Err(Error::internal("the labels cannot be changed"))) {
        Ok(done) => {
            tracing::info!("an operator at {} merges labels: {done}", name_of(peer));
            Json(done).into_response()
        }
        Err(error) => failed(&error),
    }
}

fn merge(recorder: &Recorder, body: &[u8]) -> Result<Value> {
    let (answer, done) = bounded(1);
    recorder.change_labels(LabelChange::Merge(LabelFile::read(body)?), 0, answer)?;
    let slow =
        |_| Error::broker("the event store does not answer", "see the log; the disk may be slow or full");
    done.recv_timeout(PATIENCE).map_err(slow)?.1
}
