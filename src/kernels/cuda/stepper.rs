//! Streams on the GPU.

use std::collections::BTreeMap;

use super::super::{Hops, MemoryMap, Plan, Precision, Stepper, hops_each};
use super::device::{Buffer, Gpu, Graph, Pinned};
use super::network::{DeviceNetwork, Scratch, mask_len, supports};
use crate::error::{Error, Result};
use crate::units::HOP;

/// Graphs that are kept; the one for the fewest rows goes first, since streams come more often than they go.
const GRAPHS: usize = 16;

/// Steps a plan on one GPU.
#[derive(Debug)]
pub struct GpuStepper {
    gpu: Gpu,
    network: DeviceNetwork,
    /// Layout of a memory as callers see it.
    map: MemoryMap,
    fresh: Vec<f32>,
    buffers: DeviceBuffers,
    rows: usize,
    /// Keyed by the number of rows and of values that are copied back.
    graphs: BTreeMap<(usize, usize), Graph>,
}

/// Buffers whose size depends on the capacity in rows.
#[derive(Debug)]
struct DeviceBuffers {
    capacity: usize,
    memory: Buffer,
    scratch: Scratch,
    up: Pinned,
    down: Pinned,
}

impl DeviceBuffers {
    fn new(gpu: &Gpu, network: &DeviceNetwork, capacity: usize) -> Result<Self> {
        Ok(Self {
            capacity,
            memory: gpu.zeros(capacity * network.map.len)?,
            scratch: network.scratch(gpu, capacity)?,
            up: gpu.pinned(mask_len(capacity) + capacity * HOP)?,
            down: gpu.pinned(capacity * network.outputs().iter().sum::<usize>())?,
        })
    }
}

/// Rows that a graph is made for when `rows` are stepped: at most an eighth more.
fn bucket(rows: usize) -> usize {
    let step = (rows.next_power_of_two() / 16).max(1);
    rows.next_multiple_of(step)
}

impl GpuStepper {
    /// A plan on GPU number `ordinal`; no rows yet.
    ///
    /// # Errors
    /// When there is no such GPU, it cannot hold the plan, the plan has a layer wider than its kernels take, or
    /// `precision` is none of a GPU.
    pub fn new(plan: &Plan, ordinal: usize, precision: Precision) -> Result<Self> {
        let mut gpu = Gpu::open(ordinal, precision)?;
        let network = DeviceNetwork::new(&mut gpu, plan)?;
        let buffers = DeviceBuffers::new(&gpu, &network, 1)?;
        let (map, fresh) = (plan.memory(), plan.fresh.clone());
        Ok(Self { gpu, network, map, fresh, buffers, rows: 0, graphs: BTreeMap::new() })
    }

    /// Whether its kernels know a plan.
    #[must_use]
    pub fn supports(plan: &Plan) -> bool {
        supports(plan)
    }

    fn check(&self, row: usize) -> Result<usize> {
        let known = row < self.rows;
        known
            .then_some(row * self.network.map.len)
            .ok_or_else(|| Error::internal(format!("row {row} of {}", self.rows)))
    }

    fn graph(&mut self, rows: usize, wanted: usize) -> Result<()> {
        if self.graphs.contains_key(&(rows, wanted)) {
            return Ok(());
        }
        if self.graphs.len() >= GRAPHS {
            self.graphs.pop_first();
        }
        let Self { gpu, network, buffers, .. } = self;
        let DeviceBuffers { memory, scratch, up, down, .. } = buffers;
        let graph = gpu.record(|| network.enqueue(gpu, scratch, memory, rows, (up, down, wanted)))?;
        self.graphs.insert((rows, wanted), graph);
        Ok(())
    }
}

/// Moves the parts of a memory from one layout to another.
fn rearrange(numbers: &[f32], from: &MemoryMap, to: &MemoryMap, into: &mut [f32]) {
    for (from, to) in from.parts().into_iter().zip(to.parts()) {
        if let (Some(from), Some(to)) = (numbers.get(from), into.get_mut(to)) {
            to.copy_from_slice(from);
        }
    }
}

