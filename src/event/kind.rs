//! The kind of an event, with its figures.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The kind of an event, by the terms that decided it. It may change until the event ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A sound that the background does not have. Documents without a kind are read as this.
    #[default]
    Foreign,
    /// A sound of a regular series did not come when it was due.
    Missing,
    /// A sound of a regular series came before it was due.
    Early,
    /// A sound of a regular series came after it was due.
    Late,
    /// A known sound where another one usually comes.
    OutOfOrder,
    /// The background fell silent: below 99 % of the levels of the calibration.
    Stopped,
    /// The background itself is another: its pitch, speed, level or colour.
    Changed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Foreign,
        Self::Missing,
        Self::Early,
        Self::Late,
        Self::OutOfOrder,
        Self::Stopped,
        Self::Changed,
    ];

    /// As in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Missing => "missing",
            Self::Early => "early",
            Self::Late => "late",
            Self::OutOfOrder => "out_of_order",
            Self::Stopped => "stopped",
            Self::Changed => "changed",
        }
    }
}

/// The figures behind a [`Kind`]. What does not apply or is not known is none, and left out of the document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// When the sound of a `missing`, `early` or `late` event was due, seconds from the start of the stream, 0 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_s: Option<f64>,
    /// When it came, in milliseconds after it was due: negative for `early`, positive for `late`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<f64>,
    /// Seconds that the background had run before it `stopped`, 0 or more, not counted across gaps of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran_s: Option<f64>,
    /// How much higher the pitch is than at calibration, percent, −100 or more; negative where it is lower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pitch_percent: Option<f64>,
    /// How much faster the rhythm is than at calibration, percent, −100 or more; negative where it is slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempo_percent: Option<f64>,
}

