//! The thread that draws, encodes and stores, so that the sound never waits for a disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Clip;
use super::clip_store::ClipStore;
use super::picture::{clip, spectrogram};
use crate::config::SnapshotConfig;
use crate::error::{Error, Result};
use crate::publish::{EventSender, Outgoing};

/// Most clips that wait. Each is up to 2 MB.
const PLACES: usize = 8;
/// Largest picture that is published, bytes; one of 32 s has a few hundred thousand.
const LARGEST_PICTURE: usize = 768 << 10;
/// Patience with a full channel where sound can wait (replays).
const PATIENCE: Duration = Duration::from_secs(30);

/// Counters of snapshots since the start.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCounts {
    written: AtomicU64,
    dropped: AtomicU64,
    warned: AtomicBool,
}

impl SnapshotCounts {
    /// Snapshots on the disk, those that made room for later ones included.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Snapshots that were given up, since the thread had no time or the disk refused.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn drop_one(&self, stream: &str, id: &str, why: &str) {
        self.dropped.fetch_add(1, Relaxed);
        if self.warned.swap(true, Relaxed) {
            tracing::debug!("{stream}: no snapshot of {id}: {why}");
        } else {
            tracing::warn!("{stream}: no snapshot of {id}: {why}; later ones are only counted in health");
        }
    }
}

struct Job {
    stream: String,
    id: String,
    excerpt: Box<Clip>,
    /// It shows an event.
    of_event: bool,
}

/// The sender to the thread.
#[derive(Clone)]
pub(crate) struct WriterHandle {
    jobs: Sender<Job>,
    /// Sound can wait (replays); live sound cannot.
    patient: bool,
    counts: Arc<SnapshotCounts>,
}

impl WriterHandle {
    /// Hands a clip over; it is dropped and counted where the thread is too far behind.
    pub(super) fn write(&self, stream: &str, id: String, excerpt: Box<Clip>, of_event: bool) {
        let job = Job { stream: stream.to_owned(), id, excerpt, of_event };
        let refused = if self.patient {
            self.jobs.send_timeout(job, PATIENCE).err().map(crossbeam_channel::SendTimeoutError::into_inner)
        } else {
            self.jobs.try_send(job).err().map(crossbeam_channel::TrySendError::into_inner)
        };
        if let Some(job) = refused {
            self.counts.drop_one(&job.stream, &job.id, "the disk is too slow");
        }
    }
}

/// The thread, where snapshots are asked for.
pub(crate) struct Writer {
    thread: Option<JoinHandle<()>>,
    counts: Arc<SnapshotCounts>,
}

impl Writer {
    /// Starts the thread on the folder in `state_dir`; without a kind of snapshot in `config` there is neither thread
    /// nor handle. `patient` sound waits for the disk. Pictures of events go to `pictures` as well, where `config` says so.
    ///
    /// # Errors
    /// When the folder cannot be read, or no thread can be started.
    pub(crate) fn start(
        config: &SnapshotConfig,
        state_dir: &Path,
        patient: bool,
        pictures: Option<EventSender>,
    ) -> Result<(Self, Option<WriterHandle>)> {
        let counts = Arc::new(SnapshotCounts::default());
        if !config.any() {
            return Ok((Self { thread: None, counts }, None));
        }
        let shelf = ClipStore::open(state_dir, config.max_bytes)?;
        let (jobs, queue) = bounded(PLACES);
        let (config, of_thread) = (*config, Arc::clone(&counts));
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || work(&queue, shelf, &config, (&of_thread, pictures.as_ref())))
            .map_err(|e| Error::internal(format!("cannot start the snapshots thread: {e}")))?;
        let handle = WriterHandle { jobs, patient, counts: Arc::clone(&counts) };
        Ok((Self { thread: Some(thread), counts }, Some(handle)))
    }

    /// The counters.
    pub(crate) fn counts(&self) -> Arc<SnapshotCounts> {
        Arc::clone(&self.counts)
    }

    /// Waits until all that was handed over is on the disk. All handles must be gone.
    pub(crate) fn finish(&mut self) {
        if self.thread.take().map(JoinHandle::join).is_some_and(|ended| ended.is_err()) {
            tracing::error!("the snapshots thread panicked; later snapshots are missing");
        }
    }
}

