//! The thread `events`: it writes events and reviews, so that no other thread waits for the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::Value;

use super::config::EventsConfig;
use super::file;
use super::labels::{LabelChange, ReviewAnswer, checked};
use super::recogniser::{InForce, LabelReader};
use super::row::{Row, StoredEvent};
use super::store::{EventStore, SharedState, record_written};
use crate::error::{Error, Result};
use crate::event::{Day, Event, Verdict};

mod days;
mod labelling;
mod verdicts;

pub use days::DayAnswer;
pub use verdicts::EventName;

/// Messages that wait for the thread.
const QUEUE: usize = 1024;
/// Events that wait for a disk which refuses.
pub(super) const WAITING: usize = 1024;
/// Pause after the disk has refused.
const RETRY: Duration = Duration::from_secs(5);
/// Timeout of a review for the thread's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Health of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Events on the disk.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Events lost because the queue to the thread or the buffer in memory was full.
    pub lost: u64,
    /// The disk refuses: the last events wait in memory.
    pub degraded: bool,
}

#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    degraded: AtomicBool,
    /// Messages that changed events.
    changes: AtomicU64,
}

#[derive(Debug)]
enum WriterMessage {
    Reported(Box<Event>),
    Review {
        id: String,
        verdict: Option<Verdict>,
        label: Option<String>,
        answer: Option<Sender<Result<Option<StoredEvent>>>>,
    },
    Labels {
        change: LabelChange,
        ticket: u64,
        answer: Sender<ReviewAnswer>,
    },
    Verdict {
        event: EventName,
        verdict: Verdict,
        ticket: u64,
        answer: Sender<ReviewAnswer>,
    },
    Days {
        days: Vec<Day>,
        streams: Arc<[String]>,
        answer: Sender<DayAnswer>,
    },
    Flush(Sender<()>),
}

/// A sender of the result, once the disk has taken the change or has refused it.
enum ReplySender {
    Event(Sender<Result<Option<StoredEvent>>>, Box<Result<Option<StoredEvent>>>),
    Ticket(Sender<ReviewAnswer>, u64, Result<Value>),
    Flushed(Sender<()>),
}

/// The sending side. Only reviews wait, for their result.
#[derive(Debug, Clone)]
pub struct Recorder {
    way: Sender<WriterMessage>,
    counts: Arc<Counts>,
    labels: LabelReader,
}

impl Recorder {
    /// Gives an event that is over the label of earlier events that it sounds like, if it is like any. It never waits.
    pub fn label(&mut self, event: &mut Event) {
        self.labels.label(event);
    }

    /// Asks for a change of the labels. The result comes with `ticket` once the disk has taken it.
    ///
    /// # Errors
    /// A configuration error where too many changes wait.
    pub fn change_labels(
        &self,
        change: LabelChange,
        ticket: u64,
        answer: Sender<ReviewAnswer>,
    ) -> Result<()> {
        let full = |_| Error::config("too many requests wait", "ask again in a second");
        self.way.try_send(WriterMessage::Labels { change, ticket, answer }).map_err(full)
    }

    /// Stores the latest document of an event.
    pub fn record_event(&self, event: &Event) {
        if self.way.try_send(WriterMessage::Reported(Box::new(event.clone()))).is_err() {
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }

    /// Stores a verdict on the event `id`, if it is known.
    pub fn record_verdict(&self, id: &str, verdict: Verdict) {
        let note =
            WriterMessage::Review { id: id.to_owned(), verdict: Some(verdict), label: None, answer: None };
        let _ = self.way.try_send(note);
    }

    /// Sets the verdict on the event `id` (none takes it back), and its label where one is given (an empty one takes it back).
    /// None where no such event is kept.
    ///
    /// # Errors
    /// A configuration error where the label is too long or has control characters; a broker error where the thread does not
    /// answer for 5 s.
    pub fn judge(
        &self,
        id: &str,
        verdict: Option<Verdict>,
        label: Option<String>,
    ) -> Result<Option<StoredEvent>> {
        let label = label.map(|label| checked(&label)).transpose()?;
        let (answer, outcome) = bounded(1);
        let note = WriterMessage::Review { id: id.to_owned(), verdict, label, answer: Some(answer) };
        let slow =
            || Error::broker("the event store does not answer", "see the log; the disk may be slow or full");
        self.way.send_timeout(note, PATIENCE).map_err(|_| slow())?;
        outcome.recv_timeout(PATIENCE).map_err(|_| slow())?
    }

    /// Waits until the disk has taken everything recorded before, or has refused it; false after `limit`.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let by = Instant::now() + limit;
        let (answer, done) = bounded(1);
        self.way.send_deadline(WriterMessage::Flush(answer), by).is_ok() && done.recv_deadline(by).is_ok()
    }

