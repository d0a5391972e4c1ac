//! The container before PyTorch 1.6: five pickles (magic number, version, machine, object, storage keys), then for
//! each key the count of its numbers and the numbers.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::damaged;
use super::pickle;
use super::source::Source;
use super::tensor::Storage;
use super::value::{Kind, Node, Pickle, Value};
use crate::error::{Error, Result};

/// 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// An opened file.
pub(super) struct Legacy {
    source: BufReader<Box<dyn Source>>,
    /// Position of the first number of each storage.
    places: HashMap<String, u64>,
}

impl Legacy {
    /// Opens a file of `length` bytes and reads its pickles.
    pub(super) fn open(source: Box<dyn Source>, length: u64) -> Result<(Self, Pickle)> {
        let mut source = BufReader::new(source);
        if pickle::read(&mut source)?.root().long() != Some(MAGIC.as_slice()) {
            return Err(damaged("a pickle that torch.save did not write (no magic number)"));
        }
        let version = pickle::read(&mut source)?;
        if !matches!(version.root().kind(), Kind::Int(VERSION)) {
            return Err(damaged(format!("a format other than {VERSION} of old PyTorch files")));
        }
        let machine = pickle::read(&mut source)?;
        if !matches!(machine.root().get("little_endian").map(Value::kind), Some(Kind::Bool(true))) {
            return Err(damaged("it was written by a machine that is not little-endian"));
        }
        let object = pickle::read(&mut source)?;
        let keys = pickle::read(&mut source)?;
        let mut legacy = Self { source, places: HashMap::new() };
        legacy.find(&object, &keys, length)?;
        Ok((legacy, object))
    }

    /// Walks over the storages without reading them.
    fn find(&mut self, object: &Pickle, keys: &Pickle, length: u64) -> Result<()> {
        let mut storages: HashMap<&str, &Storage> = HashMap::new();
        for node in &object.nodes {
            let Node::Storage(storage) = node else { continue };
            let first = storages.entry(&storage.key).or_insert(storage);
            if (first.dtype, first.count) != (storage.dtype, storage.count) {
                return Err(damaged(format!("storage {} has two types or sizes", storage.key)));
            }
        }
        let mut at = self.source.stream_position().map_err(|e| unreadable(&e))?;
        for key in keys.root().items() {
            let Kind::Text(key) = key.kind() else { return Err(damaged("a storage key that is no text")) };
            let storage =
                storages.get(key).ok_or_else(|| damaged(format!("storage {key:.64} has no tensor")))?;
            let mut count = [0; 8];
            self.source.seek(SeekFrom::Start(at)).map_err(|e| unreadable(&e))?;
            self.source.read_exact(&mut count).map_err(|e| unreadable(&e))?;
            let count = u64::from_le_bytes(count);
            if count != storage.count {
                return Err(damaged(format!(
                    "storage {key} holds {count} numbers, its tensors say {}",
                    storage.count
                )));
            }
            let place = at + 8;
            let end = place.checked_add(storage.bytes()?).filter(|&end| end <= length);
            at = end.ok_or_else(|| damaged(format!("the file ends within storage {key}")))?;
            self.places.insert(key.to_owned(), place);
        }
        Ok(())
    }

    /// The bytes of a storage.
    pub(super) fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>> {
        let missing = || damaged(format!("storage {} is not in the file", storage.key));
        let place = *self.places.get(&storage.key).ok_or_else(missing)?;
        let expected = storage.bytes()?;
        self.source.seek(SeekFrom::Start(place)).map_err(|e| unreadable(&e))?;
        let mut bytes = Vec::new();
        let got = self.source.by_ref().take(expected).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
        if got as u64 != expected {
            return Err(missing());
        }
        Ok(bytes)
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    damaged(format!("it cannot be read to its end: {error}"))
}
