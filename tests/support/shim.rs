//! A library that is preloaded into a child (`shim.c`): it notes what goes to the disk, and takes a name away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it in `folder`; its path is the value of `LD_PRELOAD`.
pub fn build(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("libshim.so"));
    fs::write(&source, include_str!("shim.c")).unwrap();
    let cc = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .expect("the tests build a small library: apt-get install gcc libc6-dev");
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    library
}

/// What went to the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// Bytes at a place.
    Write(u64, Vec<u8>),
    /// The file has this length now.
    Length(u64),
    /// All before is on the disk.
    Sync,
}

/// Reads a journal: each entry with the length of the journal after it.
pub fn journal(path: &Path) -> Vec<(u64, Noted)> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    while at < bytes.len() {
        let (kind, offset, size) = (bytes[at], number(at + 1), number(at + 9) as usize);
        at += 17;
        let noted = match kind {
            b'W' => Noted::Write(offset, bytes[at..at + size].to_vec()),
            b'L' => Noted::Length(offset),
            b'S' => Noted::Sync,
            other => panic!("no entry begins with {other}"),
        };
        at += size;
        found.push((at as u64, noted));
    }
    found
}
