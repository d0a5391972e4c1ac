//! The planted sounds, and the events found with their kinds.

use super::super::args::Output;
use super::microphone::{Event, Microphone};
use crate::error::Result;
use crate::telemetry::Column;

use crate::units::counted;

const TABLE: [Column; 8] = [
    ("planted", 8, false),
    (" what", 20, true),
    ("heard", 8, false),
    ("score", 6, false),
    ("severity", 8, false),
    ("decided", 8, false),
    (" kind", 14, true),
    ("summary", 7, true),
];

/// A row for each planted event of both scenes, and what came of all; `watched_s` seconds were watched.
pub(super) fn show(
    room: &Microphone<'_>,
    press: &Microphone<'_>,
    watched_s: f64,
    out: &mut Output,
) -> Result<()> {
    out.line(format_args!(""))?;
    out.head(&TABLE)?;
    let (received, false_in_room) = rows(room, out)?;
    let (noticed, false_at_press) = rows(press, out)?;
    let named = noticed.iter().filter(|(planted, said)| planted == said).count();
    out.prose(format_args!(
        "\nheard {} of {} planted sounds, {} in {watched_s:.0} s after calibration",
        received.len(),
        room.scene.planted.len(),
        counted(false_in_room, "false alarm"),
    ))?;
    out.prose(format_args!(
        "noticed {} of {} faults of the press, {named} by their kind, {} in {watched_s:.0} s",
        noticed.len(),
        press.scene.planted.len(),
        counted(false_at_press, "false alarm"),
    ))
}

type Kinds = (&'static str, &'static str);

/// Prints a row for each planted event. Gives, of those that were heard, the kind planted and the kind said, and how many
/// events are none of them.
fn rows(of: &Microphone<'_>, out: &mut Output) -> Result<(Vec<Kinds>, usize)> {
    let mut received = Vec::new();
    for planted in &of.scene.planted {
        let first = of.found.iter().find(|event| planted.explains(event.finding.onset_s));
        let Some(Event { decided_s, finding: f }) = first else {
            let (onset, missed) = (format!("{:.2}s", planted.onset_s), "missed".to_owned());
            out.row(&TABLE, &[onset, format!(" {}", planted.name), missed])?;
            continue;
        };
        received.push((planted.kind.as_str(), f.kind.as_str()));
        let delay_s = (decided_s - planted.onset_s).max(0.0);
        let cells = [
            format!("{:.2}s", planted.onset_s),
            format!(" {}", planted.name),
            format!("{:.2}s", f.onset_s),
            format!("{:.1}", f.score),
            f.severity.to_string(),
            format!("{:.0} ms", delay_s * 1e3),
            format!(" {}", f.kind.as_str()),
            f.summary.clone(),
        ];
        out.row(&TABLE, &cells)?;
    }
    let explained = |event: &&Event| of.scene.planted.iter().any(|p| p.explains(event.finding.onset_s));
    Ok((received, of.found.len() - of.found.iter().filter(explained).count()))
}