    /// Health of the store.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        StoreHealth {
            events: self.counts.events.load(Relaxed),
            bytes: self.counts.bytes.load(Relaxed),
            lost: self.counts.lost.load(Relaxed),
            degraded: self.counts.degraded.load(Relaxed),
        }
    }
}

impl EventStore {
    /// Starts the thread, which ends when all [`Recorder`]s are gone. `dir` is the state folder, which the caller holds; without one, or with `max_events` = 0, the last 1,024
    /// events are kept in memory. A disk that refuses, or a file that cannot be opened, is tried again.
    ///
    /// # Errors
    /// A configuration error where a limit is wrong.
    pub fn start(config: EventsConfig, dir: Option<&Path>) -> Result<(Self, Recorder)> {
        config.validate()?;
        let shared = Arc::new(SharedState {
            dir: dir.filter(|_| config.max_events > 0).map(Path::to_owned),
            opened: Mutex::new(None),
            waiting: Mutex::new(BTreeMap::new()),
            written: Mutex::new(BTreeMap::new()),
            labels: Mutex::default(),
            in_force: InForce::default(),
            least: config.label_similarity,
        });
        let labels = LabelReader::new(Arc::clone(&shared.in_force), config.label_similarity);
        let counts = Arc::new(Counts::default());
        let store = Self { shared };
        let writer = Writer { store: store.clone(), config, counts: Arc::clone(&counts) };
        if let Err(error) = writer.open() {
            writer.degrade(&error);
        }
        let (way, notes) = bounded(QUEUE);
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.run(&notes))
            .map_err(|e| Error::no_thread("events", &e))?;
        Ok((store, Recorder { way, counts, labels }))
    }
}

struct Writer {
    store: EventStore,
    config: EventsConfig,
    counts: Arc<Counts>,
}

