//! Finding and reading the files of a corpus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Recording;
use crate::audio_file::read_mono;
use crate::error::{Error, Result};
use crate::resample::resample_clip;
use crate::units::{MODEL_RATE, samples_to_seconds};

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
    /// Files that could not be read, with the reason, one line each.
    pub skipped: Vec<String>,
    /// Licences named in the manifest with the number of clips of each.
    pub licences: BTreeMap<String, usize>,
}

#[derive(Debug, Deserialize)]
struct Row {
    file: String,
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
            self.file.clone()
        } else {
            format!("{} speaker {}", self.set, self.speaker)
        }
    }
}

impl Corpus {
    /// Reads the selected files of `folder`; `progress` is called with files done and files in all. Files that
    /// cannot be read are listed in `skipped`, not fatal.
    ///
    /// # Errors
    /// When the folder or its manifest cannot be read, or no file is selected.
    pub fn load(folder: &Path, selection: Selection, mut progress: impl FnMut(usize, usize)) -> Result<Self> {
        let rows = list(folder, selection)?;
        let mut recordings: BTreeMap<String, Recording> = BTreeMap::new();
        let mut corpus = Self { recordings: Vec::new(), skipped: Vec::new(), licences: BTreeMap::new() };
        let total = rows.len();
        for (done, row) in rows.into_iter().enumerate() {
            match read_mono(folder.join(&row.file)).and_then(|(samples, rate)| resample_clip(&samples, rate))
            {
                Ok(samples) => {
                    let id = row.recording();
                    recordings.entry(id.clone()).or_insert_with(|| Recording::new(id)).push_clip(&samples);
                    if !row.licence.is_empty() {
                        *corpus.licences.entry(format!("{}: {}", row.set, row.licence)).or_default() += 1;
                    }
                }
                Err(error) => corpus.skipped.push(error.to_string()),
            }
            progress(done + 1, total);
        }
        corpus.recordings =
            recordings.into_values().filter(|recording| recording.len() >= MODEL_RATE as usize / 4).collect();
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

fn list(folder: &Path, selection: Selection) -> Result<Vec<Row>> {
    let manifest = folder.join("manifest.csv");
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
        let mut files = Vec::new();
        walk(folder, &mut files)?;
        files.sort();
        files.into_iter().filter_map(|path| row_of(folder, &path)).collect::<Vec<_>>()
    };
    if rows.is_empty() {
        return Err(Error::config(
            format!("no audio selected in {}", folder.display()),
            "give a folder with WAV, FLAC or OGG files, or a manifest.csv with rows of that split",
        ));
    }
    Ok(rows)
}

fn row_of(folder: &Path, path: &Path) -> Option<Row> {
    let file = path.strip_prefix(folder).ok()?.to_str()?.to_owned();
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

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| {
        Error::config(format!("folder {}: {e}", folder.display()), "give `--data` a folder that exists")
    })?;
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = entry.file_type();
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            walk(&path, files)?;
        } else if path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| ["wav", "flac", "ogg"].contains(&e.to_ascii_lowercase().as_str()))
        {
            files.push(path);
        }
    }
    Ok(())
}
