//! The inputs of this machine.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::capture::{InputInfo, list_inputs};
use crate::cli::args::{stdout, took};
use crate::error::Result;
use crate::telemetry::{columns, folded};

/// Prints the inputs of this machine to the standard output, or what to do when there are none; as JSON an array, which may be empty.
///
/// # Errors
/// A device error when ALSA cannot be reached or this build cannot capture; an internal error when the standard
/// output is closed.
pub(super) fn run(json: bool) -> Result<()> {
    let inputs = list_inputs()?;
    if json {
        return stdout().line(format_args!("{:#}", as_json(&inputs)));
    }
    let mut out = io::stdout().lock();
    took(write_table(&inputs, columns(), &mut out).and_then(|()| out.flush()))
}

fn as_json(inputs: &[InputInfo]) -> Value {
    let one = |input: &InputInfo| {
        json!({
            "device": input.id,
            "captures": input.forms,
            "description": input.description,
            "after_replugging": input.stable,
            "hardware": input.id.starts_with("hw:"),
        })
    };
    inputs.iter().map(one).collect()
}

fn write_table(inputs: &[InputInfo], columns: Option<usize>, out: &mut impl Write) -> io::Result<()> {
    if inputs.is_empty() {
        writeln!(out, "No capture device is here.")?;
        let plug = "Plug a microphone in; if `arecord -l` lists one, add this user to the group `audio`:";
        writeln!(out, "{}", folded(plug, columns))?;
        writeln!(out, "  sudo usermod -aG audio $USER      (then log in again)")?;
        let without = "Without a microphone: cpc-stream demo, or cpc-stream --input FILE.wav";
        return writeln!(out, "{}", folded(without, columns));
    }
    let width = |of: fn(&InputInfo) -> &str, title: &str| {
        inputs.iter().map(|i| of(i).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let (id, forms) = (width(|i| &i.id, "DEVICE"), width(|i| &i.forms, "CAPTURES"));
    let longest = inputs.iter().map(|i| i.description.chars().count()).max().unwrap_or(0);
    let narrow = columns.is_some_and(|columns| id + forms + 4 + longest.max(11) > columns);
    if !narrow {
        writeln!(out, "{:id$}  {:forms$}  DESCRIPTION", "DEVICE", "CAPTURES")?;
    }
    // hardware first: the other names convert, which costs quality and sometimes samples
    let (hardware, others): (Vec<_>, Vec<_>) = inputs.iter().partition(|i| i.id.starts_with("hw:"));
    for input in hardware.into_iter().chain(others) {
        let below = match narrow {
            true => {
                let rest = format!("  {}, {}", input.forms, input.description);
                writeln!(out, "{}\n{}", input.id, folded(&rest, columns))?;
                2
            }
            false => {
                writeln!(out, "{:id$}  {:forms$}  {}", input.id, input.forms, input.description)?;
                id + 2
            }
        };
        // of a card that has several names, one is enough to carry it
        if let Some(stable) = input.stable.as_ref().filter(|_| input.id.starts_with("hw:")) {
            writeln!(out, "{:below$}and after replugging: {stable}", "")?;
        }
    }
    let how = "\nCapture from one with: cpc-stream --device NAME   (hw:0 is short for the first card)";
    writeln!(out, "{}", folded(how, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(inputs: &[InputInfo], columns: Option<usize>) -> String {
        let mut out = Vec::new();
        write_table(inputs, columns, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hardware_comes_first_in_straight_columns() {
        let input = |id: &str, forms: &str, description: &str| InputInfo {
            id: id.into(),
            forms: forms.into(),
            description: description.into(),
            stable: id.starts_with("hw:").then(|| "usb:0d8c:0014".to_owned()),
        };
        let inputs = [
            input("default", "converted by ALSA", "Default"),
            input("hw:CARD=0,DEV=0", "48000 Hz, 1 ch, i16", "Microphone"),
        ];
        let table = printed(&inputs, None);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "DEVICE           CAPTURES             DESCRIPTION");
        assert_eq!(lines[1], "hw:CARD=0,DEV=0  48000 Hz, 1 ch, i16  Microphone");
        assert_eq!(lines[2].trim(), "and after replugging: usb:0d8c:0014");
        assert_eq!(lines[3], "default          converted by ALSA    Default");
        let narrow = printed(&inputs, Some(40));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        let expected =
            "hw:CARD=0,DEV=0\n  48000 Hz, 1 ch, i16, Microphone\n  and after replugging: usb:0d8c:0014\n";
        assert!(narrow.starts_with(expected), "{narrow}");
    }

    #[test]
    fn as_json_each_has_its_names() {
        let input = InputInfo {
            id: "hw:CARD=0,DEV=0".into(),
            forms: "48000 Hz, 1 ch, i16".into(),
            description: "Microphone".into(),
            stable: Some("usb:0d8c:0014".into()),
        };
        let all = as_json(&[input]);
        assert_eq!(all[0]["device"], "hw:CARD=0,DEV=0");
        assert_eq!(
            (&all[0]["after_replugging"], &all[0]["hardware"]),
            (&json!("usb:0d8c:0014"), &json!(true))
        );
        assert_eq!(as_json(&[]), json!([]));
    }

    #[test]
    fn no_input_is_answered_with_what_to_do() {
        let text = printed(&[], None);
        assert!(text.contains("group `audio`") && text.contains("cpc-stream demo"));
    }
}
