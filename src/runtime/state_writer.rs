//! The thread that stores detector states, so that no other thread waits for the disk.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::CalibrationStore;
use crate::detect::StreamState;
use crate::error::{Error, Result};

/// Pause after the disk has refused.
const RETRY: Duration = Duration::from_secs(5);
/// States that may wait for the disk, or more where there are more streams; of each stream the latest counts.
pub(super) const QUEUE: usize = 64;
/// Intervals at which detector states are reported: to the disk, and to a cluster, where another worker may take over.
const KEEP: Duration = Duration::from_secs(300);
const KEEP_SHARED: Duration = Duration::from_secs(60);

/// A detector state to store.
pub(super) type Known = (String, Box<StreamState>);

/// The interval at which the state of each stream is to arrive here.
pub(super) fn every(shared: bool) -> Duration {
    if shared { KEEP_SHARED } else { KEEP }
}

/// The thread `states`.
pub(super) struct StateWriter {
    done: Receiver<()>,
}

impl StateWriter {
    /// Starts the thread, and returns its sender. It ends when the sender is dropped. `room` states may wait.
    pub(super) fn start(store: CalibrationStore, room: usize) -> Result<(Self, Sender<Known>)> {
        let (way_in, states) = bounded(room);
        let (ended, done) = bounded(1);
        let work = move || {
            run(&states, &store);
            let _ = ended.send(());
        };
        thread::Builder::new()
            .name("states".to_owned())
            .spawn(work)
            .map_err(|e| Error::no_thread("states", &e))?;
        Ok((Self { done }, way_in))
    }

    /// Waits until everything is stored, at most `limit`; false where the disk did not take it in that time.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        self.done.recv_timeout(limit).is_ok()
    }
}

fn run(states: &Receiver<Known>, store: &CalibrationStore) {
    let mut waiting: BTreeMap<String, Box<StreamState>> = BTreeMap::new();
    let mut refused = false;
    loop {
        let next = match waiting.is_empty() {
            true => states.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => states.recv_timeout(RETRY),
        };
        let over = next == Err(RecvTimeoutError::Disconnected);
        for (stream, state) in next.ok().into_iter().chain(states.try_iter()) {
            waiting.insert(stream, state);
        }
        waiting.retain(|stream, state| match store.save(stream, state) {
            Ok(path) => {
                tracing::debug!("{stream}: kept in {}", path.display());
                if std::mem::take(&mut refused) {
                    tracing::info!("{stream}: its state can be stored again");
                }
                false
            }
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!(fix = error.fix(), "{stream}: {error}; tried again until it works");
                }
                true
            }
        });
        if over {
            return;
        }
    }
}
