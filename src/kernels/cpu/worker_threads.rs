//! Worker threads that step a share of the streams.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use thread_priority::{
    ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    thread_schedule_policy_param,
};

use super::hop::{Scratch, clear, step};
use super::network::PackedNetwork;
use super::simd::Simd;
use crate::error::{Error, Result};
use crate::kernels::Hops;

/// The streams of a step that one worker takes, with their results.
#[derive(Debug)]
struct Share {
    memories: Vec<Vec<f32>>,
    samples: Vec<f32>,
    hops: Hops,
    /// The real-time scheduling of the thread that waits for it, if that has any.
    urgency: Option<Urgency>,
    result: Result<()>,
}

type Urgency = (ThreadSchedulePolicy, ThreadPriority);

/// The real-time scheduling of the calling thread, if it has any.
fn urgency() -> Option<Urgency> {
    match thread_schedule_policy_param(thread_native_id()) {
        Ok((policy @ ThreadSchedulePolicy::Realtime(_), params)) => {
            Some((policy, ThreadPriority::from_posix(params)))
        }
        _ => None,
    }
}

/// Hands a share from one thread to another and back. Not a channel, since channels allocate at the first wait.
#[derive(Debug, Default)]
struct Mailbox {
    state: Mutex<MailboxState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum MailboxState {
    #[default]
    Empty,
    Pending(Share),
    Done(Share),
    /// One of the two threads has ended.
    Closed,
}

impl Mailbox {
    fn put(&self, state: MailboxState) {
        let mut place = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*place, MailboxState::Closed) {
            *place = state;
        }
        self.changed.notify_all();
    }

    /// Waits until `wanted` takes a share, or until the other thread has ended.
    fn take(&self, wanted: impl Fn(&mut MailboxState) -> Option<Share>) -> Option<Share> {
        let mut place: MutexGuard<'_, MailboxState> =
            self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(share) = wanted(&mut place) {
                return Some(share);
            }
            if matches!(*place, MailboxState::Closed) {
                return None;
            }
            place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Marks the mailbox as closed when its thread ends, also by a panic.
#[derive(Debug)]
struct MailboxEnd(Arc<Mailbox>);

impl Drop for MailboxEnd {
    fn drop(&mut self) {
        self.0.put(MailboxState::Closed);
    }
}

#[derive(Debug)]
struct Worker {
    /// `None` once the thread is told to end.
    mailbox: Option<MailboxEnd>,
    /// The share while no thread works on it.
    share: Option<Share>,
    thread: Option<JoinHandle<()>>,
}

/// Threads that wait for shares. Shares and their buffers are reused, so that nothing is allocated once they have
/// grown.
#[derive(Debug)]
pub(super) struct WorkerThreads {
    workers: Vec<Worker>,
}

impl WorkerThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system has no more.
    pub(super) fn start<S: Simd>(s: S, network: &Arc<PackedNetwork>, count: usize) -> Result<Self> {
        let workers = (0..count).map(|i| Worker::start(s, Arc::clone(network), i)).collect::<Result<_>>()?;
        Ok(Self { workers })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Steps streams in `workers` + 1 shares: all but the first by threads, the first by `own` meanwhile.
    ///
    /// # Errors
    /// When a share fails, or its thread is gone; then no memories are left in `memories`.
    pub(super) fn step(
        &mut self,
        workers: usize,
        memories: &mut Vec<Vec<f32>>,
        samples: &[f32],
        hops: &mut Hops,
        own: impl FnOnce(&mut [Vec<f32>], &[f32], &mut Hops) -> Result<()>,
    ) -> Result<()> {
        let (streams, shares) = (memories.len(), workers + 1);
        let each = samples.len() / streams.max(1);
        let from = |share: usize| share * streams / shares;
        let mut result = Ok(());
        for (i, worker) in self.workers.iter_mut().take(workers).enumerate().rev() {
            let samples = &samples[from(i + 1) * each..from(i + 2) * each];
            result = result.and(worker.send(memories.drain(from(i + 1)..), samples));
        }
        result = result.and(own(memories, &samples[..from(1) * each], hops));
        for worker in self.workers.iter_mut().take(workers).filter(|worker| worker.share.is_none()) {
            result = result.and(worker.receive(memories, hops));
        }
        if memories.len() < streams {
            // which streams are missing is unknown
            memories.clear();
        }
        result
    }
}

fn thread_ended() -> Error {
    Error::internal("a thread of the model has ended")
}

fn take_pending(state: &mut MailboxState) -> Option<Share> {
    match std::mem::take(state) {
        MailboxState::Pending(share) => Some(share),
        other => {
            *state = other;
            None
        }
    }
}

fn take_done(state: &mut MailboxState) -> Option<Share> {
    match std::mem::take(state) {
        MailboxState::Done(share) => Some(share),
        other => {
            *state = other;
            None
        }
    }
}

impl Worker {
    fn start<S: Simd>(s: S, network: Arc<PackedNetwork>, number: usize) -> Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let end = MailboxEnd(Arc::clone(&mailbox));
        let mut scratch = Scratch::new(&network);
        let thread = Builder::new()
            .name(format!("hop {}", number + 1))
            .spawn(move || {
                let mut own = None;
                while let Some(mut share) = end.0.take(take_pending) {
                    if let Some((policy, priority)) = share.urgency.filter(|_| share.urgency != own) {
                        // who waits was granted it; where this thread is not, it goes on as it is
                        let _ = set_thread_priority_and_policy(thread_native_id(), priority, policy);
                        own = share.urgency;
                    }
                    let (memories, samples) = (&mut share.memories, &share.samples);
                    share.result = step(s, &network, memories, samples, &mut scratch, &mut share.hops);
                    end.0.put(MailboxState::Done(share));
                }
            })
            .map_err(|error| Error::no_thread("of the model", &error))?;
        let share = Share {
            memories: Vec::new(),
            samples: Vec::new(),
            hops: Hops::default(),
            urgency: None,
            result: Ok(()),
        };
        Ok(Self { mailbox: Some(MailboxEnd(mailbox)), share: Some(share), thread: Some(thread) })
    }

    fn send(&mut self, memories: impl Iterator<Item = Vec<f32>>, samples: &[f32]) -> Result<()> {
        let (Some(mut share), Some(mailbox)) = (self.share.take(), &self.mailbox) else {
            return Err(thread_ended());
        };
        share.memories.extend(memories);
        share.samples.clear();
        share.samples.extend_from_slice(samples);
        clear(&mut share.hops);
        share.urgency = urgency();
        mailbox.0.put(MailboxState::Pending(share));
        Ok(())
    }

    fn receive(&mut self, memories: &mut Vec<Vec<f32>>, hops: &mut Hops) -> Result<()> {
        let mut share =
            self.mailbox.as_ref().and_then(|mailbox| mailbox.0.take(take_done)).ok_or_else(thread_ended)?;
        memories.append(&mut share.memories);
        hops.pmi.extend_from_slice(&share.hops.pmi);
        hops.latents.extend_from_slice(&share.hops.latents);
        hops.contexts.extend_from_slice(&share.hops.contexts);
        hops.bands.extend_from_slice(&share.hops.bands);
        let result = std::mem::replace(&mut share.result, Ok(()));
        self.share = Some(share);
        result
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox = None;
        if let Some(thread) = self.thread.take() {
            // the panic hook has logged a panic of the thread
            let _ = thread.join();
        }
    }
}
