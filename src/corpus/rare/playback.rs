//! Playing a background for the length of a stream.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::background::{Background, Continuity};
use super::family::ControlKind;
use super::recipe::Control;
use crate::units::{MODEL_RATE, samples_to_seconds, seconds_to_samples};

/// Two pieces overlap by this much.
const FADE_S: f64 = 0.5;
/// Length of a piece.
const PIECE_S: (f64, f64) = (2.0, 20.0);
/// Largest share of a short recording that calibration gets.
const LEARNT_SHARE: f64 = 0.6;

/// A played background.
#[derive(Debug, Clone)]
pub(crate) struct Playback {
    /// Its sound.
    pub(crate) samples: Vec<f32>,
    /// Where pieces meet, or the end of a recording its beginning.
    pub(crate) joins: Vec<Control>,
    /// Seconds of the stream that hold sound which was played before.
    pub(crate) repeated_s: f64,
    /// The moment from which on the sound after `quiet` is repeated, seconds.
    pub(crate) new_until_s: f64,
}

impl Background {
    /// The samples of a calibration of `quiet` samples in which no sound comes twice: fewer where the recording is too short for it
    /// and for `tested` samples after it.
    pub(crate) fn unrepeated(&self, quiet: usize, tested: usize) -> usize {
        let held = self.clips.first().map_or(0, Vec::len);
        match self.continuity {
            Continuity::Clips => quiet,
            Continuity::Recording if held >= quiet + tested => quiet,
            _ => quiet.min(learnt_of(held)),
        }
    }

    /// Plays it for `length` samples, the first `quiet` of which are the calibration.
    ///
    /// A recording that is long enough is played from one place to another, uninterrupted. One that is not is cut in
    /// two: `quiet` plays one part (at most six tenths), the rest of the stream the other, each played over and over in
    /// a cross-fade from its end to its beginning. The first part ends where the second begins; with `turned`,
    /// calibration gets the later part of the recording.
    pub(crate) fn play(&self, rng: &mut ChaCha8Rng, quiet: usize, length: usize, turned: bool) -> Playback {
        let first = self.clips.first().map_or(&[] as &[f32], Vec::as_slice);
        match self.continuity {
            Continuity::Clips => {
                let (samples, joins) = join(rng, &self.clips, length);
                let all: usize = self.clips.iter().map(Vec::len).sum();
                let repeated = length.saturating_sub(all);
                Playback {
                    samples,
                    joins,
                    repeated_s: samples_to_seconds(repeated as u64),
                    new_until_s: samples_to_seconds(all.clamp(quiet.min(length), length) as u64),
                }
            }
            Continuity::Recording if first.len() >= length => {
                let start = rng.random_range(0..=first.len() - length);
                Playback {
                    samples: first[start..start + length].to_vec(),
                    joins: Vec::new(),
                    repeated_s: 0.0,
                    new_until_s: samples_to_seconds(length as u64),
                }
            }
            _ => self.in_two_parts(rng, first, (quiet, length), turned),
        }
    }

    fn in_two_parts(
        &self,
        rng: &mut ChaCha8Rng,
        sound: &[f32],
        (quiet, length): (usize, usize),
        turned: bool,
    ) -> Playback {
        let learnt = quiet.min(learnt_of(sound.len()));
        let (learnt, rest) = if turned {
            let (rest, learnt) = sound.split_at(sound.len() - learnt);
            (learnt, rest)
        } else {
            sound.split_at(learnt)
        };
        let tested = length.saturating_sub(quiet);
        let fade = if turned { seconds_to_samples(FADE_S) as usize } else { 0 };
        let mut play = |part: &[f32], length: usize, ends: bool| {
            if self.continuity == Continuity::State {
                join(rng, &[part.to_vec()], length)
            } else {
                repeat(part, length, ends)
            }
        };
        let (mut samples, mut joins) = play(learnt, quiet + fade, true);
        let (after, later) = play(rest, tested, false);
        samples.resize(quiet + tested, 0.0);
        for (i, (to, from)) in samples.iter_mut().skip(quiet).zip(&after).enumerate() {
            let (rise, fall) = if i < fade { (ramp(i, fade), ramp(fade - 1 - i, fade)) } else { (1.0, 0.0) };
            *to = *to * fall + from * rise;
        }
        let shift = samples_to_seconds(quiet as u64);
        if fade > 0 || self.continuity == Continuity::State {
            joins.push(Control { kind: ControlKind::Join, onset_s: shift, offset_s: shift + FADE_S });
        }
        joins.extend(later.into_iter().map(|c| Control {
            onset_s: c.onset_s + shift,
            offset_s: c.offset_s + shift,
            ..c
        }));
        let over = |wanted: usize, part: &[f32]| wanted.saturating_sub(part.len());
        let repeated = over(quiet, learnt) + over(tested, rest);
        Playback {
            samples,
            joins,
            repeated_s: repeated as f64 / f64::from(MODEL_RATE),
            new_until_s: shift + samples_to_seconds(rest.len().min(tested) as u64),
        }
    }
}

