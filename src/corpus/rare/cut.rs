//! Cutting clips: the active part and its level.

use crate::units::{HOP, MODEL_RATE, level_dbfs, seconds_to_samples};

/// An event's active part, seconds.
const ACTIVE_S: (f64, f64) = (0.5, 3.0);
/// The active part lies within this many dB of the loudest 50 ms.
const ACTIVE_DB: f32 = 20.0;
/// RMS to which the clips of a background are brought, so that they could be one recording.
pub(super) const LEVEL_DBFS: f32 = -30.0;
/// Longest sound of a beat, seconds, and the level below its peak at which it begins and ends, dB.
const SHOT_S: f64 = 0.5;
const SHOT_DB: f32 = 26.0;
/// Levels of motor clips are measured over this long, seconds.
const EQUALISE_S: f64 = 0.5;

/// Without hops of digital silence.
pub(crate) fn without_padding(samples: &[f32]) -> Vec<f32> {
    let received = |hop: &&[f32]| hop.iter().any(|x| x.abs() > 2.0 / 32768.0);
    samples.chunks_exact(HOP).filter(received).flatten().copied().collect()
}

/// Brought to [`LEVEL_DBFS`]; none where there is too little of it to be a piece of background.
pub(crate) fn to_level(samples: Vec<f32>) -> Option<Vec<f32>> {
    if samples.len() < seconds_to_samples(2.0) as usize {
        return None;
    }
    let gain = 10f32.powf((LEVEL_DBFS - level_dbfs(&samples)) / 20.0);
    Some(samples.into_iter().map(|x| x * gain).collect())
}

/// The loudest moment of a clip and the active part around it, 0.5 to 3 s, with 10 ms fades; none where a clip is too
/// short.
pub(crate) fn active_part(samples: &[f32]) -> Option<Vec<f32>> {
    let step = MODEL_RATE as usize / 20;
    let levels: Vec<f32> = samples.chunks_exact(step).map(level_dbfs).collect();
    let (peak, &loudest) = levels.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let loud = |i: usize| levels.get(i).is_some_and(|&l| l > loudest - ACTIVE_DB);
    // a pause of up to 0.2 s does not end it
    let goes_on = |from: usize, forward: bool| {
        (1..=4).find(|&d| if forward { loud(from + d) } else { from >= d && loud(from - d) })
    };
    let (mut first, mut last) = (peak, peak);
    let most = (ACTIVE_S.1 / 0.05) as usize;
    loop {
        let before = (first, last);
        if last - first + 1 < most
            && let Some(d) = goes_on(last, true)
        {
            last += d;
        }
        if last - first + 1 < most
            && let Some(d) = goes_on(first, false)
        {
            first -= d;
        }
        if before == (first, last) {
            break;
        }
    }
    let last = last.min(first + most - 1).max(first + (ACTIVE_S.0 / 0.05) as usize - 1);
    let mut part = samples.get(first * step..((last + 1) * step).min(samples.len()))?.to_vec();
    if part.len() < seconds_to_samples(ACTIVE_S.0) as usize {
        return None;
    }
    let (fade, length) = (HOP, part.len());
    for i in 0..fade {
        let gain = i as f32 / fade as f32;
        for at in [i, length - 1 - i] {
            if let Some(x) = part.get_mut(at) {
                *x *= gain;
            }
        }
    }
    Some(part)
}

/// The loudest stroke of a clip, from its onset until it has faded or 0.5 s have passed; none where it is silent or
/// shorter than 20 ms.
pub(super) fn one_shot(samples: &[f32]) -> Option<Vec<f32>> {
    let step = HOP / 2;
    let levels: Vec<f32> = samples.chunks_exact(step).map(level_dbfs).collect();
    let (peak, &loudest) = levels.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let loud = |&i: &usize| levels.get(i).is_some_and(|&l| l > loudest - SHOT_DB);
    let most = (SHOT_S / 0.005) as usize;
    let first = (peak.saturating_sub(most / 5)..=peak).rev().take_while(loud).last()?;
    // 20 ms of pause end it
    let last = (first..first + most)
        .take_while(|&i| i <= peak || (i.saturating_sub(3)..=i).any(|i| loud(&i)))
        .last()?
        .min(levels.len() - 1);
    let mut part = samples.get(first * step..(last + 1) * step)?.to_vec();
    if loudest < -70.0 || part.len() < 2 * HOP {
        return None;
    }
    fade(&mut part, 16, HOP);
    Some(part)
}

/// Fades of so many samples at the start and at the end.
pub(super) fn fade(samples: &mut [f32], rise: usize, fall: usize) {
    for (i, x) in samples.iter_mut().take(rise).enumerate() {
        *x *= i as f32 / rise as f32;
    }
    for (i, x) in samples.iter_mut().rev().take(fall).enumerate() {
        *x *= i as f32 / fall as f32;
    }
}

/// The same sound with a level that no longer drifts: the gain follows the RMS of each half second.
pub(super) fn equalise(samples: &[f32]) -> Vec<f32> {
    let block = seconds_to_samples(EQUALISE_S) as usize;
    let gains: Vec<f32> =
        samples.chunks(block).map(|b| 10f32.powf((LEVEL_DBFS - level_dbfs(b)) / 20.0)).collect();
    let gain = |i: isize| {
        let at = i.clamp(0, gains.len().saturating_sub(1) as isize) as usize;
        gains.get(at).copied().unwrap_or(1.0)
    };
    let shaped = |(i, x): (usize, &f32)| {
        let place = i as f32 / block as f32 - 0.5;
        let before = place.floor();
        let share = place - before;
        x * (gain(before as isize) * (1.0 - share) + gain(before as isize + 1) * share)
    };
    samples.iter().enumerate().map(shaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_part_is_where_the_sound_is() {
        let mut clip = vec![0.0001f32; 5 * 16_000];
        for (i, x) in clip[20_000..36_000].iter_mut().enumerate() {
            *x = 0.3 * (i as f32 * 0.3).sin();
        }
        let part = active_part(&clip).unwrap();
        assert!((16_000..18_000).contains(&part.len()), "{}", part.len());
        assert_eq!((part[0], part[part.len() - 1]), (0.0, 0.0));
        let steady = active_part(&vec![0.1; 80_000]).unwrap();
        assert_eq!(steady.len(), 48_000);
        assert!(active_part(&[0.1; 4000]).is_none());
    }

    #[test]
    fn a_stroke_is_cut_at_its_onset() {
        let mut clip = vec![0.0001f32; 32_000];
        for (i, x) in clip[10_000..].iter_mut().enumerate() {
            *x += 0.5 * (-(i as f32) / 800.0).exp() * (i as f32 * 0.4).sin();
        }
        let shot = one_shot(&clip).unwrap();
        assert!((1600..5000).contains(&shot.len()), "{}", shot.len());
        let loudest = shot.iter().position(|x| x.abs() > 0.3).unwrap();
        assert!(loudest < 200, "the onset is at its start: {loudest}");
        assert!(one_shot(&[0.0; 16_000]).is_none());
    }

    #[test]
    fn drift_of_the_level_is_taken_out() {
        let drifting: Vec<f32> =
            (0..64_000).map(|i| 10f32.powf(i as f32 / 64_000.0 - 2.0) * (i as f32).sin()).collect();
        let even = equalise(&drifting);
        let levels: Vec<f32> = even.chunks(8000).map(level_dbfs).collect();
        assert!(levels.iter().all(|l| (l + 30.0).abs() < 1.0), "{levels:?}");
    }
}
