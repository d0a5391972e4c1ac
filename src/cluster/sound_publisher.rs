//! The sending side of a microphone that speaks NATS. Each message of sound is acknowledged by the servers; what is not yet
//! waits in a bounded buffer, and follows in order once they are there again.
//!
//! One message is on its way at a time, so that order is certain, and sound that waits is joined to one message: a line of 100 ms
//! carries messages of 100 ms of sound. A message whose receipt is lost is sent again under the same id and with the number of the
//! microphone's last message, so that it is kept once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use crossbeam_channel::{Receiver, bounded};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::ClusterConfig;
use super::jetstream::{Names, connect};
use crate::capture::{CHUNK_HEADER, Chunk, ChunkCoding, LARGEST_CHUNK, PcmForm};
use crate::error::{Error, Result};
use crate::mqtt::link;

/// How long a receipt is waited for.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before a message is sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Sound of one session.
#[derive(Debug, Clone)]
pub struct SoundPiece {
    /// Form of the sound.
    pub pcm: PcmForm,
    /// Number of this run of the microphone.
    pub session: u32,
    /// Index of the first frame in the session.
    pub first: u64,
    /// Whole frames.
    pub bytes: Vec<u8>,
    /// How they are written.
    pub coding: ChunkCoding,
    /// When the last frame was captured.
    pub captured: Instant,
}

impl SoundPiece {
    fn frames(&self) -> u64 {
        (self.bytes.len() / self.pcm.frame_bytes().max(1)) as u64
    }

    fn length(&self) -> Duration {
        Duration::from_micros(self.frames().saturating_mul(1_000_000) / u64::from(self.pcm.rate.max(1)))
    }

    /// Joins `next` where it follows and there is room for it; gives it back where not.
    fn join(&mut self, next: Self) -> Option<Self> {
        let follows = (next.pcm, next.session) == (self.pcm, self.session)
            && next.first == self.first + self.frames()
            && self.bytes.len() + next.bytes.len() <= LARGEST_CHUNK - CHUNK_HEADER;
        if !follows {
            return Some(next);
        }
        self.bytes.extend_from_slice(&next.bytes);
        self.captured = next.captured;
        None
    }
}

/// Sound that waits for the servers.
#[derive(Debug)]
struct SoundBuffer {
    pieces: VecDeque<SoundPiece>,
    length: Duration,
    most: Duration,
}

impl SoundBuffer {
    fn new(most: Duration) -> Self {
        Self { pieces: VecDeque::new(), length: Duration::ZERO, most }
    }

    /// Takes a piece; returns how much of the oldest sound is dropped for it.
    fn push(&mut self, piece: SoundPiece) -> Duration {
        self.length += piece.length();
        self.pieces.push_back(piece);
        let mut dropped = Duration::ZERO;
        while self.length > self.most
            && let Some(oldest) = self.pieces.pop_front()
        {
            self.length = self.length.saturating_sub(oldest.length());
            dropped += oldest.length();
        }
        dropped
    }

    /// The next message: the oldest sound, as much of it as follows and fits.
    fn pop(&mut self) -> Option<SoundPiece> {
        let mut message = self.pieces.pop_front()?;
        self.length = self.length.saturating_sub(message.length());
        while let Some(next) = self.pieces.pop_front() {
            let length = next.length();
            if let Some(next) = message.join(next) {
                self.pieces.push_front(next);
                break;
            }
            self.length = self.length.saturating_sub(length);
        }
        Some(message)
    }
}

/// What became of the sound.
#[derive(Debug, Default)]
struct Shared {
    up: AtomicBool,
    stored_ms: AtomicU64,
    dropped_ms: AtomicU64,
    waiting_ms: AtomicU64,
}

/// Seconds of sound by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SoundFigures {
    /// The servers have acknowledged it.
    pub stored_s: f64,
    /// It waits.
    pub waiting_s: f64,
    /// It was dropped, since the buffer was full.
    pub dropped_s: f64,
}

