//! Files that people name as outputs: they appear once they are whole, and nothing else is touched.
//!
//! A new file, and one that replaces a file, is written beside its place under a name of its own and moved there. A symbolic
//! link stays, and what it points to is replaced. A pipe or a character device as `/dev/null` is written into as it is. A
//! block device, a folder and a socket are refused.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Names that are tried for the file beside.
const NAMES: u32 = 100;
/// Links that are followed.
const LINKS: usize = 40;

/// The kind of file at the path of an output.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A regular file, or nothing: the path, with links followed.
    File(PathBuf),
    /// Something that is written into.
    Device,
}

/// Whether an output at `path` would be written into something that is no regular file, a pipe for example.
#[must_use]
pub fn is_device(path: &Path) -> bool {
    matches!(place(path), Ok(Place::Device))
}

/// Refuses what cannot be an output, before any work is done for it.
///
/// # Errors
/// When there is a folder, a block device or a socket, or the folder is not there.
pub fn check(path: &Path) -> io::Result<()> {
    place(path).map(drop)
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, expected a file"))
}

fn place(path: &Path) -> io::Result<Place> {
    let kind = match std::fs::metadata(path) {
        Ok(found) => Some(found.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match kind {
        Some(kind) if kind.is_dir() => Err(refused("a folder")),
        Some(kind) if kind.is_block_device() => Err(refused("a block device")),
        Some(kind) if kind.is_socket() => Err(refused("a socket")),
        Some(kind) if !kind.is_file() => Ok(Place::Device),
        _ => {
            let real = follow(path)?;
            // `/dev/stdout` of a shell that writes into a file: to replace that would pull it from under the shell
            let by_descriptor =
                path.starts_with("/dev/fd") || path.starts_with("/proc") || names_stdout(path);
            if kind.is_some() && by_descriptor {
                return Err(refused("the file that this program's own output goes to"));
            }
            let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                return Err(io::Error::new(io::ErrorKind::NotFound, "its folder is not there"));
            }
            Ok(Place::File(real))
        }
    }
}

fn names_stdout(path: &Path) -> bool {
    ["/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name))
}

/// The path behind symbolic links, also of one that points to nothing yet.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = path.parent().map_or_else(|| next.clone(), |folder| folder.join(&next)),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// An output on its way. Unless it is kept, nothing of it is left.
#[derive(Debug)]
pub struct OutputFile {
    file: Option<File>,
    /// The file beside and its target; none where it is written into a device.
    beside: Option<(PathBuf, PathBuf)>,
}

impl OutputFile {
    /// Begins an output at `path`.
    ///
    /// # Errors
    /// As [`check`], and when the disk refuses.
    pub fn create(path: &Path) -> io::Result<Self> {
        match place(path)? {
            Place::Device => {
                let file = OpenOptions::new().write(true).open(path)?;
                Ok(Self { file: Some(file), beside: None })
            }
            Place::File(target) => {
                let existing = std::fs::metadata(&target).ok();
                let (file, beside) = beside(&target, existing.as_ref())?;
                Ok(Self { file: Some(file), beside: Some((beside, target)) })
            }
        }
    }

    /// The same for outputs that are read again and written out of order.
    ///
    /// # Errors
    /// As [`create`](Self::create), and where it would be written into a device.
    pub fn create_regular(path: &Path) -> io::Result<Self> {
        if is_device(path) {
            return Err(refused("a pipe or a device"));
        }
        Self::create(path)
    }

    /// The file, to be written.
    ///
    /// # Errors
    /// When it has been taken.
    pub fn take(&mut self) -> io::Result<File> {
        self.file.take().ok_or_else(|| io::Error::other("the file is in use"))
    }

    /// Moves the output to its place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(mut self) -> io::Result<()> {
        if let Some((beside, target)) = &self.beside {
            std::fs::rename(beside, target)?;
            self.beside = None;
        }
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.beside {
            // a file that cannot be removed does no harm
            let _ = std::fs::remove_file(beside);
        }
    }
}

/// A new file beside `target`, which may do what `existing` may.
fn beside(target: &Path, existing: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    let Some(Component::Normal(name)) = target.components().next_back() else {
        return Err(refused("no name of a file"));
    };
    for number in 0..NAMES {
        let mut own = OsString::from(".");
        own.push(name);
        own.push(format!(".{}-{number}.part", std::process::id()));
        let path = target.with_file_name(own);
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                if let Some(existing) = existing {
                    file.set_permissions(existing.permissions())?;
                }
                return Ok((file, path));
            }
        }
    }
    Err(io::Error::other(format!("{NAMES} files named as a part of it are there already")))
}

