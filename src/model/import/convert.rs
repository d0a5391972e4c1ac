//! From a checkpoint to an architecture with its tensors.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::{ImportReport, checkpoint, context, encoder, heads, unsupported};
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::nn::Tensors;

/// How to read a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its `checkpoint_args.json`, where that is not beside it.
    pub args: Option<PathBuf>,
    /// Leave the prediction heads in the file.
    pub without_heads: bool,
}

/// A checkpoint as a model.
#[derive(Debug)]
pub struct Imported {
    /// Its shape.
    pub architecture: Architecture,
    /// Its tensors, by the names of this program, on the CPU.
    pub tensors: Tensors,
    /// The report.
    pub report: ImportReport,
}

/// Reads the checkpoint of CPC_audio at `path`.
///
/// # Errors
/// When the file is damaged or of another kind, when settings and tensors disagree, and when the model is of a form that
/// a causal stream cannot run; the message names the setting or the tensor.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let opened = checkpoint::open(path, options.args.as_deref())?;
    convert(opened, options.without_heads).map_err(|e| e.context(format!("checkpoint {}", path.display())))
}

fn convert(opened: Checkpoint, without_heads: bool) -> Result<Imported> {
    let Checkpoint { form, mut weights, settings, skipped } = opened;
    let mut report =
        ImportReport { form, settings: settings.origin().to_owned(), skipped, ..ImportReport::default() };
    let of_network = |name: &str| ["gEncoder.", "gAR.", "models."].iter().any(|part| name.starts_with(part));
    if without_heads {
        let gone = weights.skip(|name| !of_network(name));
        report.skipped.push(format!("{gone} tensors of the heads"));
    }
    let has_heads = weights.names().any(|name| !of_network(name));
    unsupported::refuse(&settings, &weights, has_heads)?;
    for (key, default) in [("encoder_type", "cpc"), ("cpc_mode", "none")] {
        if !settings.is_given(key) {
            report.assumed.push(format!("{key} {default}, the default of CPC_audio"));
        }
    }
    let mut tensors = Tensors::new();
    let encoder = encoder::convert(&mut weights, &settings, &mut tensors, &mut report)?;
    let latent = encoder.latent();
    let context = context::convert(&mut weights, &settings, latent, &mut tensors, &mut report)?;
    let widths = (latent, context.width());
    let heads = if has_heads {
        Some(heads::convert(&mut weights, &settings, widths, &mut tensors, &mut report)?)
    } else {
        None
    };
    if let Some(name) = weights.names().next() {
        return Err(Error::model(
            format!("tensor `{name}` is not part of any form that is read here"),
            "give a checkpoint of CPC_audio as it was trained; heads alone can be left out with `--without-heads`",
        ));
    }
    report.tensors = weights.read();
    let architecture = Architecture { encoder, context, heads, critic: None };
    architecture.validate().map_err(|e| Error::model(e.to_string(), "give a model within these sizes"))?;
    Ok(Imported { architecture, tensors, report })
}
