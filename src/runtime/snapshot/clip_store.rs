//! The store of snapshots on the disk, of limited size.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::FOLDER;
use crate::error::{Error, Result};
use crate::output_file::write_private;

/// Ending of a file that is being written.
const PART: &str = "part";

/// The folder of all snapshots.
#[derive(Debug)]
pub(super) struct ClipStore {
    folder: PathBuf,
    max_bytes: u64,
    bytes: u64,
    /// The snapshots by id, which begins with the time, and stream: their files and how large they are.
    held: BTreeMap<(String, String), Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    files: Vec<PathBuf>,
}

impl ClipStore {
    /// Opens the folder in `state_dir`; removes partial files, and the oldest snapshots beyond `max_bytes`. Other files
    /// are left alone and do not count.
    ///
    /// # Errors
    /// When the folder is there and cannot be read or cleared.
    pub(super) fn open(state_dir: &Path, max_bytes: u64) -> Result<Self> {
        let folder = state_dir.join(FOLDER);
        let mut shelf = Self { folder, max_bytes, bytes: 0, held: BTreeMap::new() };
        shelf.scan().and_then(|()| shelf.make_room(0)).map_err(|e| shelf.refused(&e))?;
        Ok(shelf)
    }

    /// Stores a snapshot: each file under a temporary name first, then under its own.
    ///
    /// # Errors
    /// When it is larger than all may be together, or the disk refuses.
    pub(super) fn put(&mut self, stream: &str, id: &str, files: &[(&str, Vec<u8>)]) -> Result<()> {
        let size: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        if size > self.max_bytes {
            return Err(Error::config(
                format!("a snapshot of {size} bytes is larger than snapshots.max_bytes = {}", self.max_bytes),
                "set a larger max_bytes in [snapshots]",
            ));
        }
        let folder = self.folder.join(stream);
        self.make_room(size)
            .and_then(|()| private_folder(&folder))
            .and_then(|()| self.write(&folder, stream, id, files))
            .map_err(|e| self.refused(&e))
    }

    fn write(&mut self, folder: &Path, stream: &str, id: &str, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
        for (ending, bytes) in files {
            let path = folder.join(format!("{id}.{ending}"));
            let part = folder.join(format!("{id}.{ending}.{PART}"));
            write_private(&path, &part, bytes)?;
            self.count(stream, id, path, bytes.len() as u64);
        }
        Ok(())
    }

    /// Removes the oldest snapshots until `more` bytes have room.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        while self.bytes.saturating_add(more) > self.max_bytes {
            let Some(mut oldest) = self.held.first_entry() else { return Ok(()) };
            while let Some(path) = oldest.get().files.last() {
                remove(path)?;
                oldest.get_mut().files.pop();
            }
            self.bytes = self.bytes.saturating_sub(oldest.remove().bytes);
        }
        Ok(())
    }

    fn scan(&mut self) -> io::Result<()> {
        for entry in entries(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(stream) = name.to_str() else { continue };
            // a link could lead out of the folder
            if !entry.file_type()?.is_dir() {
                continue;
            }
            for entry in entries(&entry.path())? {
                let entry = entry?;
                let name = entry.file_name();
                let Some((id, ending)) = name.to_str().and_then(|name| name.split_once('.')) else {
                    continue;
                };
                if Ulid::from_string(id).is_err() || !entry.file_type()?.is_file() {
                    continue;
                }
                match ending {
                    "png" | "wav" => self.count(stream, id, entry.path(), entry.metadata()?.len()),
                    "png.part" | "wav.part" => remove(&entry.path())?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, stream: &str, id: &str, path: PathBuf, bytes: u64) {
        let held = self.held.entry((id.to_owned(), stream.to_owned())).or_default();
        held.bytes += bytes;
        held.files.push(path);
        self.bytes += bytes;
    }

    fn refused(&self, error: &io::Error) -> Error {
        Error::config(
            format!("cannot keep snapshots in {}: {error}", self.folder.display()),
            "check the permissions and the free space of the state folder (`--state-dir`)",
        )
    }
}

/// The entries of a folder; none where it does not exist. Creates a folder, with its parents, that only this user can
/// open.
fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => Some(other?),
    };
    Ok(entries.into_iter().flatten())
}

