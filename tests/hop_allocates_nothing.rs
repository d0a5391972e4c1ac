//! A hop of as many streams as before allocates nothing, on any number of threads; nor does a row of the critic, nor a frame
//! that is used again.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Device;
use cpc_stream::internal::kernels::{CpuCritic, CpuStepper, Hops, Precision, Stepper};
use cpc_stream::internal::model::{Architecture, BANK, Cpc, LiveBatch, load, plan_of};
use cpc_stream::internal::nn::{Tensors, uniform};
use cpc_stream::internal::units::HOP;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Of all threads: the test is alone in this file.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator; counting touches only an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn model(architecture: &Architecture) -> Cpc {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
    let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let bank = uniform(&mut rng, &[20, architecture.encoder.latent()], 1.0, &Device::Cpu).unwrap();
    tensors.insert(BANK.to_owned(), bank.abs().unwrap());
    Cpc::load(&tensors, architecture).unwrap()
}

#[test]
fn a_hundred_hops_allocate_nothing() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 2, "the count itself works");
    for architecture in [Architecture::edge(), Architecture::spectral()] {
        let plan = plan_of(&model(&architecture)).unwrap().unwrap();
        for precision in Precision::OF_PROCESSORS {
            for threads in [1, 2, 3] {
                let mut stepper = CpuStepper::new(&plan, precision, threads).unwrap();
                stepper.reserve(9).unwrap();
                let (rows, samples) = ([0u32, 8, 3, 4, 1, 2], [0.1; 9 * HOP]);
                let [mut hops, mut some, mut several] = [(); 3].map(|()| Hops::default());
                // two rows take three hops in a row
                let mut step = |rows: &[u32], hops: &mut Hops| {
                    let each = if rows.len() == 2 { 3 } else { 1 };
                    stepper.step(rows, &samples[..rows.len() * each * HOP], hops).unwrap();
                };
                for _ in 0..3 {
                    step(&rows, &mut hops);
                    step(&rows[2..3], &mut some);
                    step(&rows[..2], &mut several);
                }
                let counted = allocations(|| {
                    for _ in 0..100 {
                        step(&rows, &mut hops);
                        step(&rows[2..3], &mut some);
                        step(&rows[..2], &mut several);
                    }
                });
                assert_eq!(counted, 0, "allocations in 300 steps of {precision} on {threads} threads");
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cpc-edge.safetensors");
    let (_, cpc) = load(path.as_ref(), &Device::Cpu).unwrap();
    let critic = cpc.critic().unwrap();
    let (live, row) = (CpuCritic::new(&critic.plan().unwrap()).unwrap(), vec![0.1; critic.config().inputs()]);
    let mut memory = live.fresh();
    live.step(&row, &mut memory);
    let counted = allocations(|| (0..100).for_each(|_| assert!(live.step(&row, &mut memory).is_finite())));
    assert_eq!(counted, 0, "rows of the critic");

    let mut batch = LiveBatch::new(Arc::new(cpc)).unwrap();
    let hops = [(batch.join(0).unwrap(), [0.1; HOP]), (batch.join(7).unwrap(), [0.2; HOP])];
    let mut frames = Vec::new();
    let mut step = || {
        batch.step(&hops, &mut frames).unwrap();
        frames.drain(..).for_each(|frame| batch.reuse(frame));
    };
    (0..3).for_each(|_| step());
    assert_eq!(allocations(|| (0..100).for_each(|_| step())), 0, "frames that are used again");
}
