//! Requests of operators over HTTP: the commands of the broker, with the response as the answer.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use crossbeam_channel::bounded;
use tokio::task::spawn_blocking;

use super::app_state::AppState;
use super::guard::{Peer, Role, name_of, refuse_viewer};
use crate::publish::{self, Command, DirectRequest, Request, ResponseStatus};

/// Longest wait for a response. A verdict can wait for a calibration.
const PATIENCE: Duration = Duration::from_secs(10);

/// The route, behind the token.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/request/{command}", post(request))
}

async fn request(
    State(known): State<AppState>,
    Extension(role): Extension<Role>,
    peer: Option<Extension<Peer>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse_viewer(role, known.operators) {
        return refused;
    }
    let Some(command) = Command::named(&name) else {
        let names = Command::ALL.map(Command::as_str).join(", ");
        return (StatusCode::NOT_FOUND, format!("there is no command {name:?}; there are {names}\n"))
            .into_response();
    };
    let request = match Request::parse(command, None, &body) {
        Ok(request) => request,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("{error}; {}\n", error.fix())).into_response();
        }
    };
    tracing::info!("an operator at {} asks: {name} {}", name_of(peer), String::from_utf8_lossy(&body));
    let (response_sender, response) = bounded(1);
    if known.review.direct_requests.try_send(DirectRequest { request, response_sender }).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests wait; ask again in a second\n")
            .into_response();
    }
    let awaited = spawn_blocking(move || response.recv_timeout(PATIENCE)).await;
    let Ok(Ok(publish::Response { status, data, error, .. })) = awaited else {
        return (StatusCode::GATEWAY_TIMEOUT, "it was taken, and is not done yet\n").into_response();
    };
    match status {
        ResponseStatus::Ok => Json(data).into_response(),
        ResponseStatus::Error => {
            (StatusCode::BAD_REQUEST, format!("{}\n", error.unwrap_or_default())).into_response()
        }
    }
}
