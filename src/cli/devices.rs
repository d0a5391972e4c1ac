//! `devices`: the inputs there are.

use super::args::stdout;
use crate::capture::list_inputs;
use crate::error::Result;

/// Prints the inputs with the names that `--device` takes.
///
/// # Errors
/// When the sound system cannot be asked, or stdout cannot be written.
pub(super) fn run() -> Result<()> {
    let inputs = list_inputs()?;
    let mut out = stdout();
    if inputs.is_empty() {
        out.line(format_args!("no capture device found"))?;
        return out.line(format_args!(
            "plug one in, check that your user is in the group `audio`, and that `arecord -l` lists it"
        ));
    }
    let width = inputs.iter().map(|input| input.id.chars().count()).max().unwrap_or(0);
    for input in &inputs {
        out.line(format_args!("{:width$}  {}  ({})", input.id, input.description, input.forms))?;
    }
    out.line(format_args!("\nlisten to one: cpc-stream --device '{}'", inputs.first().map_or("hw:0", |i| &i.id)))
}
