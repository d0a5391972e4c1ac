//! Streams on the processor against the formulas.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::CpuStepper;
use super::reference::{Shape, random_plan, reference_step};
use super::simd::{MAX_ROWS, Portable};
use crate::kernels::{Hops, Plan, Precision, Stepper};

const ALL: [Precision; 5] = Precision::OF_PROCESSORS;
use crate::units::HOP;

fn shapes() -> Vec<Shape> {
    let folded = Shape { normed: false, ..Shape::raw([8, 12, 20, 20, 24], &[10]) };
    let alone = Shape { negatives: 2, horizons: 1, ..Shape::raw([5, 7, 9, 11, 13], &[6]) };
    vec![
        Shape::raw([32, 64, 96, 128, 128], &[128]),
        Shape::raw([32, 40, 48, 56, 64], &[24, 33]),
        Shape::spectral(&[48, 32, 40], &[33], 0.0),
        Shape::spectral(&[20, 64], &[32, 16], 1.0 / 210.0),
        folded,
        alone,
    ]
}

fn sound(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..HOP).map(|_| rng.random_range(-0.3..0.3)).collect()
}

/// The largest difference; places without a number must be the same.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| {
        assert_eq!(a.is_nan(), b.is_nan(), "{a} {b}");
        if a.is_nan() { 0.0 } else { (a - b).abs() }
    });
    differences.fold(0.0, f32::max)
}

/// Largest differences in pmi, z, c and bands.
fn differences(a: &Hops, b: &Hops) -> [f32; 4] {
    [
        difference(&a.pmi, &b.pmi),
        difference(&a.latents, &b.latents),
        difference(&a.contexts, &b.contexts),
        difference(&a.bands, &b.bands),
    ]
}

/// Steps subsets of some streams, drawn at random, and compares with the formulas: the largest differences.
fn compare(plan: &Plan, stepper: &mut CpuStepper, seed: u64, hops: usize) -> [f32; 4] {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let count = stepper.rows();
    let mut memories = vec![plan.fresh.clone(); count];
    let (mut found, mut most) = (Hops::default(), [0f32; 4]);
    for _ in 0..hops {
        let mut rows: Vec<u32> = (0..count as u32).filter(|_| rng.random_bool(0.7)).collect();
        if rng.random_bool(0.5) {
            rows.reverse();
        }
        let (mut samples, mut expected) = (Vec::new(), Hops::default());
        for row in &rows {
            let hop = sound(rng);
            reference_step(plan, &mut memories[*row as usize], &hop, &mut expected);
            samples.extend(hop);
        }
        stepper.step(&rows, &samples, &mut found).unwrap();
        for (most, new) in most.iter_mut().zip(differences(&found, &expected)) {
            *most = most.max(new);
        }
    }
    for (row, expected) in memories.iter().enumerate() {
        let mut memory = Vec::new();
        stepper.memory(row, &mut memory).unwrap();
        assert_eq!(memory.len(), expected.len());
    }
    most
}

/// With the registers of this machine, with plain arrays, and with arrays as wide as the widest registers.
fn every(plan: &Plan, precision: Precision) -> [CpuStepper; 3] {
    let wide = CpuStepper::with(Portable::<16, MAX_ROWS>, plan, precision, 1);
    [CpuStepper::new(plan, precision, 1), CpuStepper::portable(plan, precision, 1), wide].map(Result::unwrap)
}

#[test]
fn whole_weights_give_what_the_formulas_give() {
    for (i, shape) in shapes().iter().enumerate() {
        let plan = random_plan(shape, i as u64);
        for mut stepper in every(&plan, Precision::F32) {
            stepper.reserve(5).unwrap();
            let most = compare(&plan, &mut stepper, 7, 40);
            assert!(most.iter().all(|d| *d <= 1e-4), "{shape:?} on {}: {most:?}", stepper.instructions());
        }
    }
}

