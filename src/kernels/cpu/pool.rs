//! Threads that take a share of the streams of a step.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::hop::{Room, clear, step};
use super::network::Network;
use super::simd::Simd;
use crate::error::{Error, Result};
use crate::kernels::Hops;

/// Some streams of a step: they go to a thread and come back.
#[derive(Debug)]
struct Share {
    memories: Vec<Vec<f32>>,
    samples: Vec<f32>,
    hops: Hops,
    result: Result<()>,
}

/// Where a share lies between two threads. Channels would do, but allocate when somebody first has to wait.
#[derive(Debug, Default)]
struct Desk {
    stage: Mutex<Stage>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Empty,
    ToDo(Share),
    Done(Share),
    /// One of the two is gone.
    Ended,
}

impl Desk {
    fn put(&self, stage: Stage) {
        let mut place = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*place, Stage::Ended) {
            *place = stage;
        }
        self.changed.notify_all();
    }

    /// Waits for a stage that `wanted` gives a share of, or for the end.
    fn take(&self, wanted: impl Fn(&mut Stage) -> Option<Share>) -> Option<Share> {
        let mut place: MutexGuard<'_, Stage> = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(share) = wanted(&mut place) {
                return Some(share);
            }
            if matches!(*place, Stage::Ended) {
                return None;
            }
            place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Tells the other side when this one ends, in whatever way.
#[derive(Debug)]
struct Seat(Arc<Desk>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.put(Stage::Ended);
    }
}

#[derive(Debug)]
struct Helper {
    /// None once it is to end.
    desk: Option<Seat>,
    /// The share while it is here.
    share: Option<Share>,
    thread: Option<JoinHandle<()>>,
}

/// Threads that wait for work. Shares and their buffers go round, so that nothing is allocated once they have grown.
#[derive(Debug)]
pub(super) struct Pool {
    helpers: Vec<Helper>,
}

impl Pool {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system has no more.
    pub(super) fn start<S: Simd>(s: S, network: &Arc<Network>, count: usize) -> Result<Self> {
        let helpers = (0..count).map(|i| Helper::start(s, Arc::clone(network), i)).collect::<Result<_>>()?;
        Ok(Self { helpers })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.helpers.len()
    }

    /// Steps streams in `helpers` + 1 shares: all but the first by threads, the first by `own` meanwhile.
    ///
    /// # Errors
    /// When a share fails, or its thread is gone; then no memories are left in `memories`.
    pub(super) fn step(
        &mut self,
        helpers: usize,
        memories: &mut Vec<Vec<f32>>,
        samples: &[f32],
        hops: &mut Hops,
        own: impl FnOnce(&mut [Vec<f32>], &[f32], &mut Hops) -> Result<()>,
    ) -> Result<()> {
        let (streams, shares) = (memories.len(), helpers + 1);
        let each = samples.len() / streams.max(1);
        let from = |share: usize| share * streams / shares;
        let mut result = Ok(());
        for (i, helper) in self.helpers.iter_mut().take(helpers).enumerate().rev() {
            let samples = &samples[from(i + 1) * each..from(i + 2) * each];
            result = result.and(helper.send(memories.drain(from(i + 1)..), samples));
        }
        result = result.and(own(memories, &samples[..from(1) * each], hops));
        for helper in self.helpers.iter_mut().take(helpers).filter(|helper| helper.share.is_none()) {
            result = result.and(helper.receive(memories, hops));
        }
        if memories.len() < streams {
            // who is missing is not known
            memories.clear();
        }
        result
    }
}

fn gone() -> Error {
    Error::internal("a thread of the model has ended")
}

fn to_do(stage: &mut Stage) -> Option<Share> {
    match std::mem::take(stage) {
        Stage::ToDo(share) => Some(share),
        other => {
            *stage = other;
            None
        }
    }
}

fn done(stage: &mut Stage) -> Option<Share> {
    match std::mem::take(stage) {
        Stage::Done(share) => Some(share),
        other => {
            *stage = other;
            None
        }
    }
}

impl Helper {
    fn start<S: Simd>(s: S, network: Arc<Network>, number: usize) -> Result<Self> {
        let desk = Arc::new(Desk::default());
        let seat = Seat(Arc::clone(&desk));
        let mut room = Room::new(&network);
        let thread = Builder::new()
            .name(format!("hop {}", number + 1))
            .spawn(move || {
                while let Some(mut share) = seat.0.take(to_do) {
                    let (memories, samples) = (&mut share.memories, &share.samples);
                    share.result = step(s, &network, memories, samples, &mut room, &mut share.hops);
                    seat.0.put(Stage::Done(share));
                }
            })
            .map_err(|error| Error::internal(format!("cannot start a thread of the model: {error}")))?;
        let share =
            Share { memories: Vec::new(), samples: Vec::new(), hops: Hops::default(), result: Ok(()) };
        Ok(Self { desk: Some(Seat(desk)), share: Some(share), thread: Some(thread) })
    }

    fn send(&mut self, memories: impl Iterator<Item = Vec<f32>>, samples: &[f32]) -> Result<()> {
        let (Some(mut share), Some(desk)) = (self.share.take(), &self.desk) else { return Err(gone()) };
        share.memories.extend(memories);
        share.samples.clear();
        share.samples.extend_from_slice(samples);
        clear(&mut share.hops);
        desk.0.put(Stage::ToDo(share));
        Ok(())
    }

    fn receive(&mut self, memories: &mut Vec<Vec<f32>>, hops: &mut Hops) -> Result<()> {
        let mut share = self.desk.as_ref().and_then(|desk| desk.0.take(done)).ok_or_else(gone)?;
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

impl Drop for Helper {
    fn drop(&mut self) {
        self.desk = None;
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has said so
            let _ = thread.join();
        }
    }
}