/// Of a short recording of so many samples, those that calibration gets.
fn learnt_of(samples: usize) -> usize {
    (LEARNT_SHARE * samples as f64) as usize
}

/// `part` over and over, `length` samples of it, in cross-fades from its end to its beginning. It begins at its
/// beginning or, if `ends`, ends at its end.
fn repeat(part: &[f32], length: usize, ends: bool) -> (Vec<f32>, Vec<Control>) {
    let fade = (seconds_to_samples(FADE_S) as usize).min(part.len() / 4);
    let period = part.len() - fade;
    if part.len() >= length {
        let from = if ends { part.len() - length } else { 0 };
        return (part[from..from + length].to_vec(), Vec::new());
    }
    let copies = (length - part.len()).div_ceil(period.max(1)) + 1;
    let skipped = if ends { copies * period + fade - length } else { 0 };
    let (mut out, mut joins) = (vec![0f32; length], Vec::new());
    for copy in 0..copies {
        let (start, last) = (copy * period, copy + 1 == copies);
        if let Some(at) = start.checked_sub(skipped).filter(|_| copy > 0) {
            let onset_s = samples_to_seconds(at as u64);
            let offset_s = onset_s + samples_to_seconds(fade as u64);
            joins.push(Control { kind: ControlKind::Join, onset_s, offset_s });
        }
        for (i, from) in part.iter().enumerate() {
            let rise = if copy == 0 { 1.0 } else { ramp(i, fade) };
            let fall = if last { 1.0 } else { ramp(part.len() - 1 - i, fade) };
            if let Some(to) = (start + i).checked_sub(skipped).and_then(|at| out.get_mut(at)) {
                *to += from * rise * fall;
            }
        }
    }
    (out, joins)
}

/// Pieces of `clips` at random places, joined by equal-power cross-fades.
pub(crate) fn join(rng: &mut ChaCha8Rng, clips: &[Vec<f32>], length: usize) -> (Vec<f32>, Vec<Control>) {
    let fade = seconds_to_samples(FADE_S) as usize;
    let (mut out, mut joins) = (vec![0f32; length], Vec::new());
    let mut at = 0;
    while at < length && !clips.is_empty() {
        let Some(clip) = clips.get(rng.random_range(0..clips.len())) else { break };
        let wanted = seconds_to_samples(rng.random_range(PIECE_S.0..PIECE_S.1)) as usize;
        let piece = wanted.min(clip.len()).max(fade + 1);
        let start = rng.random_range(0..=clip.len().saturating_sub(piece));
        if at > 0 {
            let onset_s = samples_to_seconds(at as u64);
            joins.push(Control { kind: ControlKind::Join, onset_s, offset_s: onset_s + FADE_S });
        }
        for (i, from) in clip.iter().skip(start).take(piece).enumerate() {
            let rise = if at == 0 { 1.0 } else { ramp(i, fade) };
            if let Some(to) = out.get_mut(at + i) {
                *to += from * rise * ramp(piece - 1 - i, fade);
            }
        }
        at += piece - fade;
    }
    (out, joins)
}