#[test]
fn fewer_bits_stay_near() {
    for (precision, bounds) in [
        (Precision::Bf16, [0.05, 0.02, 0.01]),
        (Precision::Int8, [0.2, 0.06, 0.025]),
        (Precision::W8a8, [0.4, 0.12, 0.05]),
        (Precision::Int7, [0.8, 0.25, 0.1]),
    ] {
        for (i, shape) in shapes().iter().enumerate() {
            let plan = random_plan(shape, i as u64);
            for mut stepper in every(&plan, precision) {
                stepper.reserve(3).unwrap();
                let most = compare(&plan, &mut stepper, 3, 40);
                assert!(
                    most.iter().zip(bounds).all(|(d, bound)| *d <= bound),
                    "{shape:?} {precision}: {most:?}"
                );
                assert!(most[3] <= 1e-4, "bands are not rounded: {most:?}");
            }
        }
    }
}

/// Rounded to multiples of 1/256, of which small products and sums are exact in any order, fused or not.
fn coarse(numbers: &mut [f32]) {
    numbers.iter_mut().for_each(|x| *x = (*x * 256.0).round() / 256.0);
}

/// Where the numbers of the first layer are exact in all registers, all else is the same to the bit: scores of integers differ by
/// nothing but what the first layer rounds differently.
#[test]
fn all_registers_give_the_same_integers() {
    let mut plan = random_plan(&Shape::raw([32, 64, 96, 128, 128], &[64]), 5);
    let first = &mut plan.convolutions[0];
    for numbers in [&mut first.past.data, &mut first.now.data, &mut first.bias] {
        coarse(numbers);
    }
    for precision in ALL.into_iter().filter(|precision| precision.is_integer()) {
        the_same_integers(&plan, precision);
    }
}

fn the_same_integers(plan: &Plan, precision: Precision) {
    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    let mut all = every(plan, precision);
    for stepper in &mut all {
        stepper.reserve(3).unwrap();
    }
    for _ in 0..20 {
        let mut samples: Vec<f32> = (0..3).flat_map(|_| sound(rng)).collect();
        coarse(&mut samples);
        let [widest, plain, wide] = all.each_mut().map(|stepper| {
            let mut hops = Hops::default();
            stepper.step(&[0, 1, 2], &samples, &mut hops).unwrap();
            [bits(&hops.pmi), bits(&hops.latents), bits(&hops.contexts)]
        });
        assert!(widest == plain && wide == plain, "{precision}");
    }
}

#[test]
fn threads_change_nothing() {
    let plan = random_plan(&Shape::raw([16, 24, 32, 32, 40], &[24]), 1);
    for threads in [2, 3] {
        let mut stepper = CpuStepper::new(&plan, Precision::F32, threads).unwrap();
        stepper.reserve(11).unwrap();
        let most = compare(&plan, &mut stepper, 9, 40);
        assert!(most.iter().all(|d| *d <= 1e-4), "{threads} threads: {most:?}");
    }
}

/// Real-time priorities of the threads of this process that are called `name`.
fn priorities(name: &str) -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let own = stats.filter(|stat| stat.contains(&format!("({name})")));
    own.map(|stat| stat.rsplit(')').next().unwrap().split_whitespace().nth(37).unwrap().parse().unwrap())
        .collect()
}

