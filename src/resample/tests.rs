use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

fn resample(rate: u32, input: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    let mut resampler = StreamResampler::new(rate).unwrap();
    resampler.push(input, &mut out).unwrap();
    resampler.flush(&mut out).unwrap();
    out
}

fn tone(rate: u32, hz: f64, seconds: usize) -> Vec<f32> {
    (0..rate as usize * seconds)
        .map(|n| (0.5 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as f32)
        .collect()
}

/// Signal to error in dB against the tone in its right place: phase and amplitude included.
fn snr(out: &[f32], hz: f64) -> f64 {
    let (mut signal, mut error) = (0.0, 0.0);
    for (m, &x) in out.iter().enumerate().skip(1600).take(out.len() - 3200) {
        let want = 0.5 * (TAU * hz * m as f64 / 16_000.0).sin();
        signal += want * want;
        error += (f64::from(x) - want).powi(2);
    }
    10.0 * (signal / error).log10()
}

#[test]
fn one_that_is_resumed_goes_on_to_the_bit() {
    for rate in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
        let sound = tone(rate, 700.0, 1);
        let mut whole = Vec::new();
        let mut first = StreamResampler::new(rate).unwrap();
        first.push(&sound, &mut whole).unwrap();
        for cut in [0, 1, 100, 479, 480, 481, 5000, 7777] {
            let (mut out, mut first) = (Vec::new(), StreamResampler::new(rate).unwrap());
            first.push(&sound[..cut], &mut out).unwrap();
            let mut second = StreamResampler::new(rate).unwrap();
            second.push(&sound[..333], &mut Vec::new()).unwrap();
            second.resume(&first.memory().unwrap()).unwrap();
            second.push(&sound[cut..], &mut out).unwrap();
            assert!(
                out.iter().map(|x| x.to_bits()).eq(whole.iter().map(|x| x.to_bits())),
                "{rate} Hz, {cut}"
            );
        }
    }
    let by_sincs = StreamResampler::new(44_099).unwrap();
    assert!(by_sincs.memory().is_none());
    let foreign = ResamplerMemory { waiting: vec![0.0; 100_000], last: vec![], skip: 0, taken: 0, given: 0 };
    assert!(StreamResampler::new(48_000).unwrap().resume(&foreign).is_err());
}

#[test]
fn tones_keep_amplitude_and_place() {
    for rate in [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000] {
        let worst = [60.0, 1000.0, 3000.0]
            .into_iter()
            .map(|hz| snr(&resample(rate, &tone(rate, hz, 2)), hz))
            .fold(f64::INFINITY, f64::min);
        assert!(worst > 100.0, "{rate} Hz: {worst:.1} dB");
    }
}

/// Rates without a short period in common with 16 kHz: of sound cards with wrong clocks, and of headers that lie.
const ODD: [u32; 6] = [44_099, 22_051, 47_999, 15_999, 8_001, 383_999];

#[test]
fn odd_rates_cost_no_more_time_than_others() {
    for rate in ODD.into_iter().chain([4_000, 4_001, 11_025, 22_050, 44_100, 96_000, 192_000, 384_000]) {
        let resampler = StreamResampler::new(rate).unwrap();
        let wait = resampler.latency_samples();
        assert!(wait <= 16_000 / 8, "{rate} Hz: {wait} samples");
        assert!(resampler.chunk <= rate as usize / 8, "{rate} Hz: chunks of {}", resampler.chunk);
    }
    for rate in ODD {
        for hz in [60.0, 1000.0, 3000.0] {
            let quality = snr(&resample(rate, &tone(rate, hz, 2)), hz);
            // below 16 kHz its place is right to a tenth of a sample alone
            let least = if rate < 15_000 { 18.0 } else { 50.0 };
            assert!(quality > least, "{hz} Hz at {rate} Hz: {quality:.1} dB");
        }
    }
    for rate in [44_099, 47_999, 383_999] {
        for hz in [9500.0, 15_500.0] {
            let level = crate::units::level_dbfs(&resample(rate, &tone(rate, hz, 1))[1600..14_400]);
            assert!(level < -90.0, "{hz} Hz at {rate} Hz comes back at {level:.1} dBFS");
        }
    }
}