impl Detail {
    /// Whether there is no figure.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The event in a line of English, for a notification: what it was and the figures of `detail`, the band in Hz that stood
/// out most and the change of level in dB where they say something of this kind.
#[must_use]
pub fn summary(kind: Kind, detail: &Detail, band_hz: Option<[f32; 2]>, level_change_db: f32) -> String {
    let due = detail.due_s.map(|due| format!("due at {due:.2} s"));
    match kind {
        Kind::Foreign => {
            let mut text = "foreign sound".to_owned();
            append(&mut text, band_hz.map(band).as_deref());
            append(&mut text, over_background(level_change_db).as_deref());
            text
        }
        Kind::Missing => match due {
            Some(due) => format!("a beat was {due}"),
            None => "a sound that was due did not come".to_owned(),
        },
        Kind::Early | Kind::Late => {
            let word = kind.as_str();
            let mut text = match detail.offset_ms {
                Some(offset) => format!("a beat came {:.0} ms {word}", offset.abs()),
                None => format!("a beat came {word}"),
            };
            append(&mut text, due.as_deref());
            text
        }
        Kind::OutOfOrder => "a known sound out of its usual order".to_owned(),
        Kind::Stopped => match detail.ran_s {
            Some(ran) => format!("stopped after {}", duration(ran)),
            None => {
                let mut text = "stopped".to_owned();
                append(&mut text, over_background(level_change_db).as_deref());
                text
            }
        },
        Kind::Changed => changed(detail, band_hz, level_change_db),
    }
}

fn changed(detail: &Detail, band_hz: Option<[f32; 2]>, level_change_db: f32) -> String {
    let percent = |x: f64, up: &str, down: &str| {
        let text = if x.abs() < 9.95 { format!("{:.1}", x.abs()) } else { format!("{:.0}", x.abs()) };
        format!("{} % {}", text.trim_end_matches(".0"), if x > 0.0 { up } else { down })
    };
    let mut text = String::new();
    append(&mut text, detail.tempo_percent.map(|x| percent(x, "faster", "slower")).as_deref());
    append(&mut text, detail.pitch_percent.map(|x| percent(x, "higher", "lower")).as_deref());
    if text.is_empty() && level_change_db.abs() >= 1.0 {
        let word = if level_change_db > 0.0 { "louder" } else { "quieter" };
        let _ = write!(text, "{:.0} dB {word}", level_change_db.abs());
    }
    if text.is_empty() {
        text.push_str("the background sounds different");
        append(&mut text, band_hz.map(|edges| format!("most at {}", band(edges))).as_deref());
    }
    text
}

fn append(text: &mut String, more: Option<&str>) {
    let Some(more) = more else { return };
    if !text.is_empty() {
        text.push_str(", ");
    }
    text.push_str(more);
}

fn over_background(change_db: f32) -> Option<String> {
    let side = if change_db > 0.0 { "over" } else { "under" };
    (change_db.abs() >= 1.0).then(|| format!("{:.0} dB {side} the background", change_db.abs()))
}

fn band([low, high]: [f32; 2]) -> String {
    if high < 1000.0 {
        return format!("{low:.0}-{high:.0} Hz");
    }
    format!("{:.1}-{:.1} kHz", low / 1000.0, high / 1000.0)
}

/// `4.2 s`, `45 s`, `12 min`, `3 h 12 min`, `2 d 5 h`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        s if s < 10.0 => format!("{:.1} s", s.max(0.0)),
        s if s < 119.5 => format!("{s:.0} s"),
        _ if minutes < 120 => format!("{minutes} min"),
        _ if minutes < 48 * 60 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, detail: Detail) -> String {
        summary(kind, &detail, Some([1200.0, 2300.0]), 12.3)
    }

    #[test]
    fn a_summary_names_what_it_was_with_its_figures() {
        let at = |due_s| Detail { due_s: Some(due_s), ..Detail::default() };
        let none = Detail::default();
        assert_eq!(of(Kind::Foreign, none), "foreign sound, 1.2-2.3 kHz, 12 dB over the background");
        assert_eq!(summary(Kind::Foreign, &none, None, 0.4), "foreign sound");
        assert_eq!(of(Kind::Missing, at(12.338)), "a beat was due at 12.34 s");
        assert_eq!(of(Kind::Missing, none), "a sound that was due did not come");
        let early = Detail { offset_ms: Some(-120.4), ..at(12.0) };
        assert_eq!(of(Kind::Early, early), "a beat came 120 ms early, due at 12.00 s");
        assert_eq!(of(Kind::Late, none), "a beat came late");
        let ran = |ran_s| Detail { ran_s: Some(ran_s), ..none };
        for (seconds, words) in [
            (4.21, "4.2 s"),
            (45.0, "45 s"),
            (119.6, "2 min"),
            (11_520.0, "3 h 12 min"),
            (190_800.0, "2 d 5 h"),
        ] {
            assert_eq!(of(Kind::Stopped, ran(seconds)), format!("stopped after {words}"));
        }
        assert_eq!(summary(Kind::Stopped, &none, None, -20.0), "stopped, 20 dB under the background");
    }

    #[test]
    fn a_change_is_told_by_tempo_and_pitch_before_level_and_colour() {
        let detail =
            |tempo, pitch| Detail { tempo_percent: tempo, pitch_percent: pitch, ..Detail::default() };
        assert_eq!(of(Kind::Changed, detail(Some(-6.0), None)), "6 % slower");
        assert_eq!(of(Kind::Changed, detail(Some(12.4), Some(3.25))), "12 % faster, 3.2 % higher");
        assert_eq!(of(Kind::Changed, Detail::default()), "12 dB louder");
        assert_eq!(summary(Kind::Changed, &Detail::default(), None, -9.0), "9 dB quieter");
        let colour = summary(Kind::Changed, &Detail::default(), Some([300.0, 350.0]), 0.2);
        assert_eq!(colour, "the background sounds different, most at 300-350 Hz");
    }

    #[test]
    fn words_are_those_of_the_document_and_absent_figures_are_left_out() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(serde_json::to_string(&Detail::default()).unwrap(), "{}");
        let detail = Detail { due_s: Some(1.5), ..Detail::default() };
        assert_eq!(serde_json::to_string(&detail).unwrap(), r#"{"due_s":1.5}"#);
        assert_eq!(serde_json::from_str::<Detail>("{}").unwrap(), Detail::default());
    }
}
