//! Recordings to one file of features.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::extract::Extractor;
use super::output::{FeatureFile, Format};
use super::rows::{Card, Recording};
use crate::corpus::SoundFile;
use crate::encode::Padding;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cpc, Manifest};
use crate::units::{frame_end, samples_to_seconds};

/// A job of encoding.
#[derive(Debug, Clone)]
pub struct EncodeJob {
    /// The recordings.
    pub files: Vec<PathBuf>,
    /// Path of the output; the extension names the format.
    pub out: PathBuf,
    /// Padding around a recording.
    pub padding: Padding,
}

/// Progress of encoding.
#[derive(Debug)]
pub enum EncodeProgress<'a> {
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

/// Writes the features of all recordings that can be read. Others are reported to `watch` and skipped; one that fails
/// on the way keeps its frames so far. Returns the card of the file; `watch` ends the job by returning false, and
/// nothing is written then.
///
/// # Errors
/// A device error where no recording could be read; a configuration error where the output cannot be written; a model
/// error where the model has no form with that padding.
pub fn encode(
    job: &EncodeJob,
    (manifest, cpc): (&Manifest, Arc<Cpc>),
    watch: &mut dyn FnMut(EncodeProgress<'_>) -> bool,
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
            go_on &= watch(EncodeProgress::Begins { file, path, seconds: sound.duration_s() });
            extractor.run(&mut sound, &(file as u32, Arc::clone(&name)), &mut |rows| {
                frames = rows.first + rows.frames() as u64;
                out.write(rows)?;
                go_on &= watch(EncodeProgress::Done { seconds: samples_to_seconds(frame_end(frames - 1)) });
                if go_on { Ok(()) } else { Err(Error::config("asked to stop", "run it again")) }
            })
        });
        match done {
            _ if !go_on => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Device => {
                go_on &= watch(EncodeProgress::Failed { error: &error });
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