impl Stepper for GpuStepper {
    fn instructions(&self) -> String {
        "CUDA".to_owned()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn reserve(&mut self, rows: usize) -> Result<()> {
        if rows > self.buffers.capacity {
            let capacity = rows.max(bucket(self.buffers.capacity + self.buffers.capacity / 2));
            self.graphs.clear();
            let mut buffers = DeviceBuffers::new(&self.gpu, &self.network, capacity)?;
            self.gpu.copy(&self.buffers.memory, &mut buffers.memory, self.rows * self.network.map.len)?;
            self.gpu.wait()?;
            self.buffers = buffers;
        }
        let fresh = self.fresh.clone();
        while self.rows < rows {
            self.rows += 1;
            self.set_memory(self.rows - 1, &fresh)?;
        }
        Ok(())
    }

    fn memory(&self, row: usize, into: &mut Vec<f32>) -> Result<()> {
        let mut own = vec![0.0; self.network.map.len];
        self.gpu.read(&self.buffers.memory, self.check(row)?, &mut own)?;
        let from = into.len();
        into.resize(from + self.map.len, 0.0);
        rearrange(&own, &self.network.map, &self.map, into.get_mut(from..).unwrap_or_default());
        Ok(())
    }

    fn set_memory(&mut self, row: usize, memory: &[f32]) -> Result<()> {
        let at = self.check(row)?;
        if memory.len() != self.map.len {
            return Err(Error::internal(format!(
                "{} numbers for a memory of {}",
                memory.len(),
                self.map.len
            )));
        }
        let mut own = vec![0.0; self.network.map.len];
        rearrange(memory, &self.map, &self.network.map, &mut own);
        self.gpu.write(&mut self.buffers.memory, at, &own)
    }

    fn step(&mut self, rows: &[u32], samples: &[f32], hops: &mut Hops) -> Result<()> {
        let each = hops_each(rows, samples)?;
        let Hops { pmi, latents, contexts, bands, .. } = hops;
        let sizes = self.network.outputs();
        for (size, into) in sizes.into_iter().zip([pmi, bands, latents, contexts]) {
            into.clear();
            into.resize(rows.len() * each * size, 0.0);
        }
        (0..each).try_for_each(|hop| self.hop(rows, samples, (hop, each), hops))
    }
}

impl GpuStepper {
    /// Steps `rows` by hop `hop` of the `each` that `samples` hold of each of them.
    fn hop(
        &mut self,
        rows: &[u32],
        samples: &[f32],
        (hop, each): (usize, usize),
        hops: &mut Hops,
    ) -> Result<()> {
        let Some(&highest) = rows.iter().max() else { return Ok(()) };
        self.check(highest as usize)?;
        let count = bucket(highest as usize + 1).min(self.buffers.capacity);
        let up = self.buffers.up.numbers_mut()?;
        let (mask, sound) = up.split_at_mut(mask_len(count));
        mask.fill(0.0);
        for (&row, sound_of_row) in rows.iter().zip(samples.chunks_exact(HOP).skip(hop).step_by(each)) {
            let row = row as usize;
            if let (Some(active), Some(to)) = (mask.get_mut(row), sound.get_mut(row * HOP..(row + 1) * HOP)) {
                *active = 1.0;
                to.copy_from_slice(sound_of_row);
            }
        }
        let lengths = self.network.outputs();
        let wanted = count * if hops.scores_only { lengths[0] } else { lengths.iter().sum() };
        self.graph(count, wanted)?;
        if let Some(graph) = self.graphs.get(&(count, wanted)) {
            self.gpu.run(graph)?;
        }
        let mut rest = self.buffers.down.numbers()?.get(..wanted).unwrap_or_default();
        let Hops { pmi, latents, contexts, bands, .. } = hops;
        for (length, into) in lengths.into_iter().zip([pmi, bands, latents, contexts]) {
            let (part, behind) = rest.split_at((count * length).min(rest.len()));
            rest = behind;
            if part.is_empty() {
                into.clear();
            }
            let places = into.chunks_exact_mut(length.max(1)).skip(hop).step_by(each);
            for (&row, place) in rows.iter().zip(places) {
                let at = row as usize * length;
                if let Some(found) = part.get(at..at + length) {
                    place.copy_from_slice(found);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_for_at_most_an_eighth_more_rows_than_are_stepped() {
        for rows in 1..40_000 {
            let made = bucket(rows);
            assert!(made >= rows && made - rows <= rows / 8, "{rows}: {made}");
            assert_eq!(bucket(made), made);
        }
    }
}