#[test]
fn threads_are_as_urgent_as_who_waits_for_them() {
    const PRIORITY: u8 = 37;
    let work = || {
        let plan = random_plan(&Shape::raw([16, 24, 32, 32, 40], &[24]), 1);
        let mut stepper = CpuStepper::new(&plan, Precision::F32, 2).unwrap();
        stepper.reserve(8).unwrap();
        // where none is granted there is nothing to see
        if crate::realtime::promote(PRIORITY).is_err() {
            return;
        }
        assert!(!priorities("hop 1").contains(&u32::from(PRIORITY)));
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let samples: Vec<f32> = (0..8).flat_map(|_| sound(rng)).collect();
        stepper.step(&[0, 1, 2, 3, 4, 5, 6, 7], &samples, &mut Hops::default()).unwrap();
        assert!(priorities("hop 1").contains(&u32::from(PRIORITY)));
    };
    std::thread::spawn(work).join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn streams_are_independent(seed: u64, count in 2usize..20, which in 0usize..6) {
        let plan = random_plan(&shapes()[which], seed);
        let mut alone = CpuStepper::new(&plan, Precision::F32, 1).unwrap();
        let mut among = CpuStepper::new(&plan, Precision::F32, 1).unwrap();
        alone.reserve(1).unwrap();
        among.reserve(count).unwrap();
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (mut a, mut b) = (Hops::default(), Hops::default());
        for _ in 0..8 {
            let place = rng.random_range(0..count);
            let others: Vec<u32> = (1..count as u32).filter(|_| rng.random_bool(0.6)).collect();
            let place = place.min(others.len());
            let rows: Vec<u32> = others[..place].iter().copied().chain([0]).chain(others[place..].iter().copied()).collect();
            let samples: Vec<f32> = rows.iter().flat_map(|_| sound(rng)).collect();
            alone.step(&[0], &samples[place * HOP..(place + 1) * HOP], &mut a).unwrap();
            among.step(&rows, &samples, &mut b).unwrap();
            let own = |all: &[f32]| {
                let each = all.len() / rows.len();
                all[place * each..(place + 1) * each].to_vec()
            };
            let own = Hops {
                pmi: own(&b.pmi), latents: own(&b.latents), contexts: own(&b.contexts), bands: own(&b.bands), ..Hops::default()
            };
            let most = differences(&a, &own);
            prop_assert!(most.iter().all(|d| *d <= 1e-5), "{:?}", most);
        }
    }

    #[test]
    fn memory_goes_on_elsewhere(seed: u64, which in 0usize..6, precision in prop::sample::select(&ALL[..])) {
        let plan = random_plan(&shapes()[which], seed);
        let mut first = CpuStepper::new(&plan, precision, 1).unwrap();
        let mut second = CpuStepper::new(&plan, precision, 1).unwrap();
        first.reserve(2).unwrap();
        second.reserve(3).unwrap();
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (mut a, mut b) = (Hops::default(), Hops::default());
        for _ in 0..6 {
            first.step(&[1], &sound(rng), &mut a).unwrap();
        }
        let (mut memory, mut copy) = (vec![1.0], Vec::new());
        first.memory(1, &mut memory).unwrap();
        second.set_memory(2, &memory[1..]).unwrap();
        second.memory(2, &mut copy).unwrap();
        let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&memory[1..]), bits(&copy));
        for _ in 0..6 {
            let samples = sound(rng);
            first.step(&[1], &samples, &mut a).unwrap();
            second.step(&[2], &samples, &mut b).unwrap();
            prop_assert_eq!(bits(&a.pmi), bits(&b.pmi));
            prop_assert_eq!(bits(&a.contexts), bits(&b.contexts));
        }
    }
}

