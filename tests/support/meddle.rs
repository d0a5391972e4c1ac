//! A clock that is stepped and a disk that fails, for a child process (`meddle.c`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Good,
    Full,
    ReadOnly,
    /// Each sync takes so many ms.
    Slow(i64),
}

/// The hand on clock and disk of a child.
pub(crate) struct Meddle {
    folder: TempDir,
    clock: i64,
    disk: i64,
}

impl Meddle {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("meddle.c");
        fs::write(&source, include_str!("meddle.c")).unwrap();
        let cc = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&folder.path().join("meddle.so"), &source])
            .args(["-ldl"])
            .output()
            .expect("cc runs (apt-get install gcc libc6-dev)");
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        let meddle = Self { folder, clock: 0, disk: 0 };
        meddle.write();
        meddle
    }

    /// Environment of the child.
    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.folder.path().join("meddle.so")), ("MEDDLE", self.folder.path().join("control"))]
    }

    /// Sets the clock `seconds` before the true time, from now on.
    pub(crate) fn clock(&mut self, seconds: i64) {
        self.clock = seconds;
        self.write();
    }

    /// Lets the disk do so from now on.
    pub(crate) fn disk(&mut self, what: Disk) {
        self.disk = match what {
            Disk::Good => 0,
            Disk::Full => 1,
            Disk::ReadOnly => 2,
            Disk::Slow(ms) => ms.max(3),
        };
        self.write();
    }

    /// In place: the child has mapped the file.
    fn write(&self) {
        use std::os::unix::fs::FileExt;
        let path = self.folder.path().join("control");
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        let bytes = [self.clock.to_ne_bytes(), self.disk.to_ne_bytes()].concat();
        file.write_all_at(&bytes, 0).unwrap();
    }
}
