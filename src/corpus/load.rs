//! Finding and reading the files of a corpus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Recording;
use super::folder::{Found, check_regular, walk};
use crate::audio_file::AudioReader;
use crate::error::{Error, Result};
use crate::resample::StreamResampler;
use crate::units::{HOP, MODEL_RATE, samples_to_seconds};

/// Which rows of a manifest to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// `split = train`; every file of a folder without a manifest.
    Train,
    /// `split = eval`.
    Eval,
}

/// The recordings of a folder.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// Recordings, ordered by id.
    pub recordings: Vec<Recording>,
    /// Files that were left out, with the reason, one line each.
    pub skipped: Vec<String>,
    /// Files that were changed on the way in, and how, one line each.
    pub handled: Vec<String>,
    /// Licences named in the manifest with the number of clips of each.
    pub licences: BTreeMap<String, usize>,
}

#[derive(Debug, Deserialize)]
struct Row {
    file: PathBuf,
    split: String,
    #[serde(default)]
    set: String,
    #[serde(default)]
    speaker: String,
    #[serde(default)]
    licence: String,
    #[serde(default)]
    source: String,
}

impl Row {
    /// A freshly cut clip of a named source belongs to that source; speech belongs to its speaker.
    fn recording(&self) -> String {
        if self.source.contains("freesound") {
            format!("{} {}", self.set, self.source)
        } else if self.speaker.is_empty() {
            self.file.display().to_string()
        } else {
            format!("{} speaker {}", self.set, self.speaker)
        }
    }
}

/// A recording shorter than this has no use: a quarter of a second.
const SHORTEST: usize = MODEL_RATE as usize / 4;
/// More sound than this in one file is logged, since it stays in memory.
const LONG_S: f64 = 3600.0;

impl Corpus {
    /// Reads the selected files of `data`, a folder or a `manifest.csv`; `progress` is called with files done and
    /// files in all. Files that cannot be read are listed in `skipped`, not fatal. Sound is kept in memory as 16
    /// bit samples, 115 MB an hour.
    ///
    /// # Errors
    /// When the folder or its manifest cannot be read, or no file is selected.
    pub fn load(data: &Path, selection: Selection, mut progress: impl FnMut(usize, usize)) -> Result<Self> {
        let (folder, rows, skipped) = list(data, selection)?;
        let mut recordings: BTreeMap<String, Recording> = BTreeMap::new();
        let mut corpus =
            Self { recordings: Vec::new(), skipped, handled: Vec::new(), licences: BTreeMap::new() };
        let total = rows.len();
        for (done, row) in rows.into_iter().enumerate() {
            let id = row.recording();
            let recording = recordings.entry(id.clone()).or_insert_with(|| {
                let mut recording = Recording::new(id);
                (recording.set, recording.speaker) = (row.set.clone(), row.speaker.clone());
                recording
            });
            let (length, clips) = (recording.len(), recording.clips);
            match append(&folder.join(&row.file), recording) {
                Ok(note) => {
                    corpus.handled.extend(note.map(|note| format!("{}: {note}", row.file.display())));
                    if !row.licence.is_empty() {
                        *corpus.licences.entry(format!("{}: {}", row.set, row.licence)).or_default() += 1;
                    }
                }
                Err(error) => {
                    recording.rewind(length, clips);
                    corpus.skipped.push(error.to_string());
                }
            }
            progress(done + 1, total);
        }
        for mut recording in recordings.into_values() {
            if recording.len() >= SHORTEST {
                recording.finish();
                corpus.recordings.push(recording);
            } else if recording.clips > 0 {
                let (id, found) = (&recording.id, recording.len());
                corpus.skipped.push(format!("{id}: {found} samples of sound, at least {SHORTEST} expected"));
            }
        }
        Ok(corpus)
    }

    /// Clips in all recordings.
    #[must_use]
    pub fn clips(&self) -> usize {
        self.recordings.iter().map(|r| r.clips).sum()
    }

