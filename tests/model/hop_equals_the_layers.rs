//! The kernels on the processor say what the layers say, for every kind of model that they know and whoever is in a
//! step; and they remember the same, so that a stream can go on with either.

use crate::support::models::{kinds, largest, random};
use candle_core::{Device, Tensor};
use cpc_stream::internal::kernels::{CpuStepper, Hops, Precision, Stepper};
use cpc_stream::internal::model::{Cpc, CpcState, Stepping, max_pmi_difference, plan_of};
use cpc_stream::internal::nn::BatchState;
use cpc_stream::internal::units::HOP;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn remembered(state: &CpcState) -> Vec<f32> {
    state.tensors().into_iter().flat_map(numbers).collect()
}

/// Streams pause, join and begin anew at random for `steps` steps. The largest difference of pmi, z, c, bands and memory.
fn compare(cpc: &Cpc, (precision, threads): (Precision, usize), streams: usize, steps: usize) -> [f32; 5] {
    let plan = plan_of(cpc).unwrap().unwrap();
    let mut stepper = CpuStepper::new(&plan, precision, threads).unwrap();
    let mut states: Vec<CpcState> = Vec::new();
    let mut rng = ChaCha8Rng::seed_from_u64(streams as u64);
    let (mut hops, mut worst) = (Hops::default(), [0f32; 5]);
    let mut note = |which: usize, a: &[f32], b: &[f32]| worst[which] = worst[which].max(largest(a, b));
    for step in 0..steps {
        if states.len() < streams && (states.is_empty() || rng.random_bool(0.7)) {
            states.push(cpc.zero_state(1).unwrap());
            stepper.reserve(states.len()).unwrap();
        }
        if rng.random_bool(0.05) {
            let row = rng.random_range(0..states.len());
            states[row] = cpc.zero_state(1).unwrap();
            stepper.set_memory(row, &plan.fresh).unwrap();
        }
        let mut rows: Vec<u32> = (0..states.len() as u32).filter(|_| rng.random_bool(0.8)).collect();
        if rng.random_bool(0.5) {
            rows.reverse();
        }
        let loud = if step % 20 < 10 { 0.01 } else { 0.5 };
        let sound: Vec<f32> = (0..rows.len() * HOP).map(|_| rng.random_range(-loud..loud)).collect();
        stepper.step(&rows, &sound, &mut hops).unwrap();
        for (i, (row, sound)) in rows.iter().zip(sound.chunks_exact(HOP)).enumerate() {
            let sound = Tensor::from_slice(sound, (1, HOP), &Device::Cpu).unwrap();
            let expected = cpc.step(&sound, &mut states[*row as usize]).unwrap();
            let pmi = expected.pmi.unwrap();
            let found = [&hops.pmi, &hops.latents, &hops.contexts, &hops.bands];
            let expected = [&pmi, &expected.latents, &expected.contexts, &expected.bands];
            for (which, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let expected = numbers(expected);
                note(which, &found[i * expected.len()..(i + 1) * expected.len()], &expected);
            }
        }
    }
    for (row, state) in states.iter().enumerate() {
        let mut memory = Vec::new();
        stepper.memory(row, &mut memory).unwrap();
        note(4, &memory, &remembered(state));
    }
    worst
}

#[test]
fn for_every_kind_of_model_and_number_of_streams() {
    for (name, architecture) in kinds() {
        let cpc = random(&architecture);
        for (streams, threads) in [(1, 1), (3, 1), (11, 2)] {
            let worst = compare(&cpc, (Precision::F32, threads), streams, 50);
            eprintln!("{name}, {streams} streams, {threads} threads: {worst:?}");
            assert!(worst.iter().all(|d| *d <= 2e-5), "{name}, {streams} streams: {worst:?}");
        }
    }
}

/// Bounds of pmi in nats, z and c.
#[test]
fn fewer_bits_stay_near() {
    for (precision, bounds) in [
        (Precision::Bf16, [0.01, 0.03, 0.01]),
        (Precision::Int8, [0.02, 0.06, 0.03]),
        (Precision::W8a8, [0.02, 0.1, 0.06]),
        (Precision::Int7, [0.1, 0.3, 0.15]),
    ] {
        for (name, architecture) in kinds() {
            let worst = compare(&random(&architecture), (precision, 1), 3, 50);
            eprintln!("{name}, {precision}: {worst:?}");
            assert!(worst.iter().zip(bounds).all(|(d, most)| *d <= most), "{name}, {precision}: {worst:?}");
        }
    }
}

#[test]
fn a_stream_goes_on_with_kernels() {
    for (name, architecture) in kinds() {
        let cpc = random(&architecture);
        let mut stepper = CpuStepper::new(&plan_of(&cpc).unwrap().unwrap(), Precision::F32, 1).unwrap();
        stepper.reserve(1).unwrap();
        let mut state = cpc.zero_state(1).unwrap();
        let (mut rng, mut hops) = (ChaCha8Rng::seed_from_u64(9), Hops::default());
        for step in 0..40 {
            let sound: Vec<f32> = (0..HOP).map(|_| rng.random_range(-0.1..0.1)).collect();
            if step == 20 {
                stepper.set_memory(0, &remembered(&state)).unwrap();
            }
            stepper.step(&[0], &sound, &mut hops).unwrap();
            let expected =
                cpc.step(&Tensor::from_vec(sound, (1, HOP), &Device::Cpu).unwrap(), &mut state).unwrap();
            if step >= 20 {
                let worst = largest(&hops.pmi, &numbers(&expected.pmi.unwrap()));
                assert!(worst <= 2e-5, "{name}: {worst}");
            }
        }
    }
}

/// The choice is made on other noise than this.
#[test]
fn a_measured_precision_stays_near() {
    for (name, architecture) in kinds() {
        let cpc = random(&architecture);
        let stepping = Stepping::Kernels { precision: Precision::Auto, threads: 1 }.measured(&cpc).unwrap();
        let worst = max_pmi_difference(&cpc, stepping, &cpc).unwrap();
        eprintln!("{name}: {stepping:?}, {worst} nats");
        let Stepping::Kernels { precision, threads: 1 } = stepping else { panic!("{stepping:?}") };
        assert!(Precision::OF_PROCESSORS.contains(&precision), "{precision}");
        assert!(worst <= 0.03, "{name}, {precision}: {worst}");
    }
}