impl Writer {
    fn run(self, notes: &Receiver<WriterMessage>) {
        loop {
            let next = match self.counts.degraded.load(Relaxed) {
                true => notes.recv_timeout(RETRY),
                false => notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let over = matches!(next, Err(RecvTimeoutError::Disconnected));
            let answers: Vec<_> =
                next.into_iter().chain(notes.try_iter()).filter_map(|note| self.take(note)).collect();
            if self.store.shared.dir.is_some()
                && let Err(error) = self.commit()
            {
                self.degrade(&error);
            }
            self.bound_waiting();
            for answer in answers {
                let _ = match answer {
                    ReplySender::Event(way, outcome) => way.send(*outcome).is_ok(),
                    ReplySender::Ticket(way, ticket, outcome) => way.try_send((ticket, outcome)).is_ok(),
                    ReplySender::Flushed(way) => way.send(()).is_ok(),
                };
            }
            if over {
                return;
            }
        }
    }

    fn take(&self, note: WriterMessage) -> Option<ReplySender> {
        let reads = matches!(note, WriterMessage::Days { .. } | WriterMessage::Flush(_));
        self.counts.changes.fetch_add(u64::from(!reads), Relaxed);
        match note {
            WriterMessage::Reported(event) => {
                let row = Row::of(&event);
                let row = match self.store.row(&event.id) {
                    Ok(Some(former)) => row.with_review_of(&former),
                    _ => row,
                };
                self.count_label(&event.id, &row);
                record_written(&self.store.shared.waiting).insert(event.id, row);
                None
            }
            WriterMessage::Labels { change, ticket, answer } => {
                let outcome = self.change_labels(change);
                Some(ReplySender::Ticket(answer, ticket, outcome))
            }
            WriterMessage::Verdict { event, verdict, ticket, answer } => {
                let outcome = self.judge_named(&event, verdict);
                Some(ReplySender::Ticket(answer, ticket, outcome))
            }
            WriterMessage::Review { id, verdict, label, answer } => {
                let outcome = self.judge(&id, verdict, label);
                answer.map(|answer| ReplySender::Event(answer, Box::new(outcome)))
            }
            WriterMessage::Days { days, streams, answer } => {
                let _ = answer.try_send(self.store.count_days(&days, &streams));
                None
            }
            WriterMessage::Flush(answer) => Some(ReplySender::Flushed(answer)),
        }
    }

    fn judge(
        &self,
        id: &str,
        verdict: Option<Verdict>,
        label: Option<String>,
    ) -> Result<Option<StoredEvent>> {
        let Some(mut row) = self.store.row(id)? else { return Ok(None) };
        row.verdict = verdict;
        if let Some(label) = label {
            self.relabel(id, &mut row, label)?;
        }
        let kept = row.kept();
        record_written(&self.store.shared.waiting).insert(id.to_owned(), row);
        Ok(kept)
    }

    fn open(&self) -> Result<()> {
        let Some(dir) = &self.store.shared.dir else { return Ok(()) };
        if record_written(&self.store.shared.opened).is_some() {
            return Ok(());
        }
        let (opened, _) = file::open(dir)?;
        self.count(opened.size);
        let mut newest = BTreeMap::new();
        let take = |id: &str, row: Row| {
            newest.insert(id.to_owned(), row);
            newest.len() < WAITING
        };
        file::scan(&opened.db, None, &mut { take }).map_err(|e| file::refused(dir, &e))?;
        let labels = file::labels(&opened.db).map_err(|e| file::refused(dir, &e))?;
        record_written(&self.store.shared.labels).load(labels);
        self.store.shared.renew_recogniser();
        *record_written(&self.store.shared.written) = newest;
        *record_written(&self.store.shared.opened) = Some(opened);
        Ok(())
    }

    /// Writes waiting rows. After an error the file is opened again.
    fn commit(&self) -> Result<()> {
        let rows = record_written(&self.store.shared.waiting).clone();
        let labels = record_written(&self.store.shared.labels).unwritten();
        if rows.is_empty() && labels.examples.is_empty() && labels.heard.is_empty() {
            return Ok(());
        }
        self.open()?;
        let opened = record_written(&self.store.shared.opened).clone();
        let (Some(mut opened), Some(dir)) = (opened, &self.store.shared.dir) else { return Ok(()) };
        match file::write(&opened, &rows, &labels, &self.config) {
            Ok(size) => {
                opened.size = size;
                *record_written(&self.store.shared.opened) = Some(opened);
                record_written(&self.store.shared.waiting).clear();
                record_written(&self.store.shared.labels).written();
                self.remember(rows);
                self.count(size);
                if self.counts.degraded.swap(false, Relaxed) {
                    tracing::info!("events can be kept again");
                }
                Ok(())
            }
            Err(error) => {
                let error = file::refused(dir, &error);
                // redb does not read any more from a file that it could not write
                *record_written(&self.store.shared.opened) = None;
                Err(error)
            }
        }
    }

    fn remember(&self, rows: BTreeMap<String, Row>) {
        let mut written = record_written(&self.store.shared.written);
        written.extend(rows);
        while written.len() > WAITING {
            written.pop_first();
        }
    }

    fn degrade(&self, error: &Error) {
        if !self.counts.degraded.swap(true, Relaxed) {
            tracing::warn!(fix = error.fix(), "{error}; the last {WAITING} events wait in memory");
        }
    }

    fn bound_waiting(&self) {
        let mut waiting = record_written(&self.store.shared.waiting);
        let mut lost = 0;
        while waiting.len() > WAITING {
            waiting.pop_first();
            lost += 1;
        }
        if self.store.shared.dir.is_some() {
            self.counts.lost.fetch_add(lost, Relaxed);
        }
    }

    fn count(&self, size: file::Size) {
        self.counts.events.store(size.events, Relaxed);
        self.counts.bytes.store(size.bytes, Relaxed);
    }
}
