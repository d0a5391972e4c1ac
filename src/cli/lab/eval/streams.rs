//! Streams and their truth as files.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::args::stdout;
use crate::corpus::rare::{Stream, StreamPlan};
use crate::error::{Error, Result};
use crate::units::{MODEL_RATE, samples_to_seconds, to_i16};

const TRUTH: &str = "file,family,collection,background,role,kind,label,ratio_db,onset_s,offset_s,known_from_s,\
                     unclear_until_s\n";
const STREAMS: &str = "file,family,collection,background,detail,seconds,quiet_s,repeated_s\n";

/// Writes each stream as a 16 kHz WAV to `folder`, what is in them to `truth.csv`, a line an anomaly or control, and
/// what they are to `streams.csv`.
///
/// # Errors
/// When the folder cannot be written to.
pub(super) fn write_streams(folder: &Path, plans: &[StreamPlan<'_>]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| refused(folder, &e))?;
    let (mut truth, mut streams) = (TRUTH.to_owned(), STREAMS.to_owned());
    for plan in plans {
        let stream = plan.stream();
        let file = format!("{}.wav", file_name(&stream.name));
        write_wav(&folder.join(&file), &stream.samples)?;
        describe(&stream, &file, &mut truth, &mut streams);
    }
    for (name, text) in [("truth.csv", truth), ("streams.csv", streams)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| refused(&path, &e))?;
    }
    stdout().line(format_args!(
        "{} streams, truth.csv and streams.csv are in {}",
        plans.len(),
        folder.display()
    ))
}

/// The name of a stream's files, without an ending.
pub(super) fn file_name(stream: &str) -> String {
    stream.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn describe(stream: &Stream, file: &str, truth: &mut String, streams: &mut String) {
    let Stream { family, collection, background, detail, quiet_s, repeated_s, .. } = stream;
    let seconds = samples_to_seconds(stream.samples.len() as u64);
    let _ = writeln!(
        streams,
        "{file},{family},{collection},{background},{detail},{seconds:.3},{quiet_s:.3},{repeated_s:.3}"
    );
    let of = format!("{file},{family},{collection},{background}");
    for e in &stream.events {
        let ratio = e.ratio_db.map_or_else(String::new, |r| r.to_string());
        let _ = writeln!(
            truth,
            "{of},event,{},{},{ratio},{:.3},{:.3},{:.3},{:.3}",
            e.kind, e.label, e.onset_s, e.offset_s, e.known_from_s, e.unclear_until_s
        );
    }
    for c in &stream.controls {
        let _ = writeln!(truth, "{of},control,{},,,{:.3},{:.3},,", c.kind, c.onset_s, c.offset_s);
    }
}

fn write_wav(path: &Path, samples: &[f32]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: MODEL_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || -> std::result::Result<(), hound::Error> {
        let mut wav = hound::WavWriter::create(path, spec)?;
        for x in samples {
            wav.write_sample(to_i16(*x))?;
        }
        wav.finalize()
    };
    write().map_err(|e| refused(path, &e))
}

/// A file or folder that cannot be written.
pub(super) fn refused(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::config(
        format!("cannot write {}: {error}", path.display()),
        "check the folder, its permissions and the free space",
    )
}
