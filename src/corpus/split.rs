//! Holding recordings out of training.

use sha2::{Digest, Sha256};

use super::Recording;
use crate::error::{Error, Result};

/// Splits recordings into a part to train on and a part held out: whole recordings, about `share` (0..0.5) of
/// the sound, at most twice as much and half of the recordings, at least two on each side (the shortest, where all are long). The choice depends on
/// ids and lengths alone, so that it can be made again.
///
/// # Errors
/// With fewer than four recordings.
pub fn hold_out(recordings: Vec<Recording>, share: f64) -> Result<(Vec<Recording>, Vec<Recording>)> {
    if recordings.len() < 4 {
        let (found, s) = (recordings.len(), if recordings.len() == 1 { "" } else { "s" });
        return Err(Error::config(
            format!("{found} recording{s} with sound found; training needs 4 or more"),
            "give `--data` a folder with more audio files (each file is one recording)",
        ));
    }
    let total: usize = recordings.iter().map(Recording::len).sum();
    let mut ranked: Vec<(Vec<u8>, Recording)> =
        recordings.into_iter().map(|r| (Sha256::digest(r.id.as_bytes()).to_vec(), r)).collect();
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    let most = ranked.len() / 2;
    let (mut train, mut held, mut received) = (Vec::new(), Vec::new(), 0usize);
    for (_, recording) in ranked {
        let wanted = held.len() < 2 || (received as f64) < share * total as f64;
        let fits = (received + recording.len()) as f64 <= 2.0 * share * total as f64;
        if wanted && fits && held.len() < most {
            received += recording.len();
            held.push(recording);
        } else {
            train.push(recording);
        }
    }
    while held.len() < 2 {
        let shortest = train.iter().enumerate().min_by_key(|(_, recording)| recording.len());
        let Some((index, _)) = shortest else { break };
        held.push(train.remove(index));
    }
    Ok((train, held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recordings(lengths: &[usize]) -> Vec<Recording> {
        let make = |(i, &n): (usize, &usize)| {
            let mut r = Recording::new(format!("recording {i}"));
            r.push_clip(&vec![0.5; n]);
            r
        };
        lengths.iter().enumerate().map(make).collect()
    }

    proptest! {
        #[test]
        fn both_sides_have_recordings_and_none_is_lost(lengths in prop::collection::vec(160usize..5000, 4..60)) {
            let (train, held) = hold_out(recordings(&lengths), 0.06).unwrap();
            prop_assert!(train.len() >= 2 && held.len() >= 2);
            prop_assert_eq!(train.len() + held.len(), lengths.len());
            let (again, _) = hold_out(recordings(&lengths), 0.06).unwrap();
            let ids = |rs: &[Recording]| rs.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
            prop_assert_eq!(ids(&again), ids(&train));
        }
    }

    #[test]
    fn a_recording_that_is_most_of_the_sound_is_trained_on() {
        let (train, held) = hold_out(recordings(&[900_000, 1600, 1600, 1600, 1600, 1600]), 0.06).unwrap();
        assert!(train.iter().any(|r| r.len() == 900_000) && held.len() == 3, "{}", held.len());
        let (train, held) = hold_out(recordings(&[5000, 4000, 6000, 7000]), 0.06).unwrap();
        assert_eq!((train.len(), held.iter().map(Recording::len).sum::<usize>()), (2, 9000));
    }

    #[test]
    fn too_few_recordings_are_refused() {
        let error = hold_out(recordings(&[1000, 1000, 1000]), 0.1).unwrap_err();
        assert!(error.to_string().contains("3 recordings"));
    }
}
