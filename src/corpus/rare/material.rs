//! What streams are made of: backgrounds and foreign sounds.

use std::collections::BTreeMap;
use std::path::Path;

use super::synthetic;
use crate::corpus::{ClipRow, Selection, read_clips, read_rows};
use crate::error::{Error, Result};
use crate::units::{HOP, MODEL_RATE, level_dbfs, seconds_to_samples};

/// Classes of ESC-50 that go on and on.
const STEADY: [&str; 12] = [
    "Rain",
    "Wind",
    "Sea waves",
    "Crickets",
    "Vacuum cleaner",
    "Engine",
    "Train",
    "Airplane",
    "Helicopter",
    "Washing machine",
    "Crackling fire",
    "Insects (flying)",
];
/// Classes of ESC-50 that are events to whoever lives beside one of those.
const FOREIGN: [&str; 9] = [
    "Glass breaking",
    "Siren",
    "Dog",
    "Crying baby",
    "Door knock",
    "Car horn",
    "Chainsaw",
    "Clock alarm",
    "Coughing",
];
/// Collections whose clips are backgrounds as they are, each clip a source; of the second, all clips are one source.
const LONG_SETS: [&str; 2] = ["blanket_ambience", "arabic_speech_commands"];
const ONE_PLACE_SET: &str = "maad_soundscape_24h";
/// A background has at least this much sound, seconds.
const LEAST_BACKGROUND_S: f64 = 4.0;
/// An event's active part, seconds.
const ACTIVE_S: (f64, f64) = (0.5, 3.0);
/// The active part is what lies within this many dB of the loudest 50 ms.
const ACTIVE_DB: f32 = 20.0;
/// RMS to which the clips of a background are brought, so that they could be one recording.
const LEVEL_DBFS: f32 = -30.0;

/// A place to listen to.
#[derive(Debug, Clone)]
pub struct Background {
    /// What it is.
    pub name: String,
    /// Its sound in pieces of any length, 16 kHz, of equal level; digital silence is cut out.
    pub clips: Vec<Vec<f32>>,
    /// Another recording of its kind, if there is one.
    pub second: Option<Vec<f32>>,
}

/// Backgrounds and foreign sounds.
#[derive(Debug, Clone)]
pub struct Material {
    /// Where streams play.
    pub backgrounds: Vec<Background>,
    /// What is planted: label and active part.
    pub foreign: Vec<(String, Vec<f32>)>,
    /// Files that were left out, a line each.
    pub skipped: Vec<String>,
}

impl Material {
    /// The clips of a folder with a `manifest.csv` whose labels are those of ESC-50 (and, where they are there, long
    /// ambiences). `progress` is called with clips done and clips in all.
    ///
    /// # Errors
    /// When the manifest cannot be read, or has no backgrounds or nothing foreign in that split.
    pub fn read(folder: &Path, selection: Selection, progress: impl FnMut(usize, usize)) -> Result<Self> {
        let rows = read_rows(folder)?;
        let is_long = |row: &ClipRow| {
            LONG_SETS.contains(&row.set.as_str()) && (row.set != LONG_SETS[1] || row.label == "background")
        };
        let wanted = |row: &&ClipRow| {
            let label = row.label.as_str();
            let esc = row.set == "esc50" && (STEADY.contains(&label) || FOREIGN.contains(&label));
            row.is(selection) && (esc || is_long(row) || row.set == ONE_PLACE_SET)
        };
        let rows: Vec<&ClipRow> = rows.iter().filter(wanted).collect();
        let (clips, skipped) = read_clips(folder, &rows, progress);
        let mut places: BTreeMap<String, Vec<Vec<f32>>> = BTreeMap::new();
        let mut foreign = Vec::new();
        for clip in clips {
            let (row, samples) = (&clip.row, without_padding(&clip.samples().collect::<Vec<_>>()));
            if row.set == "esc50" && FOREIGN.contains(&row.label.as_str()) {
                foreign.extend(active_part(&samples).map(|part| (row.label.clone(), part)));
            } else {
                let stem = Path::new(&row.file).file_stem().unwrap_or_default().to_string_lossy();
                let name = if is_long(row) { stem.replace('_', " ") } else { row.label.clone() };
                let name = if row.set == "esc50" { name } else { format!("{name} (long)") };
                places.entry(name).or_default().extend(to_level(samples));
            }
        }
        let backgrounds = places.into_iter().filter_map(|(name, clips)| background(name, clips)).collect();
        Self { backgrounds, foreign, skipped }.checked(folder)
    }

    /// Fans, rain, engines and foreign sounds made from noise and oscillators: no data needed.
    #[must_use]
    pub fn synthetic(seed: u64) -> Self {
        synthetic::material(seed)
    }

    fn checked(self, folder: &Path) -> Result<Self> {
        if self.backgrounds.is_empty() || self.foreign.is_empty() {
            return Err(Error::config(
                format!(
                    "{}: {} backgrounds and {} foreign sounds in this split, at least one of each needed",
                    folder.display(),
                    self.backgrounds.len(),
                    self.foreign.len()
                ),
                "give a folder whose manifest.csv has set = esc50 with the labels of ESC-50 (Rain, Dog, …), or \
                 leave `--data` out for synthetic sound",
            ));
        }
        Ok(self)
    }
}

/// The last clip becomes the second recording where there are several.
fn background(name: String, mut clips: Vec<Vec<f32>>) -> Option<Background> {
    let second = if clips.len() > 2 { clips.pop() } else { None };
    let samples: usize = clips.iter().map(Vec::len).sum();
    (samples >= seconds_to_samples(LEAST_BACKGROUND_S) as usize).then_some(Background { name, clips, second })
}

/// Without hops of digital silence.
pub(crate) fn without_padding(samples: &[f32]) -> Vec<f32> {
    let heard = |hop: &&[f32]| hop.iter().any(|x| x.abs() > 2.0 / 32768.0);
    samples.chunks_exact(HOP).filter(heard).flatten().copied().collect()
}

/// Brought to [`LEVEL_DBFS`]; none where there is too little of it to be a piece of background.
pub(crate) fn to_level(samples: Vec<f32>) -> Option<Vec<f32>> {
    if samples.len() < seconds_to_samples(2.0) as usize {
        return None;
    }
    let gain = 10f32.powf((LEVEL_DBFS - level_dbfs(&samples)) / 20.0);
    Some(samples.into_iter().map(|x| x * gain).collect())
}

/// The loudest moment of a clip and what goes on around it, 0.5 to 3 s, with 10 ms fades; none where a clip is too
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
    fn a_folder_without_backgrounds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.csv"), "file,split\na.wav,train\n").unwrap();
        let error = Material::read(folder.path(), Selection::Train, |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("0 backgrounds"), "{error}");
    }
}
