//! `encode`: z and c of recordings, for other programs.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::{SetThreads, open_model, stdout, stop_flag, use_threads};
use crate::cli::special::{is_special, stopped_at_a_pipe, until_stopped};
use crate::encode::Padding;
use crate::error::{Error, Result};
use crate::features::{EncodeJob, EncodeProgress, encode};
use crate::units::counted;

/// Write z [T, d] and c [T, h] of recordings, a row every 10 ms, with the time at which each frame ends in its own
/// recording. A last hop that a recording does not fill is left out.
#[derive(Debug, clap::Args)]
pub(super) struct EncodeArgs {
    /// Recordings (WAV, FLAC, OGG, MP3, M4A, AIFF, CAF and more, any rate, all channels mixed into one), each a stream of its own.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write: F.safetensors (z, c, t, file), F.npy (c, with z in F.z.npy and times in F.t.npy) or F.parquet (a
    /// row a frame).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// `causal`: silence before the recording, as in the daemon, in constant memory. `fb-exact`: the padding of
    /// CPC_audio, which looks 9.5 ms beyond a frame's hop, to compare with PyTorch; it needs the whole recording in
    /// memory.
    #[arg(long, default_value = "causal", value_parser = ["causal", "fb-exact"])]
    padding: String,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Runs it. An unreadable recording is reported on stderr and skipped.
///
/// # Errors
/// When none can be read, the output cannot be written, or the model has no such padding.
pub(super) fn run(args: &EncodeArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    let padding = if args.padding == "fb-exact" { Padding::FbExact } else { Padding::Causal };
    let job = EncodeJob { files: args.files.clone(), out: args.out.clone(), padding };
    let (manifest, cpc) = open_model(args.model.as_deref())?;
    let stop = stop_flag()?;
    let style = ProgressStyle::with_template("{prefix} {wide_msg} {bar:30} {elapsed} eta {eta}");
    let bar = ProgressBar::new(0).with_style(style.map_err(|e| Error::internal(e.to_string()))?);
    let special = job.files.iter().any(|path| is_special(path));
    let work = {
        let (bar, manifest, stop) = (bar.clone(), manifest.clone(), Arc::clone(&stop));
        move || {
            encode(&job, (&manifest, cpc), &mut |progress| {
                match progress {
                    EncodeProgress::Begins { file, path, seconds } => {
                        bar.set_prefix(format!("{}/{}", file + 1, job.files.len()));
                        bar.set_message(path.display().to_string());
                        bar.set_length((seconds.unwrap_or(0.0) * 1e3) as u64);
                        bar.reset();
                    }
                    EncodeProgress::Done { seconds } => bar.set_position((seconds * 1e3) as u64),
                    EncodeProgress::Failed { error } => {
                        // stderr may be closed
                        bar.suspend(|| drop(writeln!(std::io::stderr(), "left out: {error}")));
                    }
                }
                !stop.load(Ordering::Relaxed)
            })
        }
    };
    let card = until_stopped(&stop, special, work);
    bar.finish_and_clear();
    let mut out = stdout();
    let Some(card) = card? else {
        if special {
            return Err(stopped_at_a_pipe());
        }
        return out.line(format_args!("asked to stop: nothing was written"));
    };
    let frames: u64 = card.files.iter().map(|file| file.frames).sum();
    let sound = Duration::from_millis(10 * frames).as_secs_f64();
    out.line(format_args!(
        "wrote {}: {} ({sound:.1} s) of {}, model {} ({})",
        args.out.display(),
        counted(frames, "frame"),
        counted(card.files.iter().filter(|file| file.frames > 0).count(), "recording"),
        manifest.name,
        manifest.short_hash()
    ))
}
