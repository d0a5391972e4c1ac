//! The state folder, the process that uses it, and the outbox in it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::run::RunArgs;
use super::finding::{DoctorReport, Finding};
use super::permission;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::publish::inspect;
use crate::units::counted;

const CHECK: &str = "state folder";
const OUTBOX: &str = "outbox";
/// The folder of the unit, which systemd names to the daemon alone.
pub(in crate::cli) const OF_UNIT: &str = "/var/lib/cpc-stream";
/// A disk that takes longer for one block delays events.
const SLOW_MS: f64 = 500.0;

/// Looks at both; the daemon that uses the folder.
pub(super) fn check(config: &Config, args: &RunArgs, report: &mut DoctorReport) -> Result<Option<String>> {
    let folder = match folder(config, args) {
        Ok(folder) => folder,
        Err(error) => {
            report.add(Finding::fail(CHECK, &error))?;
            return Ok(None);
        }
    };
    let daemon = holder(Path::new("/proc"), &folder.join("lock"));
    report.add(writable(&folder, daemon.as_deref(), config))?;
    if config.publish.broker.is_some() {
        report.add(outbox(&folder, daemon.is_some()))?;
    }
    Ok(daemon)
}

/// As the daemon, but for the folder that only systemd would name.
fn folder(config: &Config, args: &RunArgs) -> Result<PathBuf> {
    let installed = args.config.as_deref().is_some_and(|file| file.starts_with("/etc/cpc-stream"));
    let named = !config.state_dir.as_os_str().is_empty() || std::env::var_os("STATE_DIRECTORY").is_some();
    if installed && !named && Path::new(OF_UNIT).exists() {
        return Ok(PathBuf::from(OF_UNIT));
    }
    config.state_folder()
}

fn writable(folder: &Path, daemon: Option<&str>, config: &Config) -> Finding {
    let refused = |at: &Path, error: &std::io::Error| {
        Finding::fail(
            CHECK,
            &Error::config(
                format!("{} takes no files: {error}", at.display()),
                "give it to the user of the daemon (chown), or name another by `--state-dir` or state_dir; look at the \
                 daemon's own as that user or with sudo",
            ),
        )
    };
    let there = existing(folder);
    // of a folder that the daemon would make, the one above must take it
    let took = match try_out(there) {
        Ok(took) => took,
        Err(error) => return refused(there, &error),
    };
    let user = daemon.map_or_else(|| "nobody uses it".to_owned(), |daemon| format!("{daemon} uses it"));
    let new = if there == folder { "" } else { " (to be made)" };
    let free = rustix::fs::statvfs(there).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let snapshots = config.snapshots.spectrogram || config.snapshots.clip;
    let needed = config.publish.outbox_max_bytes + if snapshots { config.snapshots.max_bytes } else { 0 };
    let text = format!("{}{new}, {user}, a block is on the disk after {took:.1} ms", folder.display());
    match free {
        Ok(free) if free < needed => Finding::warn(
            CHECK,
            format!("{text}; {} MiB are free, up to {} may be needed", free >> 20, needed >> 20),
            "make room, or lower publish.outbox_max_bytes and snapshots.max_bytes",
        ),
        _ if took > SLOW_MS => Finding::warn(
            CHECK,
            text,
            "events wait for the disk: another disk or another SD card is faster, or name a folder elsewhere by state_dir",
        ),
        Ok(free) => Finding::ok(CHECK, format!("{text}, {} MiB free", free >> 20)),
        Err(_) => Finding::ok(CHECK, text),
    }
}

/// The folder, or of those above it the first that exists.
fn existing(folder: &Path) -> &Path {
    let found = folder.ancestors().find(|at| at.exists());
    // above `st-x` there is an empty path, which is the working directory
    found.unwrap_or(Path::new("."))
}

/// Milliseconds for a block that is really written.
fn try_out(folder: &Path) -> std::io::Result<f64> {
    let path = folder.join(format!(".cpc-stream-doctor-{}", std::process::id()));
    let began = Instant::now();
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = 1e3 * began.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    written.map(|()| took)
}

fn outbox(folder: &Path, held: bool) -> Finding {
    if held {
        return Finding::ok(OUTBOX, "in use by the daemon; its health document says what waits");
    }
    if !folder.join("outbox.redb").exists() {
        return Finding::ok(OUTBOX, "none yet");
    }
    let found = match inspect(folder) {
        Ok(found) => found,
        Err(error) => return Finding::fail(OUTBOX, &error),
    };
    if let Some(fault) = found.faults.first() {
        return Finding::fail(
            OUTBOX,
            &Error::broker(
                format!("it is not sound: {fault}"),
                "save what can be read with `cpc-stream outbox export`, then move outbox.redb away",
            ),
        );
    }
    let text = match &found.oldest {
        None => "readable, nothing waits".to_owned(),
        Some(oldest) => {
            format!(
                "readable, {} waiting for the broker since {oldest}",
                counted(found.records as usize, "document")
            )
        }
    };
    match found.moved_aside.last() {
        None => Finding::ok(OUTBOX, text),
        Some(file) => Finding::warn(
            OUTBOX,
            format!("{text}; a damaged one was moved aside: {}", file.display()),
            "check the disk (`dmesg`), then delete that file",
        ),
    }
}

/// The process that holds `lock`, by the kernel's list of locks. The lock is not tried: a daemon that starts in that moment
/// would be refused.
fn holder(proc: &Path, lock: &Path) -> Option<String> {
    let inode = fs::metadata(lock).ok()?.ino().to_string();
    let locks = fs::read_to_string(proc.join("locks")).ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, mode, process, place) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let same = kind == "FLOCK" && mode == "WRITE" && place.rsplit(':').next() == Some(&inode);
        same.then(|| permission::named(proc, process))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_holds_the_lock_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(Path::new("/proc"), &path), None);
        let file = File::create(&path).unwrap();
        assert_eq!(holder(Path::new("/proc"), &path), None);
        file.try_lock().unwrap();
        let found = holder(Path::new("/proc"), &path).unwrap();
        assert!(found.contains(&std::process::id().to_string()), "{found}");
    }

    #[test]
    fn a_relative_folder_is_made_in_the_working_directory() {
        assert_eq!(existing(Path::new("no-such-folder")), Path::new("."));
        assert_eq!(existing(Path::new("no-such-folder/inner")), Path::new("."));
        assert_eq!(existing(Path::new("src/no-such-folder")), Path::new("src"));
        assert_eq!(existing(Path::new("/proc/no-such-folder")), Path::new("/proc"));
    }

    #[test]
    fn no_files_remain_after_a_check() {
        let folder = tempfile::tempdir().unwrap();
        assert!(try_out(folder.path()).unwrap() > 0.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(try_out(Path::new("/proc")).is_err());
    }
}