#[test]
fn nan_samples_become_silence() {
    for rate in [16_000, 44_099, 48_000] {
        let mut input = tone(rate, 440.0, 1);
        input[1000..1010].copy_from_slice(&[f32::NAN, f32::INFINITY].repeat(5));
        let out = resample(rate, &input);
        assert!(rate == 16_000 || out.iter().all(|x| x.is_finite()), "{rate} Hz");
    }
}

#[test]
fn frequencies_above_nyquist_do_not_alias() {
    for rate in [32_000, 44_100, 48_000] {
        for hz in [9000.0, 12_000.0, 15_500.0] {
            let out = resample(rate, &tone(rate, hz, 1));
            let level = crate::units::level_dbfs(&out[1600..14_400]);
            assert!(level < -100.0, "{hz} Hz at {rate} Hz comes back at {level:.1} dBFS");
        }
    }
}

#[test]
fn the_passband_reaches_7_khz() {
    for rate in [32_000, 44_100, 48_000] {
        let out = resample(rate, &tone(rate, 7000.0, 1));
        let level = crate::units::level_dbfs(&out[1600..14_400]);
        assert!((level + 9.03).abs() < 1.0, "7 kHz at {rate} Hz: {level:.2} dBFS");
    }
}

#[test]
fn an_impulse_stays_in_its_place() {
    for rate in [8_000, 32_000, 44_100, 48_000, 44_099, 383_999] {
        let mut input = vec![0.0; rate as usize];
        for at in [rate as usize / 2, rate as usize / 3, 5] {
            input.fill(0.0);
            input[at] = 1.0;
            let out = resample(rate, &input);
            let peak = (0..out.len()).max_by(|&a, &b| out[a].abs().total_cmp(&out[b].abs())).unwrap();
            let want = at as f64 * 16_000.0 / f64::from(rate);
            assert!((peak as f64 - want).abs() <= 1.0, "{rate} Hz: impulse at {want:.1} came out at {peak}");
        }
    }
}

#[test]
fn the_length_is_exact() {
    for rate in [8_000, 11_025, 16_000, 44_100, 48_000, 44_099, 8_001] {
        for n in [0usize, 1, 7, 440, 441, 480, 12_345] {
            let want = (n as f64 * 16_000.0 / f64::from(rate)).round() as usize;
            assert_eq!(resample(rate, &vec![0.1; n]).len(), want, "{n} samples at {rate} Hz");
        }
    }
}

#[test]
fn sixteen_thousand_passes_through() {
    let input = tone(16_000, 440.0, 1);
    assert_eq!(resample(16_000, &input), input);
    assert_eq!(StreamResampler::new(16_000).unwrap().latency_samples(), 0);
}

#[test]
fn the_wait_at_48_khz_is_15_ms() {
    let resampler = StreamResampler::new(48_000).unwrap();
    assert_eq!((resampler.delay_samples(), resampler.latency_samples()), (80, 240));
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    for rate in [0, 1, 3_999, 1_000_000] {
        let Err(error) = StreamResampler::new(rate) else { panic!("{rate} Hz was accepted") };
        assert!(error.to_string().contains("Hz") && !error.fix().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_cutting_and_any_past_gives_the_same_samples(
        rate in prop::sample::select(vec![8_000u32, 16_000, 32_000, 44_100, 48_000, 44_099]),
        cuts in prop::collection::vec(0usize..2000, 1..12),
        past in 0usize..3000,
        seed in any::<u32>(),
    ) {
        let total: usize = cuts.iter().sum();
        let mut state = seed;
        let input: Vec<f32> = (0..total).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        }).collect();
        let mut resampler = StreamResampler::new(rate).unwrap();
        resampler.push(&vec![0.7; past], &mut Vec::new()).unwrap();
        if past % 2 == 0 { resampler.reset() } else { resampler.flush(&mut Vec::new()).unwrap() }
        let (mut out, mut rest) = (Vec::new(), &input[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut);
            resampler.push(now, &mut out).unwrap();
            rest = later;
        }
        resampler.flush(&mut out).unwrap();
        prop_assert_eq!(out, resample(rate, &input));
    }
}
