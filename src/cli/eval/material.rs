//! What streams of `eval detect` and `eval budget` are made of.

use std::path::Path;

use indicatif::ProgressBar;

use crate::cli::bar::show_on;
use crate::corpus::Selection;
use crate::corpus::rare::Material;
use crate::error::Result;

/// The clips of `data` in the part called `eval` or `train`, synthetic sound without it. Files that are left out are
/// told of.
///
/// # Errors
/// When the data is not what it should be.
pub(super) fn material(data: Option<&Path>, split: &str, seed: u64, bar: &ProgressBar) -> Result<Material> {
    let Some(data) = data else { return Ok(Material::synthetic(seed)) };
    let selection = if split == "eval" { Selection::Eval } else { Selection::Train };
    let mut show = show_on(bar);
    let material = Material::read(data, selection, |done, total| show("reading clips", done, total))?;
    material.skipped.iter().for_each(|line| tracing::warn!("left out: {line}"));
    Ok(material)
}