/// Stores clips, and publishes pictures, until all handles are gone.
fn work(
    queue: &Receiver<Job>,
    mut shelf: ClipStore,
    config: &SnapshotConfig,
    (counts, pictures): (&SnapshotCounts, Option<&EventSender>),
) {
    let pictures = pictures.filter(|_| config.publish);
    for Job { stream, id, excerpt, of_event } in queue {
        let files = encode(config, &excerpt);
        if let (Some(pictures), Ok(files), true) = (pictures, &files, of_event) {
            for (_, png) in files.iter().filter(|(kind, png)| *kind == "png" && png.len() <= LARGEST_PICTURE)
            {
                pictures.try_send(Outgoing::Picture { stream: stream.clone(), png: png.clone() });
            }
        }
        match files.and_then(|files| shelf.put(&stream, &id, &files)) {
            Ok(()) => drop(counts.written.fetch_add(1, Relaxed)),
            Err(error) => counts.drop_one(&stream, &id, &format!("{error} ({})", error.fix())),
        }
    }
}

fn encode(config: &SnapshotConfig, excerpt: &Clip) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut files = Vec::with_capacity(2);
    if config.spectrogram {
        files.push(("png", spectrogram(excerpt)?));
    }
    if config.clip {
        files.push(("wav", clip(excerpt)?));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BANDS;

    fn excerpt() -> Box<Clip> {
        let (bands, samples) = (vec![[0.0; BANDS]; 10], vec![0; 1_600]);
        Box::new(Clip { number: 0, onset: 2, offset: 8, bands, samples })
    }

    fn id(number: u64) -> String {
        ulid::Ulid::from_parts(number, 0).to_string()
    }

    #[test]
    fn everything_handed_over_is_written_by_the_end() {
        let state = tempfile::tempdir().unwrap();
        let config = SnapshotConfig { spectrogram: true, clip: true, ..SnapshotConfig::default() };
        let (mut writer, handle) = Writer::start(&config, state.path(), true, None).unwrap();
        let handle = handle.unwrap();
        (1..=30).for_each(|number| handle.write("mic", id(number), excerpt(), true));
        drop(handle);
        writer.finish();
        assert_eq!((writer.counts().written(), writer.counts().dropped()), (30, 0));
        assert_eq!(std::fs::read_dir(state.path().join("events/mic")).unwrap().count(), 60);
    }

    #[test]
    fn a_refusal_of_the_disk_or_a_full_channel_is_counted() {
        let state = tempfile::tempdir().unwrap();
        let config = SnapshotConfig { clip: true, ..SnapshotConfig::default() };
        let (mut writer, handle) = Writer::start(&config, state.path(), true, None).unwrap();
        std::fs::write(state.path().join("events"), "in the way").unwrap();
        handle.unwrap().write("mic", id(1), excerpt(), true);
        writer.finish();
        assert_eq!((writer.counts().written(), writer.counts().dropped()), (0, 1));

        let (jobs, queue) = bounded(1);
        let counts = Arc::new(SnapshotCounts::default());
        let handle = WriterHandle { jobs, patient: false, counts: Arc::clone(&counts) };
        (1..=3).for_each(|number| handle.write("mic", id(number), excerpt(), true));
        assert_eq!((counts.dropped(), queue.len()), (2, 1));
    }

    #[test]
    fn without_a_kind_there_is_no_thread_and_no_folder() {
        let state = tempfile::tempdir().unwrap();
        let (mut writer, handle) =
            Writer::start(&SnapshotConfig::default(), state.path(), false, None).unwrap();
        assert!(handle.is_none() && writer.thread.is_none());
        writer.finish();
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
