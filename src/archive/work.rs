//! Results of finished recordings, until all are finished.
//!
//! A recording has a name of 32 hex digits, which stands for its path, size and time of change, the model and every
//! setting. `NAME.jsonl` and `NAME.csv` are its parts of the two outputs; `NAME.json`, written last and atomically,
//! marks them as complete. Without it, they are made again.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::row::Row;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::event::Finding;
use crate::model::replace_file;
use crate::output_file::{self, OutputFile};

/// Version of the names; recordings of another version are scored again.
const FORMAT: u32 = 2;
const LOCK: &str = "lock";
const HEADER: &str = "file,t_s,surprise,novelty,score,p\n";

/// The name of the recording at `path` under these settings; `known` names the calibration that it is scored by, if there is one
/// before.
pub(super) fn name(
    path: &Path,
    (model, known): (&str, Option<&str>),
    detect: &DetectConfig,
    rows: bool,
) -> Result<String> {
    let metadata = std::fs::metadata(path).ok();
    let changed = metadata.as_ref().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let identity = (
        (FORMAT, env!("CARGO_PKG_VERSION")),
        shown(path),
        (metadata.map(|m| m.len()), changed.map(|t| (t.as_secs(), t.subsec_nanos()))),
        (model, known, detect, rows),
    );
    let json = serde_json::to_vec(&identity).map_err(|e| Error::internal(format!("settings: {e}")))?;
    Ok(Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// The path as text that no other path has: bytes that are no UTF-8 are escaped.
fn shown(path: &Path) -> String {
    path.to_str().map_or_else(|| path.as_os_str().as_bytes().escape_ascii().to_string(), str::to_owned)
}

/// The summary of a finished recording.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSummary {
    /// Seconds of sound.
    pub(super) seconds: f64,
    /// Events in it.
    pub(super) events: u64,
    /// Bytes of its share of the events and of the frames.
    bytes: (u64, Option<u64>),
}

/// The folder, for one run at a time.
#[derive(Debug)]
pub(super) struct WorkFolder {
    folder: PathBuf,
    rows: bool,
    /// Locked for the length of the run; the system releases it even after a kill.
    _lock: File,
}

impl WorkFolder {
    /// Opens or makes the folder beside `out`. `rows` where frames are wanted.
    pub(super) fn open(out: &Path, rows: bool) -> Result<Self> {
        let folder = if output_file::is_device(out) {
            // no folder is made beside a pipe or a device, and no later run resumes from it
            std::env::temp_dir().join(format!("cpc-stream-score-{}.part", std::process::id()))
        } else {
            let mut folder = out.as_os_str().to_owned();
            folder.push(".part");
            PathBuf::from(folder)
        };
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(cannot_write(&folder, &e)),
            _ => {}
        }
        let path = folder.join(LOCK);
        let lock = File::options().create(true).append(true).open(&path);
        let lock = lock.map_err(|e| cannot_write(&path, &e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, rows, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::config(
                format!("another run writes {} just now", out.display()),
                "wait for it, or give another `--out`",
            )),
            // some network disks have no locks
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { folder, rows, _lock: lock })
            }
            Err(TryLockError::Error(e)) => Err(cannot_write(&path, &e)),
        }
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }

    /// The summary of a finished recording; `None` where it does not exist.
    pub(super) fn done(&self, name: &str) -> Option<FileSummary> {
        let done: FileSummary = serde_json::from_slice(&std::fs::read(self.path(name, "json")).ok()?).ok()?;
        let length = |extension| std::fs::metadata(self.path(name, extension)).ok().map(|m| m.len());
        let rows = if self.rows { length("csv") } else { None };
        (length("jsonl") == Some(done.bytes.0) && rows == done.bytes.1).then_some(done)
    }

    /// An empty result of the recording called `name`; `file` is its path for people.
    pub(super) fn begin(&self, name: &str, file: &Path) -> Result<PartialResult> {
        // until the new result is complete, there is none
        let _ = std::fs::remove_file(self.path(name, "json"));
        let events = OutputPart::create(self.path(name, "jsonl"))?;
        let rows = if self.rows {
            let share = OutputPart::create(self.path(name, "csv"))?;
            let path = share.path.clone();
            Some((csv::WriterBuilder::new().has_headers(false).from_writer(share), path))
        } else {
            None
        };
        let file = shown(file);
        Ok(PartialResult { commit: self.path(name, "json"), file, events, rows, number: 0 })
    }

    /// Joins the results of the recordings called `names`, in this order, and moves the outputs to their places.
    pub(super) fn assemble(&self, names: &[String], out: &Path, frames: Option<&Path>) -> Result<()> {
        if let Some(frames) = frames {
            self.join(names, "csv", HEADER, frames)?;
        }
        self.join(names, "jsonl", "", out)
    }

    fn join(&self, names: &[String], extension: &str, header: &str, to: &Path) -> Result<()> {
        let joined = || -> io::Result<()> {
            let mut output = OutputFile::create(to)?;
            let mut whole = output.take()?;
            whole.write_all(header.as_bytes())?;
            for name in names {
                io::copy(&mut File::open(self.path(name, extension))?, &mut whole)?;
            }
            output_file::sync(&whole)?;
            output.keep()
        };
        joined().map_err(|e| cannot_write(to, &e))
    }

    /// Removes the folder, unless it holds other files.
    pub(super) fn remove(self) {
        let ours = |file: &str| {
            let name = file.split('.').next().unwrap_or_default();
            file == LOCK || (name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(ours) {
                // a remaining folder does no harm
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A file of the folder while it is written.
struct OutputPart {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl OutputPart {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|e| cannot_write(&path, &e))?;
        Ok(Self { path, out: BufWriter::new(file), bytes: 0 })
    }

    /// Gives the length once all is on the disk.
    fn finish(mut self) -> Result<u64> {
        let synced = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        synced.map_err(|e| cannot_write(&self.path, &e))?;
        Ok(self.bytes)
    }
}

impl Write for OutputPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The result of one recording while it is scored. Without a commit it does not count.
pub(super) struct PartialResult {
    commit: PathBuf,
    file: String,
    events: OutputPart,
    rows: Option<(csv::Writer<OutputPart>, PathBuf)>,
    number: u64,
}

/// An event with the recording that it is in.
#[derive(Serialize)]
struct JsonLine<'a> {
    file: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl PartialResult {
    pub(super) fn event(&mut self, finding: &Finding) -> Result<()> {
        let line = serde_json::to_string(&JsonLine { file: &self.file, finding });
        let line = line.map_err(|e| Error::internal(format!("an event has no JSON form: {e}")))?;
        self.number += 1;
        writeln!(self.events, "{line}").map_err(|e| cannot_write(&self.events.path, &e))
    }

    pub(super) fn row(&mut self, row: &Row) -> Result<()> {
        let Some((rows, path)) = &mut self.rows else { return Ok(()) };
        let (surprise, novelty) = (row.surprise.map(digits), row.novelty.map(digits));
        let row = (&self.file, row.t_s, surprise, novelty, digits(row.score), digits(row.p));
        rows.serialize(row).map_err(|e| cannot_write(path, &e))
    }

    /// Commits the result.
    pub(super) fn commit(self, seconds: f64) -> Result<FileSummary> {
        let rows = self.rows.map(|(rows, path)| {
            let share = rows.into_inner().map_err(|e| cannot_write(&path, &e.into_error()))?;
            share.finish()
        });
        let bytes = (self.events.finish()?, rows.transpose()?);
        let done = FileSummary { seconds, events: self.number, bytes };
        let json = serde_json::to_vec(&done).map_err(|e| Error::internal(format!("a share: {e}")))?;
        replace_file(&self.commit, &json).map_err(|e| Error::config(e.to_string(), e.fix()))?;
        Ok(done)
    }
}

/// `x` to six significant digits, which is more than it is good for.
fn digits(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

fn cannot_write(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::config(format!("cannot write {}: {why}", path.display()), "check the folder and the free space")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples::finding;

    fn row(t_s: f64) -> Row {
        Row { t_s, surprise: Some(1.0 / 3.0), novelty: None, score: 7.0, p: 1e-7 }
    }

    #[test]
    fn shares_count_once_they_are_whole_and_join_in_order() {
        let home = tempfile::tempdir().unwrap();
        let (out, frames) = (home.path().join("e.jsonl"), home.path().join("f.csv"));
        let work = WorkFolder::open(&out, true).unwrap();
        let other = WorkFolder::open(&out, true).unwrap_err();
        assert!(other.to_string().contains("another run"), "{other}");
        let names: Vec<String> = ["a", "b"].map(|n| n.repeat(32)).to_vec();
        for (number, name) in names.iter().enumerate().rev() {
            let mut draft = work.begin(name, Path::new("a, b.wav")).unwrap();
            draft.event(&finding(number as u64)).unwrap();
            draft.row(&row(0.1)).unwrap();
            assert_eq!(work.done(name), None);
            let done = draft.commit(5.0).unwrap();
            assert_eq!(work.done(name), Some(done));
        }
        work.assemble(&names, &out, Some(&frames)).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        let numbers: Vec<u64> =
            text.lines().map(|l| serde_json::from_str::<Finding>(l).unwrap().number).collect();
        assert_eq!(numbers, [0, 1]);
        let line = "\"a, b.wav\",0.1,0.333333,,7.0,1e-7\n";
        assert_eq!(std::fs::read_to_string(&frames).unwrap(), format!("{HEADER}{line}{line}"));

        // half a share is none
        let path = work.path(&names[0], "csv");
        std::fs::write(&path, "half").unwrap();
        assert_eq!(work.done(&names[0]), None);
        std::fs::write(work.folder.join("notes.txt"), "mine").unwrap();
        let folder = work.folder.clone();
        work.remove();
        let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }

    #[test]
    fn names_depend_on_the_file_and_every_setting() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.wav");
        std::fs::write(&path, "one").unwrap();
        let detect = DetectConfig::default();
        let first = name(&path, ("m", None), &detect, true).unwrap();
        assert_eq!(first, name(&path, ("m", None), &detect, true).unwrap());
        let other = DetectConfig { events_per_hour: 2.0, ..detect.clone() };
        let mut names = vec![
            first,
            name(&path, ("n", None), &detect, true).unwrap(),
            name(&path, ("m", None), &other, true).unwrap(),
            name(&path, ("m", None), &detect, false).unwrap(),
            name(&path, ("m", Some("c")), &detect, true).unwrap(),
        ];
        std::fs::write(&path, "more").unwrap();
        names.push(name(&path, ("m", None), &detect, true).unwrap());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
    }
}
