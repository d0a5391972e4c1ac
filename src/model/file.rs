//! Reading and writing model files.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::manifest::content_hash;
use super::{BANK, Cpc, Manifest};
use crate::error::{Error, Result};
use crate::nn::Tensors;
use crate::output_file::write_whole;

const BUILT_IN: &[u8] = include_bytes!("../../models/cpc-edge.safetensors");
const MANIFEST_KEY: &str = "cpc-stream.manifest";
const MAX_BYTES: u64 = 512 << 20;
const RETRAIN: &str = "use another model file, or leave `--model` out to run the built-in one";

/// The model inside this binary.
///
/// # Errors
/// Only when the binary itself is damaged.
pub fn embedded(device: &Device) -> Result<(Manifest, Cpc)> {
    parse(BUILT_IN, device).map_err(|error| error.context("the built-in model"))
}

/// The model at `path`, or the one inside this binary, on `device`, shared.
///
/// # Errors
/// As [`load`].
pub fn open(path: Option<&Path>, device: &Device) -> Result<(Manifest, Arc<Cpc>)> {
    let (manifest, cpc) = path.map_or_else(|| embedded(device), |path| load(path, device))?;
    Ok((manifest, Arc::new(cpc)))
}

/// Reads the model file at `path` onto `device`.
///
/// # Errors
/// When it cannot be read, is damaged, or tensors and manifest disagree; the message says which.
pub fn load(path: &Path, device: &Device) -> Result<(Manifest, Cpc)> {
    let (manifest, tensors) = read(path, device)?;
    let cpc = Cpc::load(&tensors, &manifest.architecture)?;
    Ok((manifest, cpc))
}

/// The manifest and the tensors of the model file at `path`, which form a model that can be built.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path, device: &Device) -> Result<(Manifest, Tensors)> {
    let name = path.display();
    let unreadable = |e: std::io::Error| {
        Error::model(format!("model file {name}: {e}"), "check the path and its permissions")
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_BYTES {
        return Err(Error::model(
            format!("model file {name} has {length} bytes, more than {MAX_BYTES}"),
            RETRAIN,
        ));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let read = parse_tensors(&bytes, device).map_err(|error| error.context(format!("model file {name}")))?;
    Ok((read.0, read.1))
}

/// The manifest and the tensors of the model inside this binary.
///
/// # Errors
/// As [`embedded`].
pub fn read_embedded(device: &Device) -> Result<(Manifest, Tensors)> {
    let (manifest, tensors, _) = parse_tensors(BUILT_IN, device)?;
    Ok((manifest, tensors))
}

/// Reads a model from the bytes of its file.
///
/// # Errors
/// As [`load`].
pub fn parse(bytes: &[u8], device: &Device) -> Result<(Manifest, Cpc)> {
    let (manifest, _, cpc) = parse_tensors(bytes, device)?;
    Ok((manifest, cpc))
}

fn parse_tensors(bytes: &[u8], device: &Device) -> Result<(Manifest, Tensors, Cpc)> {
    let damaged = |what: String| Error::model(what, RETRAIN);
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| damaged(format!("not a safetensors file, or a damaged one ({e})")))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(MANIFEST_KEY));
    let text = text.ok_or_else(|| damaged(format!("it has no `{MANIFEST_KEY}` in its metadata")))?;
    let manifest: Manifest =
        serde_json::from_str(text).map_err(|e| damaged(format!("its manifest cannot be read ({e})")))?;
    manifest.validate()?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(format!("damaged tensors ({e})")))?;
    let views = file.tensors();
    if let Some((name, view)) = views.iter().find(|(_, view)| view.dtype() != Dtype::F32) {
        return Err(damaged(format!("tensor `{name}` is {:?}, F32 expected", view.dtype())));
    }
    let found = content_hash(
        &manifest.architecture,
        views.iter().map(|(name, view)| (name.as_str(), view.shape(), view.data())),
    )?;
    if found != manifest.sha256 {
        return Err(damaged(format!(
            "its content has sha256 {found:.12}…, its manifest says {:.12}…",
            manifest.sha256
        )));
    }
    let mut tensors = Tensors::new();
    for (name, view) in &views {
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| b.try_into().map_or(f32::NAN, f32::from_le_bytes)).collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(damaged(format!("tensor `{name}` holds a number that is not finite")));
        }
        tensors.insert(name.clone(), Tensor::from_vec(values, view.shape(), device)?);
    }
    let bank = tensors.get(BANK).map_or(0, |bank| bank.dims().first().copied().unwrap_or(0));
    if bank != manifest.bank {
        return Err(damaged(format!("its bank holds {bank} vectors, its manifest says {}", manifest.bank)));
    }
    let cpc = Cpc::load(&tensors, &manifest.architecture)
        .map_err(|e| damaged(format!("tensors and architecture disagree: {e}")))?;
    let field = cpc.geometry().receptive_field;
    if field != manifest.receptive_field {
        return Err(damaged(format!(
            "its receptive field is {field} samples, its manifest says {}",
            manifest.receptive_field
        )));
    }
    Ok((manifest, tensors, cpc))
}

/// Writes `tensors` with `manifest` (whose hash, bank size and receptive field are filled in) to `path`, by way
/// of a file beside it, so that a reader never meets half a model. Gives the manifest as written.
///
/// # Errors
/// When the disk refuses, or tensors do not fit the architecture.
pub fn save(path: &Path, tensors: &Tensors, mut manifest: Manifest) -> Result<Manifest> {
    let cpc = Cpc::load(tensors, &manifest.architecture)?;
    manifest.receptive_field = cpc.geometry().receptive_field;
    manifest.bank = tensors.get(BANK).map_or(Ok(0), |bank| bank.dim(0))?;
    let mut raw: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        raw.push((
            name.clone(),
            tensor.dims().to_vec(),
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ));
    }
    raw.sort();
    manifest.sha256 = content_hash(
        &manifest.architecture,
        raw.iter().map(|(name, shape, data)| (name.as_str(), shape.as_slice(), data.as_slice())),
    )?;
    let json = serde_json::to_string(&manifest).map_err(|e| Error::internal(e.to_string()))?;
    let mut views = Vec::with_capacity(raw.len());
    for (name, shape, data) in &raw {
        let view = TensorView::new(Dtype::F32, shape.clone(), data)
            .map_err(|e| Error::internal(format!("tensor `{name}`: {e}")))?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([(MANIFEST_KEY.to_owned(), json)]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|e| Error::internal(format!("the model cannot be serialised: {e}")))?;
    replace_file(path, &bytes)?;
    Ok(manifest)
}

/// Puts `bytes` at `path` as [`write_whole`] does. Folders that are missing are made.
///
/// # Errors
/// When the disk refuses.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        write_whole(path, bytes)
    };
    write().map_err(|e| {
        Error::model(format!("cannot write {}: {e}", path.display()), "check the folder and the free space")
    })
}
