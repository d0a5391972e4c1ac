//! The thread `http`: connections, and events for the dashboard.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::app_state::AppState;
use super::config::{HttpConfig, Tokens};
use super::dashboard::DashboardState;
use super::guard::{AccessGuard, Peer};
use super::node::{HealthSource, NodeInfo, Review};
use super::routes::router;
use super::ui_sender::{UiEvent, UiSender};
use super::write_timeout::WriteTimeoutStream;
use crate::error::{Error, Result};

/// Connections at a time. Where one more comes, the one that has been idle for longest is closed, so that probes are
/// always answered.
const CONNECTIONS: usize = 64;
/// Timeout of the head of a request, and of an idle connection.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of the head of a request, at most.
const HEAD_BYTES: usize = 16 * 1024;
/// Interval of pings to idle pages.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Path of the event stream.
const LIVE: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The thread; dropping this stops and joins it.
pub(super) struct HttpThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for HttpThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn start(
    address: SocketAddr,
    (tokens, config): (Tokens, &HttpConfig),
    (about, health, review): (NodeInfo, HealthSource, Review),
) -> Result<(SocketAddr, HttpThread, UiSender)> {
    let listener = TcpListener::bind(address).and_then(|l| l.set_nonblocking(true).map(|()| l));
    let listener = listener.map_err(|e| {
        Error::config(
            format!("cannot listen at {address}: {e}"),
            "choose another port or address in [http] listen; `ss -ltnp` shows who has it",
        )
    })?;
    let address = listener.local_addr().unwrap_or(address);
    let internal = |e: std::io::Error| Error::internal(format!("cannot start the thread http: {e}"));
    // blocking threads read pictures and events
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .map_err(internal)?;
    let (feed, said) = UiSender::new(about.streams.len());
    let dashboard = Arc::new(Mutex::new(DashboardState::new(about)));
    let guard = AccessGuard::new(tokens, &config.hosts, &config.trusted_proxies);
    let known = AppState { dashboard, feed: feed.clone(), health, review, operators: guard.has_operators() };
    let (stop, stopped) = oneshot::channel();
    let work = async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let dashboard = Arc::clone(&known.dashboard);
        tokio::select! {
            _ = stopped => {}
            () = listen(said, &dashboard) => {}
            () = accept(listener, known, &guard) => {}
        }
    };
    let thread = thread::Builder::new().name("http".to_owned());
    let thread = thread
        .spawn(move || {
            runtime.block_on(work);
            runtime.shutdown_background();
        })
        .map_err(internal)?;
    Ok((address, HttpThread { stop: Some(stop), thread: Some(thread) }, feed))
}

async fn listen(mut said: Receiver<UiEvent>, dashboard: &Mutex<DashboardState>) {
    let mut calls = interval(PING_INTERVAL);
    calls.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let news = tokio::select! {
            news = said.recv() => news,
            _ = calls.tick() => {
                dashboard.lock().unwrap_or_else(PoisonError::into_inner).ping();
                continue;
            }
        };
        let Some(news) = news else { return };
        dashboard.lock().unwrap_or_else(PoisonError::into_inner).take(news);
    }
}

async fn accept(listener: tokio::net::TcpListener, known: AppState, guard: &Arc<AccessGuard>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let routes = router(known, guard);
    let mut lines: VecDeque<(Arc<ConnectionActivity>, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of file handles, most likely: the audio needs them more than a page
                tracing::debug!("a connection to the page failed: {error}");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        lines.retain(|(_, task)| !task.is_finished());
        if room.available_permits() == 0
            && let Some((_, task)) =
                lines.iter().filter(|(line, _)| line.is_idle()).min_by_key(|(line, _)| line.since())
        {
            task.abort();
        }
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let _ = stream.set_nodelay(true);
        let line = Arc::new(ConnectionActivity::new());
        let (of_service, inner) = (Arc::clone(&line), TowerToHyperService::new(routes.clone()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            let (line, answer) = (Arc::clone(&of_service), inner.call(request));
            line.request_began();
            async move {
                let answer = answer.await;
                // an event stream lasts as long as the page is open
                let live =
                    answer.as_ref().is_ok_and(|answer| answer.headers().get(CONTENT_TYPE) == Some(&LIVE));
                if !live {
                    line.request_ended();
                }
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(WriteTimeoutStream::new(stream)), service);
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to the page ended: {error}");
            }
            drop(place);
        });
        lines.push_back((line, task.abort_handle()));
    }
}

/// The activity of a connection.
#[derive(Debug)]
struct ConnectionActivity {
    busy: AtomicBool,
    since: Mutex<Instant>,
}

impl ConnectionActivity {
    fn new() -> Self {
        Self { busy: AtomicBool::new(false), since: Mutex::new(Instant::now()) }
    }

    fn request_began(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    fn request_ended(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.busy.store(false, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }

    /// Time of the last response, or of the start.
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
