//! The body of an event stream: it forwards messages of the dashboard until either side ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::sync::mpsc::Receiver;

use super::ui_sender::WatchGuard;

struct LiveBody {
    out: Receiver<Bytes>,
    _watch: Option<WatchGuard>,
}

/// The messages of `out` as a body.
pub(super) fn plain(out: Receiver<Bytes>) -> Body {
    Body::new(LiveBody { out, _watch: None })
}

/// The messages of `out` as a body; the stream counts as watched until its end.
pub(super) fn body(out: Receiver<Bytes>, watch: WatchGuard) -> Body {
    Body::new(LiveBody { out, _watch: Some(watch) })
}

impl hyper::body::Body for LiveBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.out.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
    }
}