/// Removes a file, unless somebody else has.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> String {
        Ulid::from_parts(number, 0).to_string()
    }

    fn files(picture: usize, clip: usize) -> [(&'static str, Vec<u8>); 2] {
        [("png", vec![1; picture]), ("wav", vec![2; clip])]
    }

    /// Ids of the snapshots on the disk, and the bytes of all files.
    fn found(state: &Path) -> (Vec<String>, u64) {
        let mut ids = Vec::new();
        let mut bytes = 0;
        for stream in fs::read_dir(state.join(FOLDER)).unwrap() {
            for file in fs::read_dir(stream.unwrap().path()).unwrap() {
                let file = file.unwrap();
                ids.push(file.file_name().to_str().unwrap().split('.').next().unwrap().to_owned());
                bytes += file.metadata().unwrap().len();
            }
        }
        ids.sort();
        ids.dedup();
        (ids, bytes)
    }

    #[test]
    fn the_oldest_go_first_whatever_their_stream_and_the_cap_is_held() {
        let state = tempfile::tempdir().unwrap();
        let mut shelf = ClipStore::open(state.path(), 1_000).unwrap();
        for (number, stream) in [(3, "a"), (1, "b"), (2, "a"), (4, "b")] {
            shelf.put(stream, &id(number), &files(150, 100)).unwrap();
        }
        assert_eq!(found(state.path()), ([1, 2, 3, 4].map(id).to_vec(), 1_000));
        shelf.put("a", &id(5), &files(1, 1)).unwrap();
        assert_eq!(found(state.path()), ([2, 3, 4, 5].map(id).to_vec(), 752));
        shelf.put("a", &id(6), &files(400, 400)).unwrap();
        assert_eq!(found(state.path()), ([5, 6].map(id).to_vec(), 802));
        let error = shelf.put("a", &id(7), &files(1_000, 1)).unwrap_err();
        assert!(error.to_string().contains("max_bytes"), "{error}");
        assert_eq!(found(state.path()), ([5, 6].map(id).to_vec(), 802));
    }

    #[test]
    fn existing_files_count_at_the_start() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(ClipStore::open(state.path(), 1_000).unwrap().bytes, 0);
        assert!(!state.path().join(FOLDER).exists());
        let mut shelf = ClipStore::open(state.path(), 1_000).unwrap();
        for number in 1..=4 {
            shelf.put("a", &id(number), &files(150, 100)).unwrap();
        }
        let folder = state.path().join(FOLDER).join("a");
        let part = folder.join(format!("{}.png.part", id(5)));
        fs::write(&part, [0; 10]).unwrap();
        let foreign = folder.join("notes.txt");
        fs::write(&foreign, [0; 9_000]).unwrap();
        fs::remove_file(folder.join(format!("{}.wav", id(4)))).unwrap();

        let shelf = ClipStore::open(state.path(), 500).unwrap();
        assert_eq!(shelf.bytes, 400);
        assert!(foreign.exists() && !part.exists());
        assert_eq!(shelf.held.keys().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [3, 4].map(id));
    }

    #[test]
    fn a_disk_that_refuses_is_told_and_counts_nothing() {
        let state = tempfile::tempdir().unwrap();
        let mut shelf = ClipStore::open(state.path(), 1_000).unwrap();
        fs::write(state.path().join(FOLDER), "in the way").unwrap();
        let error = shelf.put("a", &id(1), &files(10, 10)).unwrap_err();
        assert!(error.to_string().contains("events") && !error.fix().is_empty());
        assert_eq!(shelf.bytes, 0);
        fs::remove_file(state.path().join(FOLDER)).unwrap();
        shelf.put("a", &id(1), &files(10, 10)).unwrap();
        assert_eq!(shelf.bytes, 20);
    }

    #[test]
    fn snapshots_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join(FOLDER).join("mic");
        private_folder(&folder).unwrap();
        let (path, part) = (folder.join("x.wav"), folder.join("x.wav.part"));
        fs::write(&part, "left behind").unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, &part, b"new").unwrap();
        assert!(!part.exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&state.path().join(FOLDER)), mode(&path)), (0o700, 0o700, 0o600));
    }
}
