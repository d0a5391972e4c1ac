//! The roles of the rows of a manifest.

use std::path::Path;

use crate::corpus::ClipRow;

/// The role of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An uninterrupted recording of a site.
    Recording {
        /// Whether a machine runs in it.
        machine: bool,
    },
    /// One of several clips of a site or of one kind of site.
    Clips {
        /// Whether a machine runs in it.
        machine: bool,
    },
    /// A foreign sound.
    Foreign,
    /// A stroke of a rhythm.
    Stroke,
    /// A piece of a motor's state.
    State,
}

/// Collections of long recordings, each of which is a background.
const RECORDINGS: [&str; 14] = [
    "noixer",
    "noice",
    "rainingjewels",
    "ysl",
    "sanctsound",
    "china_2026",
    "aar",
    "ducks",
    "focusweek",
    "noisekun",
    "alarm_clock",
    "train_game",
    "blanket_ambience",
    SPEECH_SET,
];
/// Of this collection the rows labelled `background` are recordings, the rest is speech.
const SPEECH_SET: &str = "arabic_speech_commands";
/// A collection whose clips are all of one site.
const ONE_SITE_SET: &str = "maad_soundscape_24h";
const ESC50: &str = "esc50";
const MOTOR_SET: &str = "drone_motor";
const STROKE_SET: &str = "sonicpi_cc0";

/// Labels or file names of recordings in which a machine runs steadily.
const MACHINES: [&str; 17] = [
    "train_interior",
    "train_wheels",
    "underwater_machine_tone",
    "underwater_ship",
    "aircraft_cabin",
    "car_interior",
    "industrial_fan",
    "fan",
    "steam_engine",
    "steam_vent",
    "tumble_dryer",
    "aquarium_pump",
    "clock",
    "boiler",
    "washing_machine",
    "pump",
    "engine",
];
/// Continuous classes of ESC-50, and whether they are machines.
const STEADY: [(&str, bool); 12] = [
    ("Rain", false),
    ("Wind", false),
    ("Sea waves", false),
    ("Crickets", false),
    ("Vacuum cleaner", true),
    ("Engine", true),
    ("Train", true),
    ("Airplane", true),
    ("Helicopter", true),
    ("Washing machine", true),
    ("Crackling fire", false),
    ("Insects (flying)", false),
];
/// Classes of ESC-50 that are used as foreign sounds beside those.
const FOREIGN: [&str; 9] = [
    "Glass breaking",
    "Siren",
    "Dog",
    "Crying baby",
    "Door knock",
    "Car horn",
    "Chainsaw",
    "Clock alarm",
    "Coughing",
];
/// Classes of ESC-50 that hold single strokes.
const STROKES: [&str; 7] =
    ["Door knock", "Clock tick", "Mouse click", "Keyboard typing", "Footsteps", "Can opening", "Water drops"];
/// First words of the names of samples that are strokes.
const STROKE_NAMES: [&str; 7] = ["bd", "drum", "elec", "perc", "sn", "tabla", "bass"];

/// The role of `row`; `None` where streams do not use it.
#[must_use]
pub fn role_of(row: &ClipRow) -> Option<Role> {
    let (set, label) = (row.set.as_str(), row.label.as_str());
    if set == ESC50 {
        if let Some((_, machine)) = STEADY.iter().find(|(name, _)| *name == label) {
            return Some(Role::Clips { machine: *machine });
        }
        if FOREIGN.contains(&label) {
            return Some(Role::Foreign);
        }
        return is_stroke(row).then_some(Role::Stroke);
    }
    match set {
        ONE_SITE_SET => Some(Role::Clips { machine: false }),
        MOTOR_SET => Some(Role::State),
        STROKE_SET => is_stroke(row).then_some(Role::Stroke),
        SPEECH_SET if label != "background" => None,
        _ if RECORDINGS.contains(&set) => {
            let stem = Path::new(&row.file).file_stem().unwrap_or_default().to_string_lossy();
            let machine = MACHINES.contains(&label) || MACHINES.contains(&&*stem);
            Some(Role::Recording { machine })
        }
        _ => None,
    }
}

/// Whether a single stroke can be cut out of the clip.
#[must_use]
pub(super) fn is_stroke(row: &ClipRow) -> bool {
    match row.set.as_str() {
        ESC50 => STROKES.contains(&row.label.as_str()),
        STROKE_SET => row.label.split('_').next().is_some_and(|first| STROKE_NAMES.contains(&first)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_one_use() {
        let role = |set: &str, label: &str, file: &str| {
            role_of(&ClipRow {
                set: set.into(),
                label: label.into(),
                file: file.into(),
                ..ClipRow::default()
            })
        };
        assert_eq!(role("esc50", "Rain", ""), Some(Role::Clips { machine: false }));
        assert_eq!(role("esc50", "Door knock", ""), Some(Role::Foreign));
        assert_eq!(role("esc50", "Mouse click", ""), Some(Role::Stroke));
        assert_eq!(role("esc50", "Cow", ""), None);
        assert_eq!(role("arabic_speech_commands", "yes", ""), None);
        let boiler = role("arabic_speech_commands", "background", "x/boiler.flac");
        assert_eq!(boiler, Some(Role::Recording { machine: true }));
        assert_eq!(
            role("aar", "rain_light", "aar/light_rain.flac"),
            Some(Role::Recording { machine: false })
        );
        assert_eq!(role("sonicpi_cc0", "tabla_ke1", ""), Some(Role::Stroke));
        assert_eq!(role("sonicpi_cc0", "loop_amen", ""), None);
        assert_eq!(role("drone_motor", "no_prop_50pct", ""), Some(Role::State));
        assert_eq!(role("kerstin_de", "de", ""), None);
    }
}
