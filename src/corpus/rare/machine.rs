//! Machines that stop, and motors that change their state.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::background::Background;
use super::family::AnomalyKind;
use super::filter::with_rms;
use super::playback::ramp;
use super::recipe::Planted;
use crate::units::{rms, samples_to_seconds, seconds_to_samples};

/// Seconds that a machine stands still, and that it takes to stop and to start.
const STILL_S: (f64, f64) = (2.0, 6.0);
const FADE_S: (f64, f64) = (0.05, 0.3);
/// Seconds after the start that still hold some of the stop for a detector that looks back.
const AFTER_S: f64 = 0.5;
/// Seconds that another state lasts, and that the change takes.
const STATE_S: (f64, f64) = (1.0, 4.0);
const CHANGE_S: f64 = 0.1;

/// Stops the machine at the times `at_s`.
pub(super) fn stop(rng: &mut ChaCha8Rng, machine: &mut [f32], at_s: &[f64]) -> Vec<Planted> {
    let mut planted = Vec::new();
    for &at_s in at_s {
        let (fall_s, rise_s) = (rng.random_range(FADE_S.0..FADE_S.1), rng.random_range(FADE_S.0..FADE_S.1));
        let still_s = rng.random_range(STILL_S.0..STILL_S.1);
        let (from, fall) = (seconds_to_samples(at_s) as usize, seconds_to_samples(fall_s) as usize);
        let back = from + seconds_to_samples(still_s) as usize;
        let rise = seconds_to_samples(rise_s) as usize;
        if back + rise > machine.len() {
            continue;
        }
        for (i, x) in machine.iter_mut().enumerate().take(back + rise).skip(from) {
            let falling = ramp((from + fall).saturating_sub(i), fall);
            let rising = if i >= back { ramp(i - back, rise) } else { 0.0 };
            *x *= if i < from + fall { falling } else { rising };
        }
        planted.push(Planted {
            kind: AnomalyKind::Stop,
            label: "machine stops".to_owned(),
            ratio_db: None,
            onset_s: samples_to_seconds(from as u64),
            offset_s: samples_to_seconds(back as u64),
            known_from_s: samples_to_seconds((from + fall) as u64),
            unclear_until_s: samples_to_seconds((back + rise) as u64) + AFTER_S,
        });
    }
    planted
}

/// Changes the motor into another of `states` at the times `at_s`, at the level of its own sound there.
pub(super) fn change_state(
    rng: &mut ChaCha8Rng,
    samples: &mut [f32],
    own: &Background,
    states: &[Background],
    at_s: &[f64],
) -> Vec<Planted> {
    let others: Vec<&Background> = states.iter().filter(|s| s.name != own.name).collect();
    let mut planted = Vec::new();
    for &at_s in at_s {
        let Some(other) = others.get(rng.random_range(0..others.len().max(1))) else { break };
        let sound = other.clips.first().map_or(&[] as &[f32], Vec::as_slice);
        let length = (seconds_to_samples(rng.random_range(STATE_S.0..STATE_S.1)) as usize).min(sound.len());
        let start = rng.random_range(0..=sound.len() - length);
        let from = seconds_to_samples(at_s) as usize;
        let Some(here) = samples.get_mut(from..from + length) else { continue };
        let new = with_rms(sound[start..start + length].to_vec(), rms(here));
        let fade = seconds_to_samples(CHANGE_S) as usize;
        for (i, (to, new)) in here.iter_mut().zip(new).enumerate() {
            let share = ramp(i, fade).min(ramp(length - 1 - i, fade));
            *to = *to * (1.0 - share * share).sqrt() + new * share;
        }
        let onset_s = samples_to_seconds(from as u64);
        let offset_s = samples_to_seconds((from + length) as u64);
        planted.push(Planted {
            kind: AnomalyKind::OtherState,
            label: other.name.clone(),
            ratio_db: None,
            onset_s,
            offset_s,
            known_from_s: onset_s,
            unclear_until_s: offset_s,
        });
    }
    planted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::rare::Continuity;
    use rand::SeedableRng;

    fn tone(step: f32, seconds: usize) -> Vec<f32> {
        (0..seconds * 16_000).map(|i| 0.1 * (i as f32 * step).sin()).collect()
    }

    #[test]
    fn a_machine_that_stops_is_silent_and_comes_back() {
        let (before, mut after) = (tone(0.3, 30), tone(0.3, 30));
        let planted = stop(&mut ChaCha8Rng::seed_from_u64(1), &mut after, &[5.0, 15.0]);
        assert_eq!(planted.len(), 2);
        let at = |s: f64| seconds_to_samples(s) as usize;
        for p in &planted {
            assert!((2.0..6.0).contains(&(p.offset_s - p.onset_s)));
            assert!(after[at(p.known_from_s)..at(p.offset_s)].iter().all(|&x| x == 0.0));
            assert_eq!(
                after[at(p.onset_s) - 8000..at(p.onset_s)],
                before[at(p.onset_s) - 8000..at(p.onset_s)]
            );
            let back = at(p.unclear_until_s - 0.5);
            assert_eq!(after[back..back + 8000], before[back..back + 8000]);
            assert!(p.known_from_s - p.onset_s <= 0.3);
        }
    }

    #[test]
    fn another_state_has_the_same_level() {
        let state = |name: &str, step: f32, gain: f32| Background {
            name: name.into(),
            collection: "m".into(),
            continuity: Continuity::State,
            machine: true,
            clips: vec![tone(step, 10).into_iter().map(|x| gain * x).collect()],
            second: None,
        };
        let states = [state("a", 0.2, 1.0), state("b", 0.5, 7.0)];
        let mut samples = tone(0.2, 20);
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let planted = change_state(rng, &mut samples, &states[0], &states, &[5.0]);
        assert_eq!((planted[0].label.as_str(), planted[0].kind), ("b", AnomalyKind::OtherState));
        let at = |s: f64| seconds_to_samples(s) as usize;
        let inside = &samples[at(planted[0].onset_s) + 2000..at(planted[0].offset_s) - 2000];
        assert!((20.0 * (rms(inside) / rms(&tone(0.2, 1))).log10()).abs() < 0.2);
        let crossings = inside.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count() as f32;
        let pitch = crossings / inside.len() as f32 * std::f32::consts::TAU;
        assert!((pitch - 0.5).abs() < 0.01, "{pitch}");
        assert!(change_state(rng, &mut samples, &states[0], &states[..1], &[5.0]).is_empty());
    }
}
