//! Machines with a beat, and anomalies of the beat.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::cut::fade;
use super::family::AnomalyKind;
use super::filter::with_rms;
use super::recipe::Planted;
use crate::units::{MODEL_RATE, rms, samples_to_seconds, seconds_to_samples};

/// Period in seconds and number of sounds in the cycle.
const PERIOD_S: (f64, f64) = (0.4, 1.6);
const CYCLE: (usize, usize) = (1, 4);
/// Deviations of beats from their time, as shares of the period, one a machine.
const JITTER: [f64; 4] = [0.0, 0.005, 0.01, 0.02];
/// A sound takes at most this share of the period.
const SHARE: f64 = 0.55;
/// Truth of one beat is at least this long, seconds.
const LEAST_S: f64 = 0.5;
/// How far a beat is early or late, as a share of the period.
const SHIFT: (f64, f64) = (0.2, 0.4);
/// How much faster or slower, and for how long at least: seconds and beats.
const TEMPO: (f64, f64) = (0.06, 0.2);
const TEMPO_S: f64 = 3.0;
const TEMPO_BEATS: usize = 3;
/// Longest period of a machine whose tempo changes, seconds.
const TEMPO_PERIOD_S: f64 = 0.8;
/// Beats differ by up to this much in level.
const BEAT_DB: f32 = 0.5;

/// A machine with a beat.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    period_s: f64,
    jitter: f64,
    cycle: Vec<(String, Vec<f32>)>,
}

/// A sound of the cycle at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Beat {
    at_s: f64,
    sound: usize,
}

impl Rhythm {
    /// A machine with sounds of different names out of `strokes`; none where there are none.
    pub(super) fn new(rng: &mut ChaCha8Rng, strokes: &[(String, Vec<f32>)]) -> Option<Self> {
        let period_s = rng.random_range(PERIOD_S.0..PERIOD_S.1);
        let wanted = rng.random_range(CYCLE.0..=CYCLE.1);
        let mut cycle: Vec<(String, Vec<f32>)> = Vec::new();
        for _ in 0..20 * wanted {
            let (name, sound) = strokes.get(rng.random_range(0..strokes.len().max(1)))?;
            if cycle.len() < wanted && cycle.iter().all(|(other, _)| other != name) {
                let mut sound = sound.clone();
                let most = seconds_to_samples(SHARE * period_s) as usize;
                if sound.len() > most {
                    sound.truncate(most);
                    fade(&mut sound, 0, most / 4);
                }
                cycle.push((name.clone(), with_rms(sound, 1.0)));
            }
        }
        Some(Self { period_s, jitter: JITTER[rng.random_range(0..JITTER.len())], cycle })
    }

    /// Kinds of anomalies that it can have.
    pub(super) fn kinds(&self) -> Vec<AnomalyKind> {
        let mut kinds = vec![AnomalyKind::MissingBeat, AnomalyKind::EarlyBeat, AnomalyKind::LateBeat];
        if self.cycle.len() > 1 {
            kinds.extend([AnomalyKind::SwappedSounds, AnomalyKind::RepeatedSound]);
        }
        // at a slow beat, most of a faster or slower stretch is silence as before
        if self.period_s <= TEMPO_PERIOD_S {
            kinds.extend([AnomalyKind::Faster, AnomalyKind::Slower]);
        }
        kinds
    }

    /// Description in words.
    pub(super) fn describe(&self) -> String {
        let names: Vec<&str> = self.cycle.iter().map(|(name, _)| name.as_str()).collect();
        format!("{:.2} s {}", self.period_s, names.join("+"))
    }

