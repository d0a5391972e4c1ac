//! The progress bar of long measurements.

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Result};

/// A bar with what is done now, a line and the share that is done; hidden where there is no terminal.
pub(in crate::cli) fn bar() -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent} %")
        .map_err(|e| Error::internal(e.to_string()))?;
    Ok(ProgressBar::new(0).with_style(style))
}

/// Shows what is done now, how much of it is done, and how much it is.
pub(in crate::cli) fn show_on(bar: &ProgressBar) -> impl FnMut(&str, usize, usize) + '_ {
    |what, done, total| {
        bar.set_message(what.to_owned());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }
}