/// Rise of an equal-power fade of `fade` samples at sample `i`.
pub(super) fn ramp(i: usize, fade: usize) -> f32 {
    if i >= fade { 1.0 } else { (std::f32::consts::FRAC_PI_2 * i as f32 / fade as f32).sin() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const RATE: usize = MODEL_RATE as usize;

    /// A recording whose samples tell their place.
    fn recording(seconds: usize) -> Background {
        let n = seconds * RATE;
        Background {
            name: "r".into(),
            collection: "c".into(),
            continuity: Continuity::Recording,
            machine: false,
            clips: vec![(0..n).map(|i| (i as f32 + 1.0) / n as f32).collect()],
            second: None,
        }
    }

    fn play(seconds: usize, turned: bool) -> Playback {
        recording(seconds).play(&mut ChaCha8Rng::seed_from_u64(1), 20 * RATE, 60 * RATE, turned)
    }

    #[test]
    fn a_long_recording_is_uninterrupted() {
        let playback = play(90, false);
        assert!(playback.joins.is_empty() && playback.repeated_s == 0.0);
        assert!(playback.samples.windows(2).all(|w| w[1] > w[0]));
    }

    #[test]
    fn a_short_recording_is_learnt_from_and_tested_on_in_different_parts() {
        for (turned, learnt) in [(false, 0.0..0.6), (true, 0.4..1.0f32)] {
            let playback = play(20, turned);
            assert_eq!(playback.samples.len(), 60 * RATE);
            let (quiet, tested) = playback.samples.split_at(20 * RATE);
            let away_from_joins = |samples: &[f32], offset: usize| -> Vec<f32> {
                let near = |i: usize| {
                    let at = (offset + i) as f64 / RATE as f64;
                    playback.joins.iter().any(|c| (c.onset_s - 0.01..c.offset_s + 0.01).contains(&at))
                };
                let kept = samples.iter().enumerate().filter(|(i, _)| !near(*i));
                kept.map(|(_, x)| *x).collect()
            };
            let slack = 1e-3;
            let inside = |x: &f32| *x >= learnt.start - slack && *x <= learnt.end + slack;
            assert!(away_from_joins(quiet, 0).iter().all(inside), "turned: {turned}");
            assert!(
                !away_from_joins(tested, quiet.len())
                    .iter()
                    .any(|x| { *x > learnt.start + slack && *x < learnt.end - slack })
            );
            // 20 of 12 s and 40 of 8 s
            assert!((playback.repeated_s - 40.0).abs() < 0.01, "{}", playback.repeated_s);
            assert!((playback.new_until_s - 28.0).abs() < 0.01, "{}", playback.new_until_s);
        }
    }

    #[test]
    fn a_calibration_without_repeats_is_as_long_as_the_recording_allows() {
        let seconds = |held: usize| recording(held).unrepeated(20 * RATE, 40 * RATE) / RATE;
        assert_eq!([seconds(10), seconds(20), seconds(50), seconds(90)], [6, 12, 20, 20]);
        let quiet = recording(20).unrepeated(20 * RATE, 40 * RATE);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let playback = recording(20).play(&mut rng, quiet, quiet + 40 * RATE, false);
        assert!(playback.samples[..quiet].windows(2).all(|w| w[1] > w[0]));
        let clips = Background { continuity: Continuity::Clips, ..recording(10) };
        assert_eq!(clips.unrepeated(20 * RATE, 40 * RATE), 20 * RATE);
    }

    #[test]
    fn calibration_ends_where_the_test_begins() {
        let samples = play(20, false).samples;
        let step = samples[20 * RATE] - samples[20 * RATE - 1];
        assert!((step - 1.0 / (20 * RATE) as f32).abs() < 1e-6, "the next sample of the recording: {step}");
    }

    #[test]
    fn a_state_is_tested_on_another_part_too() {
        let state = Background { continuity: Continuity::State, ..recording(20) };
        let playback = state.play(&mut ChaCha8Rng::seed_from_u64(1), 20 * RATE, 60 * RATE, false);
        let joined =
            |at: f64| playback.joins.iter().any(|c| (c.onset_s - 0.1..c.offset_s + 0.1).contains(&at));
        for (i, &x) in playback.samples.iter().enumerate().filter(|(i, _)| !joined(*i as f64 / RATE as f64)) {
            assert_eq!(x <= 0.6001, i < 20 * RATE, "{x} at {i}");
        }
    }
}
