//! The file of a label space, which belongs to one model.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{Manifest, replace_file};
use crate::error::{Error, Result};
use crate::nn::LabelSpace;

/// Key of the model's sha256 in the metadata.
const MODEL_KEY: &str = "cpc-stream.model";
/// Ending of the file's name, in place of that of the model file.
const ENDING: &str = "labels.safetensors";
const MAX_BYTES: u64 = 64 << 20;
const FIT: &str = "write it again: `cpc-lab eval labels --data DIR --model MODEL --write-space FILE`";

/// The label space of a model: of the one inside this binary, or that beside the file at `path`
/// (`NAME.labels.safetensors` for `NAME.safetensors`); none where there is none.
///
/// # Errors
/// When it is there and cannot be read, is damaged, or belongs to another model.
pub fn label_space(path: Option<&Path>, manifest: &Manifest) -> Result<Option<LabelSpace>> {
    let built_in: &[u8] = include_bytes!("../../models/cpc-edge.labels.safetensors");
    let own = path.map(|path| path.with_extension(ENDING)).filter(|own| own.exists());
    let Some(own) = own else {
        let (model, space) = parse(built_in)?;
        return Ok(Some(space).filter(|_| model == manifest.sha256));
    };
    let name = own.display();
    let unreadable =
        |e: std::io::Error| Error::model(format!("{name}: {e}"), "check the file and its permissions");
    if std::fs::metadata(&own).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(Error::model(format!("{name} is too large for a label space"), FIT));
    }
    let (model, space) =
        parse(&std::fs::read(&own).map_err(unreadable)?).map_err(|error| error.context(name.to_string()))?;
    if model != manifest.sha256 {
        return Err(Error::model(format!("{name} is the label space of another model"), FIT));
    }
    Ok(Some(space))
}

/// Writes the label space of the model with this sha256.
///
/// # Errors
/// When the file cannot be written.
pub fn write_label_space(path: &Path, space: &LabelSpace, sha256: &str) -> Result<()> {
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let (mean, axes) = (bytes(space.mean()), bytes(space.axes()));
    let width = space.mean().len();
    let failed = |e: safetensors::SafeTensorError| Error::internal(format!("a label space: {e}"));
    let views = [
        ("mean", TensorView::new(Dtype::F32, vec![width], &mean).map_err(failed)?),
        (
            "axes",
            TensorView::new(Dtype::F32, vec![space.axes().len() / width, width], &axes).map_err(failed)?,
        ),
    ];
    let metadata = HashMap::from([(MODEL_KEY.to_owned(), sha256.to_owned())]);
    let whole = safetensors::serialize(views, Some(metadata)).map_err(failed)?;
    replace_file(path, &whole)
}

fn parse(bytes: &[u8]) -> Result<(String, LabelSpace)> {
    let damaged = |what: String| Error::model(format!("damaged label space: {what}"), FIT);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
    let model = metadata.metadata().as_ref().and_then(|m| m.get(MODEL_KEY)).cloned();
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let values = |name: &str| -> Result<Vec<f32>> {
        let view = file.tensor(name).map_err(|e| damaged(e.to_string()))?;
        let numbers = view.data().chunks_exact(4);
        let values: Vec<f32> = numbers.map(|b| b.try_into().map_or(f32::NAN, f32::from_le_bytes)).collect();
        let whole = view.dtype() == Dtype::F32 && values.iter().all(|x| x.is_finite());
        if whole { Ok(values) } else { Err(damaged(format!("{name} holds what is no number"))) }
    };
    let space = LabelSpace::new(values("mean")?, values("axes")?);
    let space = space.ok_or_else(|| damaged("its shapes do not fit".to_owned()))?;
    Ok((model.ok_or_else(|| damaged("it names no model".to_owned()))?, space))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::embedded;
    use crate::units::BANDS;
    use candle_core::Device;

    #[test]
    fn the_built_in_space_fits_the_built_in_model() {
        let (manifest, _) = embedded(&Device::Cpu).unwrap();
        let space = label_space(None, &manifest).unwrap().unwrap();
        let shape = manifest.frame_shape();
        assert_eq!(space.mean().len(), 2 * (shape.latent + shape.context + BANDS));
    }

    #[test]
    fn a_space_beside_a_model_is_read_and_that_of_another_model_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.safetensors");
        let (mut manifest, _) = embedded(&Device::Cpu).unwrap();
        manifest.sha256 = "a".repeat(64);
        assert_eq!(label_space(Some(&path), &manifest).unwrap(), None);
        let space = LabelSpace::new(vec![0.5, 2.0], vec![1.0, -1.0, 0.25, 4.0]).unwrap();
        let beside = dir.path().join("own.labels.safetensors");
        write_label_space(&beside, &space, &manifest.sha256).unwrap();
        assert_eq!(label_space(Some(&path), &manifest).unwrap(), Some(space.clone()));
        write_label_space(&beside, &space, &"b".repeat(64)).unwrap();
        assert!(label_space(Some(&path), &manifest).unwrap_err().to_string().contains("another model"));
        std::fs::write(&beside, b"no tensors").unwrap();
        assert!(label_space(Some(&path), &manifest).unwrap_err().to_string().contains("damaged"));
    }
}
