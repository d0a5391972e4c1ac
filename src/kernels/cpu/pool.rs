//! Threads that take a share of the streams of a step.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::hop::{Room, clear, step};
use super::network::Network;
use super::simd::Simd;
use crate::error::{Error, Result};
use crate::kernels::Hops;
use crate::units::HOP;

/// Some streams of a step: they go to a thread and come back.
#[derive(Debug)]
struct Share {
    memories: Vec<Vec<f32>>,
    samples: Vec<f32>,
    hops: Hops,
    result: Result<()>,
}

#[derive(Debug)]
struct Helper {
    /// None once it is to end.
    work: Option<Sender<Share>>,
    done: Receiver<Share>,
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
        let from = |share: usize| share * streams / shares;
        let mut result = Ok(());
        for (i, helper) in self.helpers.iter_mut().take(helpers).enumerate().rev() {
            let samples = &samples[from(i + 1) * HOP..from(i + 2) * HOP];
            result = result.and(helper.send(memories.drain(from(i + 1)..), samples));
        }
        result = result.and(own(memories, &samples[..from(1) * HOP], hops));
        for helper in self.helpers.iter_mut().take(helpers) {
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

impl Helper {
    fn start<S: Simd>(s: S, network: Arc<Network>, number: usize) -> Result<Self> {
        let (work, to_do) = bounded::<Share>(1);
        let (finished, done) = bounded::<Share>(1);
        let mut room = Room::new(&network);
        let thread = Builder::new()
            .name(format!("hop {}", number + 1))
            .spawn(move || {
                for mut share in to_do {
                    let (memories, samples) = (&mut share.memories, &share.samples);
                    share.result = step(s, &network, memories, samples, &mut room, &mut share.hops);
                    if finished.send(share).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| Error::internal(format!("cannot start a thread of the model: {error}")))?;
        let share =
            Share { memories: Vec::new(), samples: Vec::new(), hops: Hops::default(), result: Ok(()) };
        Ok(Self { work: Some(work), done, share: Some(share), thread: Some(thread) })
    }

    fn send(&mut self, memories: impl Iterator<Item = Vec<f32>>, samples: &[f32]) -> Result<()> {
        let (Some(mut share), Some(work)) = (self.share.take(), &self.work) else { return Err(gone()) };
        share.memories.extend(memories);
        share.samples.clear();
        share.samples.extend_from_slice(samples);
        clear(&mut share.hops);
        work.send(share).map_err(|_| gone())
    }

    fn receive(&mut self, memories: &mut Vec<Vec<f32>>, hops: &mut Hops) -> Result<()> {
        let mut share = self.done.recv().map_err(|_| gone())?;
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
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has said so
            let _ = thread.join();
        }
    }
}
