//! What runs in the thread `http`: connections, and what is said to the hub.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::feed::{Feed, Said};
use super::guard::Guard;
use super::hub::Hub;
use super::patient::Patient;
use super::routes::{Known, router};
use super::server::{About, HealthSource};
use crate::error::{Error, Result};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, and be silent between two.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of the head of a request, at most.
const HEAD_BYTES: usize = 16 * 1024;
/// How often pages are called that nothing is said to.
const CALL: Duration = Duration::from_secs(10);

/// The thread; it is told to end, and waited for, when this goes.
pub(super) struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn start(
    address: SocketAddr,
    token: Option<String>,
    hosts: &[String],
    (about, health): (About, HealthSource),
) -> Result<(SocketAddr, Running, Feed)> {
    let listener = TcpListener::bind(address).and_then(|l| l.set_nonblocking(true).map(|()| l));
    let listener = listener.map_err(|e| {
        Error::config(
            format!("cannot listen at {address}: {e}"),
            "choose another port or address in [http] listen; `ss -ltnp` shows who has it",
        )
    })?;
    let address = listener.local_addr().unwrap_or(address);
    let internal = |e: std::io::Error| Error::internal(format!("cannot start the thread http: {e}"));
    // blocking threads read pictures
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .map_err(internal)?;
    let (feed, said) = Feed::new(about.streams.len());
    let hub = Arc::new(Mutex::new(Hub::new(about)));
    let known = Known { hub, feed: feed.clone(), health };
    let guard = Guard::new(token, hosts);
    let (stop, stopped) = oneshot::channel();
    let work = async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let hub = Arc::clone(&known.hub);
        tokio::select! {
            _ = stopped => {}
            () = listen(said, &hub) => {}
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
    Ok((address, Running { stop: Some(stop), thread: Some(thread) }, feed))
}

async fn listen(mut said: Receiver<Said>, hub: &Mutex<Hub>) {
    let mut calls = interval(CALL);
    calls.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let news = tokio::select! {
            news = said.recv() => news,
            _ = calls.tick() => {
                hub.lock().unwrap_or_else(PoisonError::into_inner).call();
                continue;
            }
        };
        let Some(news) = news else { return };
        hub.lock().unwrap_or_else(PoisonError::into_inner).take(news);
    }
}

async fn accept(listener: tokio::net::TcpListener, known: Known, guard: &Arc<Guard>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let routes = router(known, guard);
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // out of files, most likely: the audio needs them more than a page
                tracing::debug!("a connection to the page failed: {error}");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Patient::new(stream)), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to the page ended: {error}");
            }
            drop(place);
        });
    }
}