/// Puts `bytes` at `path`, flushed to the disk, so that a reader or a kill never meets half of them.
///
/// # Errors
/// As [`check`], and when the disk refuses.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut output = OutputFile::create(path)?;
    let mut file = output.take()?;
    file.write_all(bytes)?;
    sync(&file)?;
    output.keep()
}

/// Puts `bytes` at `path` by way of `part`, for files of the program's own folders: only this user can read them, and what a kill leaves
/// has a name by which the program finds it again.
///
/// # Errors
/// When the disk refuses; nothing is left at `part` then.
pub fn write_private(path: &Path, part: &Path, bytes: &[u8]) -> io::Result<()> {
    // one that was left behind may have been made with other permissions
    let _ = std::fs::remove_file(part);
    let mut options = OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(part, path)
    });
    if written.is_err() {
        // of a full disk
        let _ = std::fs::remove_file(part);
    }
    written
}

/// Brings a file to the disk; a pipe or a device has none.
///
/// # Errors
/// When the disk refuses.
pub fn sync(file: &File) -> io::Result<()> {
    match file.metadata() {
        Ok(found) if found.is_file() => file.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("elsewhere")).unwrap();
        std::fs::write(at("elsewhere/real"), "old").unwrap();
        std::fs::set_permissions(at("elsewhere/real"), std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("elsewhere/real", at("near")).unwrap();
        symlink("near", at("far")).unwrap();
        symlink("elsewhere/new", at("dangling")).unwrap();
        symlink("round", at("round")).unwrap();
        write_whole(&at("far"), b"new").unwrap();
        assert_eq!(std::fs::read(at("elsewhere/real")).unwrap(), b"new");
        assert_eq!(std::fs::metadata(at("elsewhere/real")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(at("far").is_symlink() && at("near").is_symlink());
        write_whole(&at("dangling"), b"x").unwrap();
        assert_eq!(std::fs::read(at("elsewhere/new")).unwrap(), b"x");
        assert!(write_whole(&at("round"), b"x").is_err());
        assert_eq!(names(&at("elsewhere")), ["new", "real"]);
    }

    #[test]
    fn an_output_without_commit_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(folder.path().join("f.part"), "somebody's").unwrap();
        let mut output = OutputFile::create(&path).unwrap();
        output.take().unwrap().write_all(b"half").unwrap();
        drop(output);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read(folder.path().join("f.part")).unwrap(), b"somebody's");
        assert_eq!(names(folder.path()), ["f", "f.part"]);
    }

    #[test]
    fn devices_are_written_into_and_folders_and_sockets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("null");
        symlink("/dev/null", &link).unwrap();
        write_whole(&link, b"x").unwrap();
        assert!(link.is_symlink() && is_device(&link) && is_device(Path::new("/dev/null")));
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert!(OutputFile::create_regular(&link).is_err());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for refused in [folder.path(), &socket, Path::new("/nowhere/f")] {
            assert!(check(refused).is_err(), "{refused:?}");
        }
        let full = write_whole(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_pipe_gets_the_bytes_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reads = path.clone();
        let reader = std::thread::spawn(move || std::fs::read(reads).unwrap());
        write_whole(&path, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["pipe"]);
    }
}
