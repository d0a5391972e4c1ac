//! Streams on the processor.

use std::sync::Arc;

use super::hop::{Room, clear, step};
use super::limits::{Limits, measure};
use super::network::Network;
use super::pool::Pool;
use super::simd::Simd;
use super::widest::{Make, for_any, for_widest};
use crate::error::{Error, Result};
use crate::kernels::{Hops, Plan, Precision, Stepper, hops_each};

/// Streams that threads must have each before another one pays.
const LEAST_STREAMS: usize = 2;

/// Steps streams on the processor, with the widest registers that it has.
#[derive(Debug)]
pub struct CpuStepper {
    streams: Box<dyn Streams>,
}

/// A stepper for one kind of registers.
trait Streams: Stepper {
    fn registers(&self) -> &'static str;
    fn weight_bytes(&self) -> usize;
    fn limits(&self) -> Limits;
}

/// What a stepper is made of.
struct Streamed<'a> {
    plan: &'a Plan,
    precision: Precision,
    threads: usize,
}

impl Make for Streamed<'_> {
    type Made = Result<CpuStepper>;

    fn make<S: Simd>(self, s: S) -> Result<CpuStepper> {
        CpuStepper::with(s, self.plan, self.precision, self.threads)
    }
}

impl CpuStepper {
    /// Packs the weights of `plan`. A step of enough streams is shared by `threads` threads, the caller's among them; 0
    /// counts as 1.
    ///
    /// Bf16 rounds weights; inputs and sums keep 32 bits. Int8 rounds weights to a scale for each output and inputs to 15
    /// bits of the largest of their row, int7 both to 7; their sums are exact. First layer, bank, bands and gates keep
    /// 32 bits always.
    ///
    /// # Errors
    /// When parts of the plan do not fit together, for a precision that processors do not have, or when a thread cannot
    /// be started.
    pub fn new(plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        for_widest(Streamed { plan, precision, threads })
    }

    /// The same with registers that every machine has.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn portable(plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        for_any(Streamed { plan, precision, threads })
    }

    pub(super) fn with<S: Simd>(s: S, plan: &Plan, precision: Precision, threads: usize) -> Result<Self> {
        if precision == Precision::Tf32 {
            let cause = "tf32 is a precision of GPUs, and the model runs on the processor";
            return Err(Error::config(cause, "choose one of: f32, bf16, int8, int7"));
        }
        let network = Arc::new(Network::new(plan, precision, S::LANES)?);
        Ok(Self { streams: Box::new(Rows::start(s, precision, network, threads.saturating_sub(1))?) })
    }

    /// What registers it uses: `AVX2`, `AVX2 with VNNI`, `AVX-512`, `AVX-512 with VNNI` or `portable`.
    #[must_use]
    pub fn registers(&self) -> &'static str {
        self.streams.registers()
    }

    /// Bytes of weights that a hop reads, however many streams it steps.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.streams.weight_bytes()
    }

    /// Measures what no hop can be faster than; takes about a second.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.streams.limits()
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
}

#[derive(Debug)]
struct Rows<S: Simd> {
    s: S,
    precision: Precision,
    network: Arc<Network>,
    /// The memory of each row; empty while it is being stepped.
    memories: Vec<Vec<f32>>,
    /// The memories that are being stepped.
    taken: Vec<Vec<f32>>,
    room: Room,
    pool: Pool,
}

impl<S: Simd> Rows<S> {
    /// No rows yet; `helpers` threads take a share of a step of enough of them.
    fn start(s: S, precision: Precision, network: Arc<Network>, helpers: usize) -> Result<Self> {
        let (room, pool) = (Room::new(&network), Pool::start(s, &network, helpers)?);
        Ok(Self { s, precision, network, memories: Vec::new(), taken: Vec::new(), room, pool })
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

    /// Moves memories back from `taken`. Rows whose memory was lost with a thread have heard nothing.
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

impl<S: Simd> Streams for Rows<S> {
    fn registers(&self) -> &'static str {
        self.s.dot().map_or(S::NAME, |_| S::Dot::NAME)
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.network.weights())
    }

    fn limits(&self) -> Limits {
        measure(self.s, self.network.weights(), self.precision)
    }
}

impl<S: Simd> Stepper for Rows<S> {
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
            let helpers = self.pool.len().min((rows.len() / LEAST_STREAMS).saturating_sub(1));
            if helpers > 0 {
                return self.pool.step(helpers, &mut self.taken, samples, hops, |memories, samples, hops| {
                    step(self.s, &self.network, memories, samples, &mut self.room, hops)
                });
            }
            step(self.s, &self.network, &mut self.taken, samples, &mut self.room, hops)
        });
        self.put_back(rows);
        result
    }

    fn with_same_weights(&self) -> Result<Option<Box<dyn Stepper>>> {
        let network = Arc::clone(&self.network);
        let streams = Box::new(Self::start(self.s, self.precision, network, self.pool.len())?);
        Ok(Some(Box::new(CpuStepper { streams })))
    }
}
