//! Families of streams, kinds of anomalies and kinds of controls.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The detection task of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A sound that does not belong to the site is added.
    Foreign,
    /// A sound of the site is missing, comes at the wrong time or in the wrong order, or stops.
    Context,
    /// The machine that runs sounds different.
    Faults,
    /// Changes that are no event; such streams hold controls alone.
    Benign,
}

impl Family {
    /// All families, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Foreign, Self::Context, Self::Faults, Self::Benign];

    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Context => "context",
            Self::Faults => "faults",
            Self::Benign => "benign",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Family {
    type Err = Error;

    /// Reads a name, or its letter A to D in the order of [`Family::ALL`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let letters = ["a", "b", "c", "d"];
        let wanted = text.to_ascii_lowercase();
        let found = Self::ALL.into_iter().zip(letters).find(|(f, l)| f.name() == wanted || *l == wanted);
        found.map(|(family, _)| family).ok_or_else(|| {
            Error::config(
                format!("there is no family `{text}`"),
                "give foreign, context, faults or benign (or A, B, C, D)",
            )
        })
    }
}

/// The kind of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyKind {
    /// A foreign sound is added. Truth: from its first sample to its last.
    ForeignSound,
    /// One beat of a rhythm does not come. Truth: from the moment it was due, for its length, at least 0.5 s.
    MissingBeat,
    /// One beat comes early by 20 to 40 % of the period. Truth: from that beat to its end, at least 0.5 s; then unclear
    /// until the end of the beat that was due.
    EarlyBeat,
    /// One beat comes late by 20 to 40 % of the period. Truth: from the moment it was due to the end of the late beat.
    LateBeat,
    /// Two neighbouring sounds of the cycle change places. Truth: the first of them, at least 0.5 s; then unclear until
    /// the end of the second.
    SwappedSounds,
    /// The sound of the beat before comes again in place of another. Truth: that beat, at least 0.5 s.
    RepeatedSound,
    /// The period is 6 to 20 % shorter for some seconds. Truth: from the first beat before its time to the end of the
    /// last beat of the faster stretch.
    Faster,
    /// The period is 6 to 20 % longer for some seconds. Truth: from the moment when the first beat was due to the end of
    /// the last beat of the slower stretch.
    Slower,
    /// A running machine stops for 2 to 6 s. Truth: from the start of the fade-out (known at its end) to the start of
    /// the fade-in; then unclear until 0.5 s after its end.
    Stop,
    /// The machine's sound is modulated in amplitude at 3 to 30 Hz: new sidebands.
    Modulation,
    /// Short bursts of a band of the machine's own sound.
    Rattle,
    /// The machine's sound is resampled by 2 to 8 %, up or down.
    Detuning,
    /// The low band of the machine's sound is modulated once a revolution, at 2 to 12 Hz.
    Imbalance,
    /// A resonance between 3 and 6 kHz, excited by the machine's own sound.
    DryBearing,
    /// A tone with harmonics.
    HarmonicTone,
    /// A motor changes into another recorded state (other throttle, with or without a propeller) of the same level.
    OtherState,
}

impl AnomalyKind {
    /// Kinds that modify the sound of a machine.
    pub const FAULTS: [Self; 6] = [
        Self::Modulation,
        Self::Rattle,
        Self::Detuning,
        Self::Imbalance,
        Self::DryBearing,
        Self::HarmonicTone,
    ];

    /// Its name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignSound => "foreign-sound",
            Self::MissingBeat => "missing-beat",
            Self::EarlyBeat => "early-beat",
            Self::LateBeat => "late-beat",
            Self::SwappedSounds => "swapped-sounds",
            Self::RepeatedSound => "repeated-sound",
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Stop => "stop",
            Self::Modulation => "modulation",
            Self::Rattle => "rattle",
            Self::Detuning => "detuning",
            Self::Imbalance => "imbalance",
            Self::DryBearing => "dry-bearing",
            Self::HarmonicTone => "harmonic-tone",
            Self::OtherState => "other-state",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The kind of a control, a change that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// Two pieces of the background meet, or the end of a recording meets its beginning, in a cross-fade.
    Join,
    /// The gain of everything changes at once, and stays.
    GainStep,
    /// The gain of everything rises or falls and returns within 3 to 10 s.
    Swell,
    /// Another recording of the same kind takes the background's place for a while.
    SecondClip,
    /// The colour of everything changes over 20 to 40 s, and stays.
    Weather,
    /// The colour of everything changes within half a second, and stays.
    MicrophoneColour,
}

impl ControlKind {
    /// All kinds, in the order of tables.
    pub const ALL: [Self; 6] =
        [Self::Join, Self::GainStep, Self::Swell, Self::SecondClip, Self::Weather, Self::MicrophoneColour];

    /// Its name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::GainStep => "gain-step",
            Self::Swell => "swell",
            Self::SecondClip => "second-clip",
            Self::Weather => "weather",
            Self::MicrophoneColour => "microphone-colour",
        }
    }
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_and_of_the_command_line() {
        for family in Family::ALL {
            assert_eq!(family.name().parse::<Family>().unwrap(), family);
            assert_eq!(serde_json::to_value(family).unwrap(), family.name());
        }
        assert_eq!("b".parse::<Family>().unwrap(), Family::Context);
        assert!("x".parse::<Family>().unwrap_err().to_string().contains("`x`"));
        for kind in ControlKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for kind in AnomalyKind::FAULTS.into_iter().chain([AnomalyKind::SwappedSounds, AnomalyKind::Stop]) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
    }
}
