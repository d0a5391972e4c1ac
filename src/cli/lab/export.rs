//! `export`: a model as ONNX graphs.

use std::path::{Path, PathBuf};

use candle_core::Device;

use crate::cli::args::stdout;
use crate::error::{Error, Result};
use crate::model::export::{Form, onnx};
use crate::model::{Manifest, read, read_embedded, replace_file};

/// Write a model as ONNX graphs, for programs without this one: encoder, context network and prediction heads. One graph takes whole
/// clips, the other (`.step.onnx`) the next hops of streams with their state.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Where to write: a folder (NAME.onnx and NAME.step.onnx in it), or FILE.onnx (and FILE.step.onnx beside it).
    #[arg(long, value_name = "FOLDER|FILE")]
    onnx: PathBuf,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When the model cannot be read, or the files cannot be written.
pub(super) fn run(args: &ExportArgs) -> Result<()> {
    let model = args.model.as_deref();
    let (manifest, tensors) =
        model.map_or_else(|| read_embedded(&Device::Cpu), |path| read(path, &Device::Cpu))?;
    let whole = target(&args.onnx, model, &manifest)?;
    let mut out = stdout();
    let predictions = if manifest.architecture.heads.is_some() { ", predictions" } else { "" };
    for (path, form, inputs, state) in [
        (whole.clone(), Form::Whole, "samples", ""),
        (whole.with_extension("step.onnx"), Form::Step, "samples, state", ", next_state"),
    ] {
        let bytes = onnx(&manifest, &tensors, form)?;
        replace_file(&path, &bytes)?;
        let (path, megabytes) = (path.display(), bytes.len() as f64 / 1e6);
        out.line(format_args!("wrote {path}: {megabytes:.1} MB, {inputs} to z, c{predictions}{state}"))?;
    }
    out.line(format_args!(
        "model {} ({}), licence {}",
        manifest.name,
        manifest.short_hash(),
        manifest.licence
    ))
}

/// The file of the whole graph.
fn target(onnx: &Path, model: Option<&Path>, manifest: &Manifest) -> Result<PathBuf> {
    if !onnx.is_dir() {
        if onnx.extension().is_some_and(|ending| ending == "onnx") {
            return Ok(onnx.to_owned());
        }
        if onnx.extension().is_some() || onnx.exists() {
            return Err(Error::config(
                format!("--onnx {}: neither a folder nor a name that ends with .onnx", onnx.display()),
                "give a folder, or a file like model.onnx",
            ));
        }
    }
    let name =
        model.and_then(Path::file_stem).map_or_else(|| manifest.name.clone().into(), ToOwned::to_owned);
    let mut name = PathBuf::from(name).into_os_string();
    name.push(".onnx");
    Ok(onnx.join(name))
}
