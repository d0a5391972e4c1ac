//! A redb file in the state folder: how it is opened, and what is done about a bad one.

use std::fs::File;
use std::io::ErrorKind as Io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Builder, Database};

use crate::error::{Error, Result};

const FOLDER: &str = "name a folder with `--state-dir` where the daemon's user may write";
const CACHE_BYTES: usize = 4 << 20;

/// The reader of an opened file.
pub(crate) type Load<T> = fn(&Path) -> Result<T, redb::Error>;

/// The database of the file, made where it is missing; the whole of it is verified.
pub(crate) fn database(path: &Path) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(path)?)
}

/// Opens `path`, which errors call "the `what`", and says whether it is a new one in place of a corrupt one, which was moved
/// aside as `<path>.corrupt-<unix ms>`. The folder is made where it is missing.
///
/// # Errors
/// A configuration error where another process has the file open, a newer version wrote it, or it may not be opened; a broker
/// error where the disk refuses.
pub(crate) fn open<T>(path: &Path, what: &str, load: Load<T>) -> Result<(T, bool)> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| match error.kind() {
            // no waiting mends these, unlike a disk that is full or read-only
            Io::NotFound | Io::PermissionDenied | Io::AlreadyExists | Io::NotADirectory => {
                Error::config(format!("the state folder {} cannot be made: {error}", dir.display()), FOLDER)
            }
            _ => refused(path, what, &redb::Error::Io(error)),
        })?;
    }
    match try_load(path, load) {
        Ok(loaded) => {
            sync_folder(path, what);
            Ok((loaded, false))
        }
        Err(error) if is_corrupt(&error) => {
            move_aside(path, what, &error)?;
            let loaded = load(path).map_err(|error| refused(path, what, &error))?;
            sync_folder(path, what);
            Ok((loaded, true))
        }
        Err(error) => Err(refused(path, what, &error)),
    }
}

/// redb panics on some damage.
pub(crate) fn try_load<T>(path: &Path, load: Load<T>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(|| load(path)))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("the reader gave up on it".into())))
}

/// Whether the file itself is damaged.
pub(crate) fn is_corrupt(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_) => true,
        redb::Error::UpgradeRequired(version) => *version != u8::MAX,
        redb::Error::Io(error) => matches!(error.kind(), Io::InvalidData | Io::UnexpectedEof),
        _ => false,
    }
}

fn move_aside(path: &Path, what: &str, error: &redb::Error) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".corrupt-{now}"));
    tracing::error!(
        file = %path.display(), moved_to = %Path::new(&aside).display(), %error,
        "the {what} is corrupt: its events are lost to this daemon; starting a new one"
    );
    std::fs::rename(path, &aside).map_err(|error| refused(path, what, &redb::Error::Io(error)))
}

/// Without this a power cut may forget the name of a file whose content it kept.
fn sync_folder(path: &Path, what: &str) {
    if let Some(Err(error)) = path.parent().map(|dir| File::open(dir).and_then(|dir| dir.sync_all())) {
        tracing::warn!(%error, "the folder of the {what} cannot be synchronised");
    }
}

/// The error of redb, for people.
pub(crate) fn refused(path: &Path, what: &str, error: &redb::Error) -> Error {
    let path = path.display();
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::config(
            format!("another process holds the lock on the {what} {path}"),
            "stop the other cpc-stream, or give this one its own --state-dir",
        ),
        redb::Error::UpgradeRequired(_) => Error::config(
            format!("the {what} {path} was written by a newer version"),
            "run that version, or move the file away",
        ),
        redb::Error::Io(error) if error.kind() == Io::PermissionDenied => {
            Error::config(format!("the {what} {path} cannot be opened: {error}"), FOLDER)
        }
        other => Error::broker(
            format!("the {what} {path} cannot be used: {other}"),
            "check free space, owner and health of the disk under the state folder",
        ),
    }
}