/// A thread that publishes the sound of one microphone with receipts.
#[derive(Debug)]
pub struct SoundPublisher {
    pieces: Option<UnboundedSender<SoundPiece>>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl SoundPublisher {
    /// Starts the thread, which connects in the background, for ever, and keeps the last `most` of sound meanwhile.
    ///
    /// # Errors
    /// When an address or a file of the configuration cannot be used, or there can be no more threads.
    pub fn start(config: &ClusterConfig, prefix: &str, mic: &str, most: Duration) -> Result<Self> {
        let runtime = link::runtime()?;
        let client = runtime.block_on(connect(config, &format!("cpc-stream-mic-{mic}")))?;
        let (pieces, taken) = unbounded_channel();
        let shared = Arc::new(Shared::default());
        let (done, ended) = bounded(1);
        let (subject, of_task) = (Names::new(config, prefix).audio(mic), Arc::clone(&shared));
        let work = move || {
            runtime.block_on(async move {
                let sender = SoundSender::new(client, subject, Arc::clone(&of_task));
                let task = PublisherTask { sender, buffer: SoundBuffer::new(most), shared: of_task };
                task.run(taken).await;
            });
            runtime.shutdown_background();
            drop(done);
        };
        thread::Builder::new()
            .name("mics".to_owned())
            .spawn(work)
            .map_err(|e| Error::no_thread("mics", &e))?;
        Ok(Self { pieces: Some(pieces), shared, ended })
    }

    /// Gives it the next sound.
    pub fn publish(&self, piece: SoundPiece) {
        if let Some(pieces) = &self.pieces {
            let _ = pieces.send(piece);
        }
    }

    /// Whether the servers are there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Acquire)
    }

    /// What became of the sound.
    #[must_use]
    pub fn figures(&self) -> SoundFigures {
        let seconds = |ms: &AtomicU64| ms.load(Ordering::Relaxed) as f64 / 1e3;
        SoundFigures {
            stored_s: seconds(&self.shared.stored_ms),
            waiting_s: seconds(&self.shared.waiting_ms),
            dropped_s: seconds(&self.shared.dropped_ms),
        }
    }

    /// Waits until all sound is stored, at most `limit`.
    pub fn finish(&mut self, limit: Duration) {
        self.pieces = None;
        let _ = self.ended.recv_timeout(limit);
    }
}

/// State of the thread.
struct PublisherTask {
    sender: SoundSender,
    buffer: SoundBuffer,
    shared: Arc<Shared>,
}

impl PublisherTask {
    async fn run(mut self, mut pieces: UnboundedReceiver<SoundPiece>) {
        let mut open = true;
        loop {
            let Some(message) = self.buffer.pop() else {
                let next = tokio::select! {
                    next = pieces.recv(), if open => next,
                    () = self.sender.look(), if open => continue,
                    else => None,
                };
                match next {
                    Some(piece) => drop(self.buffer.push(piece)),
                    None => return,
                }
                continue;
            };
            let Self { sender, buffer, shared } = &mut self;
            let sending = sender.send(&message);
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    () = &mut sending => break,
                    piece = pieces.recv(), if open => match piece {
                        Some(piece) => {
                            let dropped = buffer.push(piece);
                            add(&shared.dropped_ms, dropped);
                            let waiting = buffer.length + message.length();
                            shared.waiting_ms.store(milliseconds(waiting), Ordering::Relaxed);
                        }
                        None => open = false,
                    },
                }
            }
            add(&shared.stored_ms, message.length());
            shared.waiting_ms.store(milliseconds(buffer.length), Ordering::Relaxed);
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn add(to: &AtomicU64, time: Duration) {
    to.fetch_add(milliseconds(time), Ordering::Relaxed);
}

/// The connection, and what is known of the messages there.
struct SoundSender {
    client: Client,
    context: Context,
    subject: String,
    shared: Arc<Shared>,
    /// Number of the microphone's last message, once one is stored.
    last: Option<u64>,
    /// Since when nothing is stored.
    stuck: Option<Instant>,
}

impl SoundSender {
    fn new(client: Client, subject: String, shared: Arc<Shared>) -> Self {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(RECEIPT_TIMEOUT);
        Self { client, context, subject, shared, last: None, stuck: None }
    }

    fn is_up(&self) -> bool {
        let up = self.client.connection_state() == State::Connected;
        self.shared.up.store(up, Ordering::Release);
        up
    }