    /// Adds the beats to `samples` at `ratio_db` over them, with an anomaly at the first beat after each time of
    /// `wanted`, which are in order and some seconds apart.
    pub(super) fn play(
        &self,
        rng: &mut ChaCha8Rng,
        samples: &mut [f32],
        ratio_db: f32,
        wanted: &[(f64, AnomalyKind)],
    ) -> Vec<Planted> {
        let seconds = samples_to_seconds(samples.len() as u64);
        let (beats, planted) = self.schedule(rng, seconds, wanted);
        // half of the ratio is taken from the background: loud beats do not clip
        let lower = 10f32.powf(-ratio_db.max(0.0) / 40.0);
        samples.iter_mut().for_each(|x| *x *= lower);
        let gain = rms(samples) as f32 * 10f32.powf(ratio_db / 20.0);
        for beat in beats {
            let gain = gain * 10f32.powf(rng.random_range(-BEAT_DB..BEAT_DB) / 20.0);
            let at = seconds_to_samples(beat.at_s) as usize;
            let sound = self.cycle.get(beat.sound).map_or(&[] as &[f32], |(_, sound)| sound);
            samples.iter_mut().skip(at).zip(sound).for_each(|(to, from)| *to += gain * from);
        }
        planted
    }

    fn length_s(&self, sound: usize) -> f64 {
        self.cycle.get(sound).map_or(0.0, |(_, s)| s.len() as f64 / f64::from(MODEL_RATE))
    }

    fn schedule(
        &self,
        rng: &mut ChaCha8Rng,
        seconds: f64,
        wanted: &[(f64, AnomalyKind)],
    ) -> (Vec<Beat>, Vec<Planted>) {
        let (mut beats, mut planted) = (Vec::new(), Vec::new());
        let (period, count) = (self.period_s, self.cycle.len());
        let mut wanted = wanted.iter().peekable();
        let mut due_s = rng.random_range(0.1..period);
        let mut sound = 0;
        // the beat goes on to the end: one that stopped before it would be missing
        while due_s < seconds {
            let has_room = due_s + 2.0 * period < seconds;
            let jitter = self.jitter * period;
            let mut beat = |due_s: f64, sound: usize| {
                let at_s = (due_s + jitter * normal(rng)).max(0.0);
                Beat { at_s, sound: sound % count }
            };
            let here = beat(due_s, sound);
            let Some((_, kind)) = wanted.next_if(|(at_s, _)| has_room && here.at_s >= *at_s) else {
                beats.push(here);
                (due_s, sound) = (due_s + period, sound + 1);
                continue;
            };
            let length_s = self.length_s(here.sound);
            let least = |onset_s: f64, length_s: f64| onset_s + length_s.max(LEAST_S);
            // onset, offset, known from, unclear until
            let (truth, beats_on) = match kind {
                AnomalyKind::EarlyBeat => {
                    let at_s = due_s - period * rng.random_range(SHIFT.0..SHIFT.1);
                    beats.push(Beat { at_s, ..here });
                    ((at_s, least(at_s, length_s), at_s, due_s + length_s), 1)
                }
                AnomalyKind::LateBeat => {
                    let at_s = due_s + period * rng.random_range(SHIFT.0..SHIFT.1);
                    beats.push(Beat { at_s, ..here });
                    let end_s = least(at_s, length_s);
                    ((due_s, end_s, due_s, end_s), 1)
                }
                AnomalyKind::SwappedSounds => {
                    let next = beat(due_s + period, sound + 1);
                    beats.push(Beat { sound: next.sound, ..here });
                    beats.push(Beat { sound: here.sound, ..next });
                    let first_s = least(here.at_s, self.length_s(next.sound).max(length_s));
                    ((here.at_s, first_s, here.at_s, least(next.at_s, length_s)), 2)
                }
                AnomalyKind::RepeatedSound => {
                    let before = (sound + count - 1) % count;
                    beats.push(Beat { sound: before, ..here });
                    let end_s = least(here.at_s, self.length_s(before).max(length_s));
                    ((here.at_s, end_s, here.at_s, end_s), 1)
                }
                AnomalyKind::Faster | AnomalyKind::Slower => {
                    let change = rng.random_range(TEMPO.0..TEMPO.1);
                    let faster = *kind == AnomalyKind::Faster;
                    let other = period * if faster { 1.0 - change } else { 1.0 + change };
                    let on = TEMPO_BEATS.max((TEMPO_S / other).ceil() as usize);
                    beats.push(here);
                    for i in 1..=on {
                        let at_s = due_s + other * i as f64;
                        beats.push(Beat { at_s, sound: (sound + i) % count });
                    }
                    let onset_s = due_s + other.min(period);
                    let end_s = due_s + other * on as f64;
                    let offset_s = end_s + self.length_s((sound + on) % count);
                    // the next beat comes one period after the last one of the stretch
                    due_s = end_s - period * on as f64;
                    ((onset_s, offset_s, onset_s, offset_s), on + 1)
                }
                _ => {
                    let end_s = least(due_s, length_s);
                    ((due_s, end_s, due_s, end_s), 1)
                }
            };
            let (onset_s, offset_s, known_from_s, unclear_until_s) = truth;
            let label = self.cycle.get(here.sound).map_or_else(String::new, |(name, _)| name.clone());
            planted.push(Planted {
                kind: *kind,
                label,
                ratio_db: None,
                onset_s,
                offset_s,
                known_from_s,
                unclear_until_s: unclear_until_s.max(offset_s),
            });
            (due_s, sound) = (due_s + period * beats_on as f64, sound + beats_on);
        }
        (beats, planted)
    }
}

