//! Names of devices: their syntax, and suggestions for misspelt ones.

use super::stable;
use crate::error::{Error, Result};

/// One capture device as `cpc-stream devices` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputInfo {
    /// The name to give to `--device`.
    pub id: String,
    /// The driver's name of it.
    pub description: String,
    /// A name for `--device` that survives replugging and reboots, where it has one.
    pub stable: Option<String>,
    /// What it captures (`48000 Hz, 1 ch, i16`), or why that is not known.
    pub forms: String,
}

/// Kinds of PCM that take arguments, so that a name of a device that is away can be told from a misspelt one.
const KINDS: [&str; 11] = [
    "hw",
    "plughw",
    "sysdefault",
    "default",
    "front",
    "dsnoop",
    "plug",
    "usbstream",
    "iec958",
    "pulse",
    "pipewire",
];

/// Whether `name` can be a device that is merely not there now.
pub(super) fn has_the_shape_of_a_device(name: &str) -> bool {
    if stable::is_stable(name) {
        return true;
    }
    let (kind, arguments) = name.split_once(':').map_or((name, None), |(k, a)| (k, Some(a)));
    let word =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=.'\"".contains(&b));
    match (kind, arguments) {
        ("default" | "sysdefault" | "pulse" | "pipewire", None) => true,
        (kind, Some(arguments)) if KINDS.contains(&kind) => arguments.split(',').all(word),
        _ => false,
    }
}

/// Names that libasound lists although they are no inputs: templates without their argument, and silence.
pub(super) fn is_no_input(id: &str) -> bool {
    id == "null" || (KINDS.contains(&id) && !has_the_shape_of_a_device(id))
}

/// The names of `listed` that look most like `name`, best first, three at most.
#[must_use]
pub fn suggest(name: &str, listed: &[String]) -> Vec<String> {
    let meant = plain(name);
    let mut scored: Vec<(f64, &String)> = listed
        .iter()
        .map(|id| (strsim::jaro_winkler(&meant, &plain(id)).max(strsim::jaro_winkler(name, id)), id))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, id)| id.clone()).collect()
}

/// `hw:CARD=Mic,DEV=0` as people write it: `hw:mic,0`.
fn plain(name: &str) -> String {
    name.replace("CARD=", "").replace("DEV=", "").to_lowercase()
}

/// The failure of a device that is not among the `listed`.
pub(super) fn not_there(name: &str, listed: &[String]) -> Error {
    let near = suggest(name, listed);
    let list = |ids: &[String]| ids.join(", ");
    let cause = match (near.as_slice(), listed) {
        (_, []) => format!("the device {name:?} is not there; no capture device is"),
        ([], _) => format!("the device {name:?} is not there; inputs now: {}", list(listed)),
        (near, _) => format!("the device {name:?} is not there; near matches: {}", list(near)),
    };
    Error::device(cause, "run `cpc-stream devices` to see the names, or plug the device in")
}

/// Refuses names that can never be a device.
pub(super) fn check(name: &str, listed: &[String]) -> Result<()> {
    if has_the_shape_of_a_device(name) || listed.iter().any(|id| id == name) {
        return Ok(());
    }
    Err(not_there(name, listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<String> {
        ["hw:CARD=0,DEV=0", "plughw:CARD=0,DEV=0", "hw:CARD=Webcam,DEV=0", "pulsemic"]
            .map(String::from)
            .into()
    }

    #[test]
    fn a_device_that_is_away_is_told_from_a_misspelt_name() {
        for name in [
            "hw:0",
            "hw:1,0",
            "hw:CARD=Mic,DEV=0",
            "plughw:CARD=0",
            "default",
            "sysdefault:CARD=0",
            "usb:0d8c:0014",
            "bus:0000:00:14.0-usb-2:1.0",
        ] {
            assert!(has_the_shape_of_a_device(name), "{name}");
        }
        for name in ["", "usb:", "bus:", "hw", "hw:", "hw:,", "hw0", "mic", "hw:0 0", "hv:0"] {
            assert!(!has_the_shape_of_a_device(name), "{name}");
        }
        check("pulsemic", &listed()).unwrap();
        assert!(["hw", "plughw", "null"].into_iter().all(is_no_input));
        assert!(!["default", "pulse", "hw:0", "pulsemic"].into_iter().any(is_no_input));
    }

    #[test]
    fn near_matches_come_first() {
        assert_eq!(suggest("hw0", &listed())[0], "hw:CARD=0,DEV=0");
        assert_eq!(suggest("hw:1", &listed())[0], "hw:CARD=0,DEV=0");
        assert_eq!(suggest("plug:0", &listed())[0], "plughw:CARD=0,DEV=0");
        assert_eq!(suggest("hw:webcam", &listed())[0], "hw:CARD=Webcam,DEV=0");
        assert_eq!(suggest("pulse-mic", &listed())[0], "pulsemic");
        assert!(suggest("zzz", &listed()).is_empty());
    }

    #[test]
    fn the_failure_names_what_is_there() {
        let error = check("pulsmic", &listed()).unwrap_err();
        assert!(error.to_string().contains("near matches: pulsemic"), "{error}");
        assert!(error.fix().contains("cpc-stream devices"));
        assert!(check("zzz", &listed()).unwrap_err().to_string().contains("hw:CARD=Webcam,DEV=0"));
        assert!(check("zzz", &[]).unwrap_err().to_string().contains("no capture device"));
    }
}
