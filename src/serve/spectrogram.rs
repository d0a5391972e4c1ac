//! The last minute of the spectrogram of a stream, kept for pages that are opened later.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, TryLockError};

use serde_json::{Value, json};

use super::spectrogram_column::SpectrogramColumn;
use crate::nn::{band_centres, band_dbfs};
use crate::units::BANDS;

/// Seconds that are kept.
const SECONDS: f64 = 60.0;
/// Seconds of a column.
const COLUMN_S: f64 = 0.05;
/// Columns that are kept.
const COLUMNS: usize = (SECONDS / COLUMN_S) as usize;
/// Columns that wait while a page reads, at most: half a second.
const WAITING: usize = 10;
/// Log power of level 0, and that of a step.
const LOWEST: f64 = -14.0;
const STEP: f64 = 0.1;

/// A column in 88 bytes; NaN without a figure.
#[derive(Debug, Clone, Copy)]
struct KeptColumn {
    t_s: f64,
    bands: [u8; BANDS],
    score: f32,
    surprise: f32,
    novelty: f32,
    level_dbfs: f32,
}

impl KeptColumn {
    fn of(column: &SpectrogramColumn) -> Self {
        let small = |x: Option<f64>| x.map_or(f32::NAN, |x| x as f32);
        Self {
            t_s: column.t_s,
            bands: column.bands,
            score: small(column.score),
            surprise: small(column.surprise),
            novelty: small(column.novelty),
            level_dbfs: column.level_dbfs,
        }
    }
}

/// The columns of the last minute. One thread writes, and never waits.
#[derive(Debug)]
pub(super) struct RecentColumns(Mutex<VecDeque<KeptColumn>>);

impl RecentColumns {
    /// The room of a minute is reserved; the system gives it as columns come.
    pub(super) fn new() -> Self {
        Self(Mutex::new(VecDeque::with_capacity(COLUMNS)))
    }

    /// Keeps the columns of `waiting`, which is empty then. While a page reads they stay there.
    pub(super) fn keep(&self, waiting: &mut Vec<SpectrogramColumn>) {
        let mut kept = match self.0.try_lock() {
            Ok(kept) => kept,
            Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let beyond = waiting.len().saturating_sub(WAITING);
                waiting.drain(..beyond);
                return;
            }
        };
        for column in waiting.drain(..) {
            if kept.back().is_some_and(|last| last.t_s >= column.t_s) {
                // the stream began anew
                kept.clear();
            }
            let old = |first: &KeptColumn| first.t_s < column.t_s - SECONDS;
            while kept.len() >= COLUMNS || kept.front().is_some_and(old) {
                kept.pop_front();
            }
            kept.push_back(KeptColumn::of(&column));
        }
    }

    /// All of them in order: arrays of the same length.
    pub(super) fn json(&self) -> Value {
        // the lock is held for the copy alone
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let figures = |of: fn(&KeptColumn) -> f32| -> Vec<f32> {
            kept.iter().map(|column| (of(column) * 100.0).round() / 100.0).collect()
        };
        json!({
            "t_s": kept.iter().map(|column| column.t_s).collect::<Vec<_>>(),
            "bands": kept.iter().map(|column| hex(&column.bands)).collect::<Vec<_>>(),
            "score": figures(|column| column.score),
            "surprise": figures(|column| column.surprise),
            "novelty": figures(|column| column.novelty),
            "level_dbfs": figures(|column| column.level_dbfs),
        })
    }
}

/// A column as it is sent to pages that look.
pub(super) fn column_json(column: &SpectrogramColumn) -> Value {
    json!({
        "t_s": column.t_s,
        "bands": hex(&column.bands),
        "score": column.score,
        "surprise": column.surprise,
        "novelty": column.novelty,
        "level_dbfs": column.level_dbfs,
    })
}

/// What columns mean: how long they are, how many are kept, the centre of each band and the level of a number.
pub(super) fn axes() -> Value {
    let hundredths = |x: f64| (x * 100.0).round() / 100.0;
    json!({
        "column_s": COLUMN_S,
        "seconds": SECONDS,
        "band_hz": band_centres(BANDS).iter().map(|hz| hz.round()).collect::<Vec<_>>(),
        "level_0_db": hundredths(band_dbfs(LOWEST)),
        "level_step_db": band_dbfs(LOWEST + STEP) - band_dbfs(LOWEST),
    })
}

fn hex(bands: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |x: u8| DIGITS.get(usize::from(x)).copied().map_or('0', char::from);
    bands.iter().flat_map(|&level| [digit(level >> 4), digit(level & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(t_s: f64) -> SpectrogramColumn {
        let bands = [171; BANDS];
        SpectrogramColumn { t_s, bands, score: None, surprise: Some(1.5), novelty: None, level_dbfs: -60.0 }
    }

    fn times(recent: &RecentColumns) -> Vec<f64> {
        recent.json()["t_s"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect()
    }

    #[test]
    fn a_minute_is_kept_and_a_new_beginning_forgets_it() {
        let recent = RecentColumns::new();
        let mut waiting = Vec::new();
        for n in 1..=3000 {
            waiting.push(column(f64::from(n) * COLUMN_S));
            recent.keep(&mut waiting);
        }
        assert!(waiting.is_empty());
        let kept = times(&recent);
        assert_eq!((kept.len(), kept[1199]), (COLUMNS, 150.0));
        // a gap of half a minute counts
        recent.keep(&mut vec![column(180.0)]);
        assert!(times(&recent)[0] >= 120.0);
        let json = recent.json();
        assert!(json["bands"][0].as_str().unwrap().starts_with("abab") && json["score"][0].is_null());
        assert_eq!(json["surprise"][0].as_f64(), Some(1.5));
        recent.keep(&mut vec![column(0.05)]);
        assert_eq!(times(&recent), [0.05]);
    }

    #[test]
    fn who_writes_does_not_wait_for_who_reads() {
        let recent = RecentColumns::new();
        let mut waiting = Vec::new();
        let reads = recent.0.lock().unwrap();
        for n in 1..=25 {
            waiting.push(column(f64::from(n)));
            recent.keep(&mut waiting);
        }
        drop(reads);
        assert_eq!((waiting.len(), times(&recent).len()), (WAITING, 0));
        recent.keep(&mut waiting);
        assert_eq!((waiting.len(), times(&recent).len()), (0, WAITING));
    }

    #[test]
    fn levels_are_those_of_the_builder() {
        let axes = axes();
        assert_eq!(axes["band_hz"].as_array().unwrap().len(), BANDS);
        // a number of 232 is 9.2 nats: a tone of full scale
        let level = axes["level_0_db"].as_f64().unwrap() + 232.0 * axes["level_step_db"].as_f64().unwrap();
        assert!((level + 3.0).abs() < 0.3, "{level}");
    }
}