/// Some hops in a row, as many of each stream as fit, give what the same hops give one by one.
#[test]
fn hops_in_a_row_are_hops_one_by_one() {
    for (i, shape) in shapes().iter().enumerate() {
        let plan = random_plan(shape, i as u64);
        for (precision, threads) in ALL.map(|p| (p, 1)).into_iter().chain([(Precision::F32, 3)]) {
            // what rounds differently can become another integer
            let bound = match precision {
                Precision::Int8 => 1e-3,
                Precision::W8a8 | Precision::Int7 => 5e-2,
                _ => 2e-5,
            };
            let [mut together, mut alone] =
                [threads, 1].map(|threads| CpuStepper::new(&plan, precision, threads).unwrap());
            together.reserve(7).unwrap();
            alone.reserve(7).unwrap();
            let rng = &mut ChaCha8Rng::seed_from_u64(4);
            let (mut found, mut one) = (Hops::default(), Hops::default());
            // more hops in a row than contexts are kept, and fewer
            for each in [1, 2, 17, 3, 1, 5] {
                let rows: Vec<u32> = (0..7).filter(|_| rng.random_bool(0.7)).collect();
                let samples: Vec<f32> = (0..rows.len() * each).flat_map(|_| sound(rng)).collect();
                together.step(&rows, &samples, &mut found).unwrap();
                for (place, &row) in rows.iter().enumerate() {
                    for hop in place * each..(place + 1) * each {
                        alone.step(&[row], &samples[hop * HOP..(hop + 1) * HOP], &mut one).unwrap();
                        let own = |all: &[f32]| {
                            let size = all.len() / (rows.len() * each);
                            all[hop * size..(hop + 1) * size].to_vec()
                        };
                        let own = Hops {
                            pmi: own(&found.pmi),
                            latents: own(&found.latents),
                            contexts: own(&found.contexts),
                            bands: own(&found.bands),
                            ..Hops::default()
                        };
                        let most = differences(&one, &own);
                        assert!(most.iter().all(|d| *d <= bound), "{shape:?} {precision} {each}: {most:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn invalid_shapes_are_refused_and_change_nothing() {
    let plan = random_plan(&Shape::raw([4; 5], &[4]), 1);
    let mut stepper = CpuStepper::new(&plan, Precision::F32, 1).unwrap();
    stepper.reserve(2).unwrap();
    stepper.reserve(1).unwrap();
    assert_eq!(stepper.rows(), 2);
    let hops = &mut Hops::default();
    let refused = |result: crate::error::Result<()>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(stepper.step(&[0, 2], &[0.0; 2 * HOP], hops), "no row 2 among 2");
    refused(stepper.step(&[0, 0], &[0.0; 2 * HOP], hops), "row 0 is named twice");
    refused(stepper.step(&[0, 1], &[0.0; HOP], hops), "160 samples for a hop of 2 streams, 320 expected");
    refused(stepper.set_memory(5, &plan.fresh), "no row 5");
    refused(stepper.set_memory(0, &[1.0]), "a memory of 1 numbers");
    refused(stepper.memory(3, &mut Vec::new()), "no row 3");
    let mut memory = Vec::new();
    stepper.memory(0, &mut memory).unwrap();
    assert_eq!(memory.len(), plan.fresh.len(), "it kept its memory");
    stepper.step(&[], &[], hops).unwrap();
    assert_eq!(*hops, Hops::default());
    let mut broken = plan.clone();
    broken.heads[0].rows += 1;
    refused(CpuStepper::new(&plan, Precision::Tf32, 1).map(|_| ()), "tf32 is a precision of GPUs");
    refused(CpuStepper::new(&broken, Precision::F32, 1).map(|_| ()), "rows of a head");
}

#[test]
fn nan_stays_in_its_stream() {
    let plan = random_plan(&Shape::raw([16; 5], &[16]), 1);
    for precision in ALL {
        let mut stepper = CpuStepper::new(&plan, precision, 1).unwrap();
        stepper.reserve(2).unwrap();
        let (mut hops, mut samples) = (Hops::default(), vec![0.1; 2 * HOP]);
        samples[3] = f32::NAN;
        stepper.step(&[0, 1], &samples, &mut hops).unwrap();
        let [broken, whole] = [0, 1].map(|stream| hops.contexts[stream * 16..(stream + 1) * 16].to_vec());
        assert!(broken.iter().all(|x| x.is_nan()) && whole.iter().all(|x| x.is_finite()), "{precision}");
    }
}

/// From integers come the same bits whoever shares a step, where the first layer has many rows of a stream: of samples.
#[test]
fn integers_of_a_stream_are_its_own() {
    let plan = random_plan(&Shape::raw([32, 64, 96, 128, 128], &[64]), 8);
    for precision in ALL.into_iter().filter(|precision| precision.is_integer()) {
        let [mut alone, mut among] =
            [1, 2].map(|threads| CpuStepper::new(&plan, precision, threads).unwrap());
        alone.reserve(1).unwrap();
        among.reserve(33).unwrap();
        let rng = &mut ChaCha8Rng::seed_from_u64(6);
        let (mut a, mut b) = (Hops::default(), Hops::default());
        for streams in [33, 1, 7, 16, 2, 33] {
            let rows: Vec<u32> = (0..streams).rev().collect();
            let samples: Vec<f32> = rows.iter().flat_map(|_| sound(rng)).collect();
            let own = samples.len() - HOP;
            alone.step(&[0], &samples[own..], &mut a).unwrap();
            among.step(&rows, &samples, &mut b).unwrap();
            let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for (alone, among) in [(&a.pmi, &b.pmi), (&a.latents, &b.latents), (&a.contexts, &b.contexts)] {
                assert_eq!(bits(alone), bits(&among[among.len() - alone.len()..]), "{precision}");
            }
        }
    }
}
