//! Streams on the processor.

use std::sync::Arc;

use super::hop::{Scratch, clear, step};
use super::network::PackedNetwork;
use super::roofline::{Roofline, measure};
use super::simd::Simd;
use super::tiles::Tiles;
use super::widest::{Make, for_any, for_widest};
use super::worker_threads::WorkerThreads;
use crate::error::{Error, Result};
use crate::kernels::{Hops, Plan, Precision, Stepper, hops_each};

/// Least streams a thread; with fewer, one more thread costs more than it saves.
const LEAST_STREAMS: usize = 2;

/// Steps streams on the processor, with the widest registers that it has.
#[derive(Debug)]
pub struct CpuStepper {
    streams: Box<dyn DynStepper>,
}

/// A stepper without its register type.
trait DynStepper: Stepper {
    fn f32_multiply_adds(&self) -> usize;
    fn weight_bytes(&self) -> usize;
    fn roofline(&self) -> Roofline;
}

/// Arguments of a stepper's constructor.
struct StepperParts<'a> {
    plan: &'a Plan,
    precision: Precision,
    threads: usize,
}

impl Make for StepperParts<'_> {
    type Made = Result<CpuStepper>;

    fn make<S: Simd>(self, s: S) -> Result<CpuStepper> {
        CpuStepper::with(s, self.plan, self.precision, self.threads)
    }
}

impl CpuStepper {
    /// Packs the weights of `plan`. A step of enough streams is shared by `threads` threads, the caller's among them; 0
    /// counts as 1.
    ///
    /// Bf16 rounds weights; sums keep 32 bits and inputs too, or 16 where matrix registers multiply. Int8 rounds weights to a
    /// scale for each output and inputs to 15 bits of the largest of their row, w8a8 both to 8, int7 both to 7; their sums are
    /// exact. The bank has 8 bits then and its inputs 15. First layer, bands and gates keep 32 bits always.
    ///
    /// # Errors
    /// When parts of the plan do not fit together, for a precision that processors do not have, or when a thread cannot
    /// be started.
    pub fn new(plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        for_widest(StepperParts { plan, precision, threads })
    }

    /// The same with registers that every machine has.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn portable(plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        for_any(StepperParts { plan, precision, threads })
    }

    pub(super) fn with<S: Simd>(s: S, plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        let cause = match precision {
            Precision::Tf32 => Some("tf32 is a precision of GPUs, and the model runs on the processor"),
            Precision::Auto => Some("the precision auto has to be chosen before weights are packed"),
            _ => None,
        };
        if let Some(cause) = cause {
            return Err(Error::config(cause, "choose one of: f32, bf16, int8, w8a8, int7"));
        }
        let network = Arc::new(PackedNetwork::new(plan, precision, S::LANES)?);
        Ok(Self {
            streams: Box::new(StreamMemories::start(s, precision, network, threads.saturating_sub(1))?),
        })
    }

    /// Multiply-adds of a hop of one stream that are of 32 bits in any precision, or in this one.
    #[must_use]
    pub fn f32_multiply_adds(&self) -> usize {
        self.streams.f32_multiply_adds()
    }

    /// Bytes of weights that a hop reads, however many streams it steps.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.streams.weight_bytes()
    }

    /// Measures the roofline, the lower bound of a hop's duration; takes about a second.
    #[must_use]
    pub fn roofline(&self) -> Roofline {
        self.streams.roofline()
    }
}

impl Stepper for CpuStepper {
    fn rows(&self) -> usize {
        self.streams.rows()
    }

    fn reserve(&mut self, rows: usize) -> Result<()> {
        self.streams.reserve(rows)
    }

    fn memory(&self, row: usize, into: &mut Vec<f32>) -> Result<()> {
        self.streams.memory(row, into)
    }

    fn set_memory(&mut self, row: usize, memory: &[f32]) -> Result<()> {
        self.streams.set_memory(row, memory)
    }

    fn step(&mut self, rows: &[u32], samples: &[f32], hops: &mut Hops) -> Result<()> {
        self.streams.step(rows, samples, hops)
    }

    fn with_same_weights(&self) -> Result<Option<Box<dyn Stepper>>> {
        self.streams.with_same_weights()
    }

    fn instructions(&self) -> String {
        self.streams.instructions()
    }
}

#[derive(Debug)]
struct StreamMemories<S: Simd> {
    s: S,
    precision: Precision,
    network: Arc<PackedNetwork>,
    /// The memory of each row; empty while it is being stepped.
    memories: Vec<Vec<f32>>,
    /// The memories that are being stepped.
    taken: Vec<Vec<f32>>,
    scratch: Scratch,
    worker_threads: WorkerThreads,
}

