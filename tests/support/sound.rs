//! Sound for tests: a scene with planted events, at 48 kHz as most devices give it.

use std::path::Path;

use cpc_stream::internal::cli::demo::{Planted, Scene};
use cpc_stream::internal::event::Finding;

/// Rate of [`at_48_khz`], Hz.
pub const RATE: u32 = 48_000;

/// The scene as 16-bit samples at 48 kHz, by linear interpolation.
pub fn at_48_khz(scene: &Scene) -> Vec<i16> {
    let mut out = Vec::with_capacity(3 * scene.samples.len());
    let next = scene.samples.iter().skip(1).chain(scene.samples.last());
    for (&a, &b) in scene.samples.iter().zip(next) {
        out.extend([0.0, 1.0 / 3.0, 2.0 / 3.0].map(|t| ((a + t * (b - a)) * 32_767.0).round() as i16));
    }
    out
}

/// Writes a mono WAV file.
pub fn write_wav(path: &Path, samples: &[i16], rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&x| file.write_sample(x).unwrap());
    file.finalize().unwrap();
}

/// The planted sound called `name`.
pub fn planted<'a>(scene: &'a Scene, name: &str) -> &'a Planted {
    scene.planted.iter().find(|planted| planted.name == name).unwrap()
}

/// Whether the finding begins within half a second of the planted sound.
pub fn is_of(finding: &Finding, planted: &Planted) -> bool {
    (finding.onset_s - planted.onset_s).abs() <= 0.5
}

/// Six seconds of a sound that goes on as it began: a gliding tone with overtones, or noise of some colour that
/// beats, or pulses.
pub fn teachable(number: u32) -> Vec<i16> {
    let own = |salt: u32| f64::from((number * 7 + salt).wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
    let (low, span, turn) = (150.0 + 900.0 * own(1), 100.0 + 400.0 * own(2), 0.3 + 2.0 * own(3));
    let (beat, colour) = (2.0 + 6.0 * own(4), 0.05 + 0.9 * own(5));
    let (mut phase, mut noise, mut random) = (0.0f64, 0.0f64, number.wrapping_add(1));
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        let sway = 0.5 - 0.5 * (std::f64::consts::TAU * turn * t).cos();
        phase += (low + span * sway) / 16_000.0;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = f64::from(random >> 8) / 8_388_608.0 - 1.0;
        noise += colour * (white - noise);
        let overtone = |h: f64| (std::f64::consts::TAU * phase * h).sin() / h;
        let sound = match number % 3 {
            0 => 0.5 * (1..=6).map(|h| overtone(f64::from(h))).sum::<f64>(),
            1 => 0.2 * noise + noise * (0.5 + 0.5 * (std::f64::consts::TAU * beat * t).sin()),
            _ => white * (-30.0 * (t * 2.0 * beat).fract()).exp() + 0.1 * overtone(8.0),
        };
        ((sound + 0.01 * white) * 9000.0).clamp(-32_000.0, 32_000.0) as i16
    };
    (0..6 * 16_000).map(sample).collect()
}

/// A room at 16 kHz that hums and hisses; from `quiet_s` on, a loud whistle every 4 s.
pub fn whistles(seconds: u32, quiet_s: u32) -> Vec<i16> {
    whistles_of(seconds, quiet_s, |_| (1500.0, 1200.0))
}

/// The same, no two whistles alike.
pub fn different_whistles(seconds: u32, quiet_s: u32) -> Vec<i16> {
    let part = |number: u32, of: u32| f64::from(number.wrapping_mul(of) >> 16) / 65_536.0;
    whistles_of(seconds, quiet_s, |number| {
        let number = number + 100 * quiet_s;
        (400.0 + 4600.0 * part(number, 2_654_435_761), 2400.0 * part(number, 1_597_334_677) - 1200.0)
    })
}

/// The whistle of each number begins about this frequency in Hz, and glides with this many Hz a second.
fn whistles_of(seconds: u32, quiet_s: u32, of: impl Fn(u32) -> (f64, f64)) -> Vec<i16> {
    let mut noise = 0.0f64;
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        let white = f64::from(i.wrapping_mul(2_654_435_761).rotate_left(9) ^ i.wrapping_mul(0x9e37))
            / f64::from(u32::MAX)
            - 0.5;
        noise += 0.3 * (white - noise);
        let hum = 0.02 * (std::f64::consts::TAU * 100.0 * t).sin();
        let since = (t - f64::from(quiet_s)).rem_euclid(4.0);
        let whistles = t >= f64::from(quiet_s) && (1.0..1.6).contains(&since);
        let (low, rise) = of((t / 4.0) as u32);
        let glide = std::f64::consts::TAU * (low + rise * since) * t;
        let whistle = if whistles { 0.5 * glide.sin() } else { 0.0 };
        ((0.05 * noise + hum + whistle) * 32_000.0) as i16
    };
    (0..seconds * 16_000).map(sample).collect()
}

/// The samples as bytes for a pipe.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A room at 16 kHz that hums and hisses, quiet for `quiet_s`, then with a sound every 4 s: `w` whistles, `r` rattles.
pub fn room_with(quiet_s: u32, sounds: &str) -> Vec<i16> {
    let sounds: Vec<char> = sounds.chars().collect();
    let (mut noise, mut random) = (0.0f64, 1u32);
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = f64::from(random >> 8) / 8_388_608.0 - 1.0;
        noise += 0.3 * (white - noise);
        let hum = 0.02 * (std::f64::consts::TAU * 100.0 * t).sin();
        let since = t - f64::from(quiet_s);
        let place = usize::try_from((since / 4.0).floor() as i64).ok();
        let at = since.rem_euclid(4.0);
        let sound = match place.and_then(|place| sounds.get(place)).filter(|_| (1.0..1.7).contains(&at)) {
            Some('w') => 0.4 * (std::f64::consts::TAU * (1500.0 + 600.0 * at) * at).sin(),
            Some('r') => 0.7 * white * (-40.0 * (at * 18.0).fract() / 18.0).exp(),
            _ => 0.0,
        };
        ((0.03 * noise + hum + sound) * 32_000.0) as i16
    };
    (0..(quiet_s + 4 * sounds.len() as u32) * 16_000).map(sample).collect()
}