    /// Looks after a while whether the servers are there.
    async fn look(&self) {
        sleep(RETRY_INTERVAL).await;
        self.is_up();
    }

    /// Stores a message, however long the servers are away.
    async fn send(&mut self, message: &SoundPiece) {
        let mut tried = false;
        loop {
            // what waits in a connection that is lost would come behind newer sound
            let reason = if self.is_up() {
                match self.publish(message, std::mem::replace(&mut tried, true)).await {
                    Ok(()) => break,
                    Err(reason) => reason,
                }
            } else {
                "they are away".to_owned()
            };
            if self.stuck.is_none() {
                self.stuck = Some(Instant::now());
                tracing::warn!("the servers store no sound ({reason}); it waits here");
            }
            sleep(RETRY_INTERVAL).await;
        }
        if let Some(since) = self.stuck.take() {
            tracing::info!("the servers store sound again after {:.1} s", since.elapsed().as_secs_f64());
        }
    }

    async fn publish(&mut self, message: &SoundPiece, again: bool) -> Result<(), String> {
        let &SoundPiece { pcm, session, first, ref bytes, coding, captured } = message;
        let delay_ms = u32::try_from(captured.elapsed().as_millis()).unwrap_or(u32::MAX);
        let chunk = Chunk { pcm, session, first, delay_ms, bytes: bytes.into() }.write(coding);
        let mut outgoing =
            PublishMessage::build().payload(chunk.into()).message_id(format!("{session}:{first}"));
        if let Some(last) = self.last {
            outgoing = outgoing.expected_last_subject_sequence(last);
        }
        let sent = self.context.send_publish(self.subject.clone(), outgoing).await;
        let error = match sent {
            Ok(receipt) => match receipt.await {
                Ok(receipt) => {
                    self.last = Some(receipt.sequence);
                    return Ok(());
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if error.kind() == PublishErrorKind::WrongLastSequence {
            let there = last_sequence(&error.to_string());
            let newer = there > self.last;
            self.last = there;
            // a receipt was lost: the message is there
            if again && newer {
                return Ok(());
            }
        }
        Err(error.to_string())
    }
}

/// The number in the refusal `wrong last sequence: 17`.
fn last_sequence(refusal: &str) -> Option<u64> {
    let digits = refusal.split("last sequence: ").filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    });
    digits.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(session: u32, first: u64, frames: usize) -> SoundPiece {
        let (captured, coding) = (Instant::now(), ChunkCoding::Pcm);
        SoundPiece { pcm: PcmForm::default(), session, first, bytes: vec![1; 2 * frames], coding, captured }
    }

    #[test]
    fn sound_that_follows_is_joined_and_the_oldest_is_dropped() {
        let mut buffer = SoundBuffer::new(Duration::from_millis(100));
        for n in 0..5 {
            assert_eq!(buffer.push(piece(1, 320 * n, 320)), Duration::ZERO);
        }
        assert_eq!(buffer.push(piece(1, 1600, 320)), Duration::from_millis(20));
        let message = buffer.pop().unwrap();
        assert_eq!((message.first, message.frames()), (320, 1600));
        assert!(buffer.pop().is_none() && buffer.length.is_zero());

        // a gap, another session
        for (session, first) in [(1, 0), (1, 640), (2, 960)] {
            buffer.push(piece(session, first, 320));
        }
        let all: Vec<u64> = std::iter::from_fn(|| buffer.pop()).map(|message| message.frames()).collect();
        assert_eq!(all, [320, 320, 320]);

        let mut buffer = SoundBuffer::new(Duration::from_secs(60));
        (0..500).for_each(|n| assert!(buffer.push(piece(1, 320 * n, 320)).is_zero()));
        let most = std::iter::from_fn(|| buffer.pop()).map(|message| message.bytes.len()).max().unwrap();
        assert!(most <= LARGEST_CHUNK - CHUNK_HEADER && most > 60_000, "{most}");
    }

    #[test]
    fn the_number_in_a_refusal_is_read() {
        assert_eq!(last_sequence("wrong last sequence: wrong last sequence: 17 (code 400)"), Some(17));
        assert_eq!(last_sequence("wrong last sequence"), None);
    }
}
