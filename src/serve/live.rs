//! The body of a live answer: what the hub passes on, until either side has gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::sync::mpsc::Receiver;

use super::feed::Watch;

struct Live {
    out: Receiver<Bytes>,
    _watch: Option<Watch>,
}

/// What comes out of `out` as a body.
pub(super) fn plain(out: Receiver<Bytes>) -> Body {
    Body::new(Live { out, _watch: None })
}

/// What comes out of `out` as a body; the stream counts as watched for as long.
pub(super) fn body(out: Receiver<Bytes>, watch: Watch) -> Body {
    Body::new(Live { out, _watch: Some(watch) })
}

impl hyper::body::Body for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.out.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
    }
}
