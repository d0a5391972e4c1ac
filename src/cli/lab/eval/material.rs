//! The material of `eval detect` and `eval budget`.

use std::path::Path;

use indicatif::ProgressBar;

use crate::cli::lab::bar::show_on;
use crate::corpus::Selection;
use crate::corpus::rare::Material;
use crate::error::{Error, Result};

/// The clips of `data` in the part called `eval` or `train`, synthetic sound without it; collections of `leave_out` are
/// not read. Files that cannot be read are named in the log.
///
/// # Errors
/// When the data is not what it should be.
pub(super) fn material(
    data: Option<&Path>,
    split: &str,
    leave_out: &[String],
    seed: u64,
    bar: &ProgressBar,
) -> Result<Material> {
    let Some(data) = data else {
        if let Some(set) = leave_out.first() {
            return Err(Error::config(
                format!("`--leave-out {set}` without `--data`: synthetic sound has no collections"),
                "give `--data`, or drop `--leave-out`",
            ));
        }
        return Ok(Material::synthetic(seed));
    };
    let selection = if split == "eval" { Selection::Eval } else { Selection::Train };
    let mut show = show_on(bar);
    let material =
        Material::read(data, selection, leave_out, |done, total| show("reading clips", done, total))?;
    material.skipped.iter().for_each(|line| tracing::warn!("left out: {line}"));
    Ok(material)
}
