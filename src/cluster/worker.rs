//! The thread `cluster` and its arguments.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ClusterConfig;
use super::jetstream::{JetStream, Names, RETRY_INTERVAL, connect};
use super::member::Member;
use super::setup::WorkerSetup;
use crate::error::{Error, Result};
use crate::mqtt::link;

/// The thread.
#[derive(Debug)]
pub struct Worker {
    stop: watch::Sender<bool>,
    done: Receiver<()>,
}

impl Worker {
    /// Starts the thread, which connects in the background, for ever.
    ///
    /// # Errors
    /// When the configuration cannot be used, or there can be no more threads.
    pub fn start(setup: WorkerSetup) -> Result<Self> {
        let runtime = link::runtime()?;
        let names = Names::new(&setup.config, &setup.prefix);
        let client = runtime.block_on(connect(&setup.config, &setup.node))?;
        let (stop, stopped) = watch::channel(false);
        let (ended, done) = bounded(1);
        let work = move || {
            runtime.block_on(async move {
                let mut stop = stopped.clone();
                tokio::select! {
                    jetstream = open(&client, &setup.config, &names) => Member::new(jetstream, setup).run(stopped).await,
                    _ = stop.changed() => {}
                }
                let _ = client.flush().await;
            });
            runtime.shutdown_background();
            let _ = ended.send(());
        };
        thread::Builder::new()
            .name("cluster".to_owned())
            .spawn(work)
            .map_err(|e| Error::internal(format!("cannot start the thread cluster: {e}")))?;
        Ok(Self { stop, done })
    }

    /// Gives all streams back as they are; waits for that up to `limit`. False where it took longer.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> bool {
        let _ = self.stop.send(true);
        self.done.recv_timeout(limit).is_ok()
    }
}

async fn open(client: &async_nats::Client, config: &ClusterConfig, names: &Names) -> JetStream {
    let mut logged = None;
    loop {
        match JetStream::open(client, config, names).await {
            Ok(jetstream) => return jetstream,
            Err(reason) => {
                if logged.as_ref() != Some(&reason) {
                    tracing::warn!(
                        "cluster: not ready: {reason}; tried again until it works (the servers need JetStream)"
                    );
                    logged = Some(reason);
                }
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
}
