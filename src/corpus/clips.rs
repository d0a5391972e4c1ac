//! Clips one by one, with their rows of the manifest.

use std::path::Path;

use serde::Deserialize;

use super::Selection;
use crate::audio_file::read_mono;
use crate::error::{Error, Result};
use crate::resample::resample_clip;
use crate::units::{HOP, MODEL_RATE, from_i16, to_i16};

/// Seconds of a clip that are kept; a longer one ends here.
pub const LONGEST_CLIP_S: usize = 60;

/// A row of a manifest. Columns that are not there are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ClipRow {
    /// The file, seen from the folder of the manifest.
    pub file: String,
    /// `train`, `eval` or anything else, which no evaluation reads.
    pub split: String,
    /// Label of the sound.
    #[serde(default)]
    pub label: String,
    /// The collection that the clip is of.
    #[serde(default)]
    pub set: String,
    /// The speaker.
    #[serde(default)]
    pub speaker: String,
    /// Part of the collection's own division, if it has one.
    #[serde(default)]
    pub fold: String,
}

impl ClipRow {
    /// Whether the row belongs to this part of the manifest.
    #[must_use]
    pub fn is(&self, selection: Selection) -> bool {
        match selection {
            Selection::Train => self.split == "train",
            Selection::Eval => self.split == "eval",
        }
    }
}

/// A clip at 16 kHz in whole hops, at least one.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Its row of the manifest.
    pub row: ClipRow,
    /// 16-bit integers: half the memory of floats, and what the files hold.
    samples: Vec<i16>,
}

impl Clip {
    /// A clip of samples in [-1, 1]: whole hops up to [`LONGEST_CLIP_S`]. `None` if there is no whole hop.
    #[must_use]
    pub fn new(row: ClipRow, samples: &[f32]) -> Option<Self> {
        Self::up_to(row, samples, LONGEST_CLIP_S)
    }

    /// The same up to `longest_s` seconds.
    #[must_use]
    pub fn up_to(row: ClipRow, samples: &[f32], longest_s: usize) -> Option<Self> {
        let whole = samples.len().min(longest_s * MODEL_RATE as usize) / HOP * HOP;
        let samples: Vec<i16> = samples.iter().take(whole).map(|&x| to_i16(x)).collect();
        if samples.is_empty() { None } else { Some(Self { row, samples }) }
    }

    /// Frames of 10 ms.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / HOP
    }

    /// Samples in [-1, 1].
    pub fn samples(&self) -> impl Iterator<Item = f32> + '_ {
        self.samples.iter().map(|&x| from_i16(x))
    }

    /// For each frame whether it holds sound: a sample beyond two steps of 16 bit. Padding does not.
    #[must_use]
    pub fn has_sound(&self) -> Vec<bool> {
        self.samples.chunks_exact(HOP).map(|hop| hop.iter().any(|x| x.unsigned_abs() > 2)).collect()
    }
}

/// The rows of `folder/manifest.csv`.
///
/// # Errors
/// When there is no manifest, it cannot be read, or it has no row.
pub fn read_rows(folder: &Path) -> Result<Vec<ClipRow>> {
    let manifest = folder.join("manifest.csv");
    let refuse = |what: String| {
        Error::config(
            format!("{}: {what}", manifest.display()),
            "give a folder with a manifest.csv: a header line with file, split and label, a row a clip",
        )
    };
    let mut reader = csv::Reader::from_path(&manifest).map_err(|e| refuse(e.to_string()))?;
    let rows: Vec<ClipRow> =
        reader.deserialize().collect::<Result<_, _>>().map_err(|e| refuse(e.to_string()))?;
    if rows.is_empty() { Err(refuse("no rows".to_owned())) } else { Ok(rows) }
}

/// Reads the clips of `rows`, in their order; those that cannot be read are left out, with a line of reason each.
/// `progress` is called with clips done and clips in all.
pub fn read_clips(
    folder: &Path,
    rows: &[&ClipRow],
    progress: impl FnMut(usize, usize),
) -> (Vec<Clip>, Vec<String>) {
    read_clips_up_to(folder, rows, LONGEST_CLIP_S, progress)
}

/// [`read_clips`] for clips of up to `longest_s` seconds; a longer one ends there.
pub fn read_clips_up_to(
    folder: &Path,
    rows: &[&ClipRow],
    longest_s: usize,
    mut progress: impl FnMut(usize, usize),
) -> (Vec<Clip>, Vec<String>) {
    let (mut clips, mut skipped) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, &row) in rows.iter().enumerate() {
        let read = read_mono(folder.join(&row.file)).and_then(|(x, rate)| resample_clip(&x, rate));
        match read.map(|samples| Clip::up_to(row.clone(), &samples, longest_s)) {
            Ok(Some(clip)) => clips.push(clip),
            Ok(None) => skipped.push(format!("{}: shorter than a hop of 10 ms", row.file)),
            Err(error) => skipped.push(error.to_string()),
        }
        progress(index + 1, rows.len());
    }
    (clips, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_whole_hops_and_knows_its_padding() {
        let mut samples = vec![0.25f32; 3 * HOP];
        samples.resize(5 * HOP + 7, 0.0);
        let clip = Clip::new(ClipRow::default(), &samples).unwrap();
        assert_eq!(clip.frames(), 5);
        assert_eq!(clip.has_sound(), [true, true, true, false, false]);
        assert!(clip.samples().take(3 * HOP).all(|x| x == 0.25));
        assert!(Clip::new(ClipRow::default(), &samples[..HOP - 1]).is_none());
    }

    #[test]
    fn rows_need_no_more_than_file_and_split() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.csv"), "split,file,other\neval,a.wav,1\n").unwrap();
        let rows = read_rows(folder.path()).unwrap();
        let expected = ClipRow { file: "a.wav".into(), split: "eval".into(), ..ClipRow::default() };
        assert_eq!(rows, [expected]);
        assert!(rows[0].is(Selection::Eval) && !rows[0].is(Selection::Train));
        let (clips, skipped) = read_clips(folder.path(), &[&rows[0]], |_, _| ());
        assert!(clips.is_empty() && skipped[0].contains("a.wav"), "{skipped:?}");
        std::fs::write(folder.path().join("manifest.csv"), "file\na.wav\n").unwrap();
        assert!(read_rows(folder.path()).unwrap_err().to_string().contains("split"));
    }
}