/// A draw of the normal distribution (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (rng.random_range(1e-12..1.0f64), rng.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn rhythm(count: usize) -> Rhythm {
        let sound =
            |i: usize| -> Vec<f32> { (0..3200).map(|n| (n as f32 * (0.1 + 0.2 * i as f32)).sin()).collect() };
        let cycle = (0..count).map(|i| (format!("sound {i}"), with_rms(sound(i), 1.0))).collect();
        Rhythm { period_s: 0.8, jitter: 0.0, cycle }
    }

    fn one(kind: AnomalyKind, count: usize) -> (Vec<Beat>, Planted) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (beats, planted) = rhythm(count).schedule(&mut rng, 30.0, &[(10.0, kind)]);
        assert_eq!(planted.len(), 1);
        (beats, planted[0].clone())
    }

    fn beats_in(beats: &[Beat], from_s: f64, until_s: f64) -> Vec<Beat> {
        beats.iter().filter(|b| b.at_s > from_s && b.at_s < until_s).copied().collect()
    }

    #[test]
    fn a_missing_beat_is_not_played() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut samples = vec![1e-4f32; 30 * 16_000];
        let planted = rhythm(1).play(&mut rng, &mut samples, 20.0, &[(10.0, AnomalyKind::MissingBeat)]);
        let level = |from_s: f64| {
            let from = seconds_to_samples(from_s) as usize;
            rms(&samples[from..from + 3200])
        };
        let missing = planted[0].onset_s;
        let below = 1e-4 / 10f64.sqrt();
        assert!((level(missing) / below - 1.0).abs() < 0.01, "nothing but the background");
        for other in [missing - 0.8, missing + 0.8] {
            assert!((level(other) / below / 10.0 - 1.0).abs() < 0.15, "a beat at {other}: {}", level(other));
        }
        assert!((planted[0].offset_s - missing - 0.5).abs() < 1e-9);
    }

    #[test]
    fn early_and_late_beats_are_where_the_truth_says() {
        let (beats, early) = one(AnomalyKind::EarlyBeat, 1);
        let found = beats_in(&beats, early.onset_s - 0.79, early.offset_s);
        assert!((found.last().unwrap().at_s - early.onset_s).abs() < 1e-9);
        let gaps: Vec<f64> = beats.windows(2).map(|w| w[1].at_s - w[0].at_s).collect();
        assert_eq!(gaps.iter().filter(|g| (**g - 0.8).abs() > 1e-6).count(), 2, "one beat is out of time");
        assert!(gaps.iter().all(|g| (0.48 - 1e-9..1.12 + 1e-9).contains(g)));
        assert!(early.unclear_until_s > early.offset_s - 1e-9);
        let (beats, late) = one(AnomalyKind::LateBeat, 1);
        let inside = beats_in(&beats, late.onset_s - 1e-9, late.offset_s);
        assert_eq!(inside.len(), 1);
        assert!((0.16..0.32).contains(&(inside[0].at_s - late.onset_s)), "late by 20 to 40 %");
        assert_eq!(late.known_from_s, late.onset_s);
    }

    #[test]
    fn beats_go_on_to_the_end() {
        let (beats, _) = one(AnomalyKind::MissingBeat, 1);
        let last = beats.last().unwrap().at_s;
        assert!((29.2..30.0).contains(&last), "the last of 30 s at {last}");
    }

    #[test]
    fn order_is_broken_once() {
        let (beats, swapped) = one(AnomalyKind::SwappedSounds, 3);
        let wrong = |beats: &[Beat]| -> Vec<f64> {
            beats.iter().enumerate().filter(|(i, b)| b.sound != i % 3).map(|(_, b)| b.at_s).collect()
        };
        let at = wrong(&beats);
        assert_eq!(at.len(), 2);
        assert!((at[0] - swapped.onset_s).abs() < 1e-9 && swapped.offset_s <= at[1]);
        assert!(at[1] + 0.2 <= swapped.unclear_until_s, "the second of them is unclear");
        let (beats, repeated) = one(AnomalyKind::RepeatedSound, 3);
        let at = wrong(&beats);
        assert_eq!(at.len(), 1);
        assert!((at[0] - repeated.onset_s).abs() < 1e-9);
    }

    #[test]
    fn another_tempo_lasts_as_long_as_the_truth() {
        for kind in [AnomalyKind::Faster, AnomalyKind::Slower] {
            let (beats, planted) = one(kind, 2);
            let gaps = beats.windows(2).map(|w| (w[1].at_s, w[1].at_s - w[0].at_s));
            let other: Vec<(f64, f64)> = gaps.filter(|(_, gap)| (gap - 0.8).abs() > 1e-6).collect();
            let length = planted.offset_s - planted.onset_s;
            assert!(other.len() >= 4 && length >= 2.5, "{} beats in {length} s", other.len());
            assert!(other.iter().all(|(at, _)| (planted.onset_s - 1e-9..planted.offset_s).contains(at)));
            let share = other[0].1 / 0.8 - 1.0;
            assert!((0.06..0.2).contains(&share.abs()) && (share < 0.0) == (kind == AnomalyKind::Faster));
            assert!(beats.iter().enumerate().all(|(i, b)| b.sound == i % 2), "the order stays");
        }
    }

    #[test]
    fn kinds_suit_the_machine() {
        let has = |rhythm: &Rhythm, kind| rhythm.kinds().contains(&kind);
        assert!(has(&rhythm(1), AnomalyKind::Slower) && !has(&rhythm(1), AnomalyKind::SwappedSounds));
        let slow = Rhythm { period_s: 1.2, ..rhythm(2) };
        assert!(!has(&slow, AnomalyKind::Faster) && has(&slow, AnomalyKind::RepeatedSound));
    }

    #[test]
    fn a_cycle_has_different_sounds() {
        let strokes: Vec<(String, Vec<f32>)> =
            (0..6).map(|i| (format!("s{}", i / 2), vec![0.5; 16_000])).collect();
        for seed in 0..20 {
            let rhythm = Rhythm::new(&mut ChaCha8Rng::seed_from_u64(seed), &strokes).unwrap();
            let mut names: Vec<&str> = rhythm.cycle.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), rhythm.cycle.len());
            assert!(
                rhythm.cycle.iter().all(|(_, s)| s.len() as f64 <= 0.55 * rhythm.period_s * 16_000.0 + 1.0)
            );
        }
        assert!(Rhythm::new(&mut ChaCha8Rng::seed_from_u64(1), &[]).is_none());
    }
}
