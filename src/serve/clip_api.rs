//! The sound of an event, for operators alone, where clips are kept. Nothing else over HTTP is sound.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::app_state::AppState;
use super::events_api::{event, file, unknown};
use super::guard::{Peer, Role, name_of, refuse_viewer};

/// Bytes of a clip, at most: one of 32 s has a million.
const LARGEST: u64 = 4 << 20;

/// The route, behind the token.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/events/{id}/clip", get(clip))
}

async fn clip(
    State(known): State<AppState>,
    Extension(role): Extension<Role>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
) -> Response {
    if let Some(refused) = refuse_viewer(role, known.operators) {
        return refused;
    }
    // files of a time when clips were kept are not given out either
    if !known.dashboard().about.clips {
        return (StatusCode::NOT_FOUND, "no clips are kept here: set clip in [snapshots]\n").into_response();
    }
    let Some(event) = event(&known, id).await else { return unknown() };
    let sound = match &event.snapshot {
        Some(snapshot) => file(&known, &format!("{snapshot}.wav"), LARGEST).await,
        None => None,
    };
    let Some(sound) = sound else {
        let why = "there is no clip of that event: it goes on, its clip made room for later ones, or none was kept then\n";
        return (StatusCode::NOT_FOUND, why).into_response();
    };
    tracing::info!(
        "an operator at {} listens to the clip of event {} of {}",
        name_of(peer),
        event.id,
        event.stream
    );
    ([(header::CONTENT_TYPE, "audio/wav"), (header::CACHE_CONTROL, "no-store")], sound).into_response()
}
