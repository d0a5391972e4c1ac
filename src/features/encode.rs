//! Recordings to one file of features.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::extract::Extractor;
use super::output::{Card, FeatureFile, Format, Recording};
use crate::corpus::SoundFile;
use crate::encode::Padding;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cpc, Manifest};
use crate::units::{frame_end, samples_to_seconds};

/// What to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// The recordings.
    pub files: Vec<PathBuf>,
    /// Where the features go; the extension names the format.
    pub out: PathBuf,
    /// What stands around a recording.
    pub padding: Padding,
}

/// How it goes.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A recording begins.
    Begins {
        /// Its place in the list.
        file: usize,
        /// Its path.
        path: &'a Path,
        /// Its length in seconds, where its header tells it.
        seconds: Option<f64>,
    },
    /// So many seconds of it are done.
    Done {
        /// Seconds.
        seconds: f64,
    },
    /// It cannot be read, or not further.
    Failed {
        /// Why.
        error: &'a Error,
    },
}

/// Writes the features of all recordings that can be read. Others are told to `watch` and left out; one that fails on
/// the way keeps the frames until there. Gives what the file says of itself; nothing is written where `watch` said
/// false, which ends it.
///
/// # Errors
/// A device error where no recording could be read; a configuration error where the output cannot be written; a model
/// error where the model has no form with that padding.
pub fn encode(
    job: &Job,
    (manifest, cpc): (&Manifest, Arc<Cpc>),
    watch: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Result<Option<Card>> {
    Format::of(&job.out)?;
    let architecture = &manifest.architecture;
    let widths = (architecture.encoder.latent(), architecture.context.width());
    let extractor = Extractor::new(cpc, job.padding)?;
    let mut out = FeatureFile::create(&job.out, widths, job.files.len())?;
    let mut card = Card {
        model: manifest.name.clone(),
        model_sha256: manifest.sha256.clone(),
        padding: if job.padding == Padding::FbExact { "fb-exact" } else { "causal" }.to_owned(),
        sample_rate: manifest.sample_rate,
        hop: manifest.hop,
        files: Vec::with_capacity(job.files.len()),
    };
    let mut go_on = true;
    for (file, path) in job.files.iter().enumerate() {
        let name: Arc<str> = path.display().to_string().into();
        let mut frames = 0;
        let done = SoundFile::open(path).and_then(|mut sound| {
            go_on &= watch(Progress::Begins { file, path, seconds: sound.duration_s() });
            extractor.run(&mut sound, &(file as u32, Arc::clone(&name)), &mut |rows| {
                frames = rows.first + rows.frames() as u64;
                out.write(rows)?;
                go_on &= watch(Progress::Done { seconds: samples_to_seconds(frame_end(frames - 1)) });
                if go_on { Ok(()) } else { Err(Error::config("asked to stop", "run it again")) }
            })
        });
        match done {
            _ if !go_on => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Device => {
                go_on &= watch(Progress::Failed { error: &error });
            }
            Err(error) => return Err(error),
        }
        card.files.push(Recording { path: name.to_string(), frames });
    }
    if card.files.iter().all(|file| file.frames == 0) {
        let count = job.files.len();
        return Err(Error::device(
            format!("none of {count} recordings could be read, and nothing was written"),
            "give audio files with at least 10 ms of sound in them",
        ));
    }
    out.finish(&card)?;
    Ok(Some(card))
}
