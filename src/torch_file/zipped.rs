//! The container since PyTorch 1.6: a zip archive of stored entries `NAME/data.pkl`, `NAME/data/KEY`.

use std::io::Read;

use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::damaged;
use super::pickle;
use super::source::Source;
use super::tensor::Storage;
use super::value::Pickle;
use crate::error::{Error, Result};

/// An opened archive.
pub(super) struct Zipped {
    archive: ZipArchive<Box<dyn Source>>,
    /// `NAME/`.
    prefix: String,
}

impl Zipped {
    /// Opens an archive and reads its pickle.
    pub(super) fn open(source: Box<dyn Source>) -> Result<(Self, Pickle)> {
        let archive = ZipArchive::new(source).map_err(|e| damaged(format!("a damaged zip archive ({e})")))?;
        let names: Vec<_> = archive.file_names().flatten().collect();
        let prefix_of = |name: &str| {
            let prefix = name.strip_suffix("data.pkl")?;
            (prefix.is_empty() || prefix.ends_with('/')).then(|| prefix.to_owned())
        };
        let pickles: Vec<String> = names.iter().filter_map(|name| prefix_of(name)).collect();
        let [prefix] = pickles.as_slice() else {
            return Err(damaged(format!(
                "a zip archive with {} entries `data.pkl`, 1 expected",
                pickles.len()
            )));
        };
        if names.iter().any(|name| *name == format!("{prefix}constants.pkl")) {
            return Err(Error::model(
                "it is a TorchScript archive, a program rather than a state dict",
                "save the state dict in Python: `torch.save(torch.jit.load(path).state_dict(), path)`",
            ));
        }
        let prefix = prefix.clone();
        drop(names);
        let mut zipped = Self { archive, prefix };
        zipped.check_byte_order()?;
        let name = format!("{}data.pkl", zipped.prefix);
        let mut entry = zipped.entry(&name)?;
        let pickle = pickle::read(&mut entry)?;
        drop(entry);
        Ok((zipped, pickle))
    }

    /// The bytes of a storage.
    pub(super) fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>> {
        let name = format!("{}data/{}", self.prefix, storage.key);
        let expected = storage.bytes()?;
        let mut entry = self.entry(&name)?;
        if entry.size() != expected {
            return Err(damaged(format!("`{name}` has {} bytes, its tensors say {expected}", entry.size())));
        }
        let mut bytes = Vec::new();
        // to the end, so that its checksum is compared
        entry.read_to_end(&mut bytes).map_err(|e| damaged(format!("`{name}` cannot be read: {e}")))?;
        Ok(bytes)
    }

    fn check_byte_order(&mut self) -> Result<()> {
        let name = format!("{}byteorder", self.prefix);
        if self.archive.index_for_name(&name).is_none() {
            return Ok(());
        }
        let mut order = String::new();
        let read = self.entry(&name)?.take(16).read_to_string(&mut order);
        match read {
            Ok(_) if order.trim() == "little" => Ok(()),
            _ => Err(damaged(format!("byte order `{order}` found, `little` expected"))),
        }
    }

    fn entry(&mut self, name: &str) -> Result<ZipFile<'_, Box<dyn Source>>> {
        let entry = self.archive.by_name(name).map_err(|e| damaged(format!("no entry `{name}` ({e})")))?;
        if entry.compression() != CompressionMethod::Stored || entry.size() != entry.compressed_size() {
            return Err(damaged(format!("`{name}` is compressed, which torch.save never does")));
        }
        Ok(entry)
    }
}