impl<S: Simd> StreamMemories<S> {
    /// No rows yet; `workers` threads take a share of a step of enough of them.
    fn start(s: S, precision: Precision, network: Arc<PackedNetwork>, workers: usize) -> Result<Self> {
        let (scratch, worker_threads) = (Scratch::new(&network), WorkerThreads::start(s, &network, workers)?);
        Ok(Self { s, precision, network, memories: Vec::new(), taken: Vec::new(), scratch, worker_threads })
    }

    fn no_row(&self, row: usize) -> Error {
        Error::internal(format!("no row {row} among {} rows of streams", self.memories.len()))
    }

    /// Moves the memories of `rows` to `taken`, up to the first that is not there.
    fn take(&mut self, rows: &[u32]) -> Result<()> {
        self.taken.clear();
        for row in rows {
            let found = self.memories.get_mut(*row as usize).map(std::mem::take);
            match found {
                None => return Err(self.no_row(*row as usize)),
                Some(memory) if memory.is_empty() => {
                    return Err(Error::internal(format!("row {row} is named twice in a step")));
                }
                Some(memory) => self.taken.push(memory),
            }
        }
        Ok(())
    }

    /// Moves memories back from `taken`. Rows whose memory was lost with a thread start from the zero state.
    fn put_back(&mut self, rows: &[u32]) {
        for (row, memory) in rows.iter().zip(self.taken.drain(..)) {
            if let Some(place) = self.memories.get_mut(*row as usize) {
                *place = memory;
            }
        }
        for row in rows {
            if let Some(place) = self.memories.get_mut(*row as usize).filter(|place| place.is_empty()) {
                place.extend_from_slice(&self.network.fresh);
            }
        }
    }
}

impl<S: Simd> DynStepper for StreamMemories<S> {
    fn f32_multiply_adds(&self) -> usize {
        self.network.f32_multiply_adds()
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.network.weights())
    }

    fn roofline(&self) -> Roofline {
        measure(self.s, self.network.weights(), self.precision)
    }
}

impl<S: Simd> Stepper for StreamMemories<S> {
    fn rows(&self) -> usize {
        self.memories.len()
    }

    fn reserve(&mut self, rows: usize) -> Result<()> {
        if rows > self.memories.len() {
            self.memories.resize(rows, self.network.fresh.clone());
            self.taken.reserve(rows);
        }
        Ok(())
    }

    fn memory(&self, row: usize, into: &mut Vec<f32>) -> Result<()> {
        into.extend_from_slice(self.memories.get(row).ok_or_else(|| self.no_row(row))?);
        Ok(())
    }

    fn set_memory(&mut self, row: usize, memory: &[f32]) -> Result<()> {
        if memory.len() != self.network.map.len {
            return Err(Error::internal(format!(
                "a memory of {} numbers, {} expected",
                memory.len(),
                self.network.map.len
            )));
        }
        let missing = self.no_row(row);
        self.memories.get_mut(row).ok_or(missing)?.copy_from_slice(memory);
        Ok(())
    }

    fn step(&mut self, rows: &[u32], samples: &[f32], hops: &mut Hops) -> Result<()> {
        clear(hops);
        hops_each(rows, samples)?;
        let result = self.take(rows).and_then(|()| {
            let workers = self.worker_threads.len().min((rows.len() / LEAST_STREAMS).saturating_sub(1));
            if workers > 0 {
                return self.worker_threads.step(
                    workers,
                    &mut self.taken,
                    samples,
                    hops,
                    |memories, samples, hops| {
                        step(self.s, &self.network, memories, samples, &mut self.scratch, hops)
                    },
                );
            }
            step(self.s, &self.network, &mut self.taken, samples, &mut self.scratch, hops)
        });
        self.put_back(rows);
        result
    }

    fn with_same_weights(&self) -> Result<Option<Box<dyn Stepper>>> {
        let network = Arc::clone(&self.network);
        let streams = Box::new(Self::start(self.s, self.precision, network, self.worker_threads.len())?);
        Ok(Some(Box::new(CpuStepper { streams })))
    }

    fn instructions(&self) -> String {
        let vectors = match self.s.dot() {
            Some(_) if self.precision.is_integer() => S::Dot::NAME,
            _ => S::NAME,
        };
        match self.s.tiles() {
            Some(_) if self.precision != Precision::F32 => format!("{vectors} and {}", S::Tiles::NAME),
            _ => vectors.to_owned(),
        }
    }
}