    /// Hours of sound, digital silence not counted.
    #[must_use]
    pub fn hours(&self) -> f64 {
        self.recordings.iter().map(|r| samples_to_seconds(r.len() as u64)).sum::<f64>() / 3600.0
    }
}

/// Appends a file block by block; returns a description of the changes made to it, if any.
fn append(path: &Path, recording: &mut Recording) -> Result<Option<String>> {
    check_regular(path)?;
    let mut reader = AudioReader::open(path)?;
    let mut resampler = StreamResampler::new(reader.rate())?;
    let (mut block, mut ready) = (Vec::new(), Vec::new());
    recording.clips += 1;
    let mut received = 0u64;
    loop {
        let more = reader.next_mono(None, &mut block)?;
        if more {
            received += block.len() as u64;
            resampler.push(&block, &mut ready)?;
        } else {
            resampler.flush(&mut ready)?;
        }
        let whole = if more { ready.len() / HOP * HOP } else { ready.len() };
        recording.push_piece(ready.get(..whole).unwrap_or(&ready));
        ready.drain(..whole);
        if !more {
            break;
        }
    }
    let mut done = Vec::new();
    if reader.channels() > 1 {
        done.push(format!("{} channels mixed to one", reader.channels()));
    }
    if reader.rate() < MODEL_RATE {
        done.push(format!("{} Hz resampled, nothing above {} Hz", reader.rate(), reader.rate() / 2));
    }
    let seconds = received as f64 / f64::from(reader.rate());
    if seconds > LONG_S {
        done.push(format!("{:.1} h of sound kept in memory", seconds / 3600.0));
    }
    if reader.is_damaged() {
        done.push(format!("damaged, {seconds:.1} s of it used"));
    }
    Ok((!done.is_empty()).then(|| done.join(", ")))
}

/// The folder that the files are in, the rows, and what cannot be read, a line each.
fn list(data: &Path, selection: Selection) -> Result<(PathBuf, Vec<Row>, Vec<String>)> {
    let mut skipped = Vec::new();
    let (folder, manifest) = if data.is_file() {
        (data.parent().unwrap_or(Path::new(".")).to_owned(), data.to_owned())
    } else {
        (data.to_owned(), data.join("manifest.csv"))
    };
    let rows = if manifest.is_file() {
        let unreadable = |e: csv::Error| {
            Error::config(
                format!("{}: {e}", manifest.display()),
                "give it a header line with at least the columns file and split",
            )
        };
        let mut reader = csv::Reader::from_path(&manifest).map_err(unreadable)?;
        let wanted = match selection {
            Selection::Train => "train",
            Selection::Eval => "eval",
        };
        let rows = reader.deserialize().collect::<Result<Vec<Row>, _>>().map_err(unreadable)?;
        rows.into_iter().filter(|row| row.split == wanted).collect()
    } else {
        let mut found = Found::default();
        walk(&folder, &mut found);
        found.files.sort();
        match found.unread.iter().find(|(path, _)| *path == folder) {
            Some((_, reason)) if found.files.is_empty() => {
                return Err(Error::config(
                    format!("folder {}: {reason}", folder.display()),
                    "give `--data` a folder that exists and can be read",
                ));
            }
            _ => {
                skipped = found
                    .unread
                    .iter()
                    .map(|(path, reason)| format!("{}: {reason}", path.display()))
                    .collect();
            }
        }
        found.files.into_iter().filter_map(|path| row_of(&folder, &path)).collect::<Vec<_>>()
    };
    if rows.is_empty() {
        return Err(Error::config(
            format!("no audio selected in {}", data.display()),
            "give a folder with audio files, or a manifest.csv with rows of that split",
        ));
    }
    Ok((folder, rows, skipped))
}

fn row_of(folder: &Path, path: &Path) -> Option<Row> {
    let file = path.strip_prefix(folder).ok()?.to_owned();
    let empty = String::new;
    Some(Row {
        file,
        split: "train".to_owned(),
        set: empty(),
        speaker: empty(),
        licence: empty(),
        source: empty(),
    })
}
