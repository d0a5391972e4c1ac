//! The planted sounds, and the events found with their kinds.

use super::super::args::Output;
use super::{Event, Microphone};
use crate::error::Result;
use crate::units::counted;

/// A row for each planted event of both scenes, and what came of all; `watched_s` seconds were watched.
pub(super) fn show(
    room: &Microphone<'_>,
    press: &Microphone<'_>,
    watched_s: f64,
    out: &mut Output,
) -> Result<()> {
    out.line(format_args!(
        "\n{:>8}  {:<19} {:>8} {:>6} {:>8} {:>8}  {:<13} summary",
        "planted", "what", "heard", "score", "severity", "decided", "kind"
    ))?;
    let (received, false_in_room) = rows(room, out)?;
    let (noticed, false_at_press) = rows(press, out)?;
    let named = noticed.iter().filter(|(planted, said)| planted == said).count();
    out.line(format_args!(
        "\nheard {} of {} planted sounds, {} in {watched_s:.0} s after calibration",
        received.len(),
        room.scene.planted.len(),
        counted(false_in_room, "false alarm"),
    ))?;
    out.line(format_args!(
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
            out.line(format_args!("{:>7.2}s  {:<19}   missed", planted.onset_s, planted.name))?;
            continue;
        };
        received.push((planted.kind.as_str(), f.kind.as_str()));
        let delay_s = (decided_s - planted.onset_s).max(0.0);
        out.line(format_args!(
            "{:>7.2}s  {:<19} {:>7.2}s {:>6.1} {:>8} {:>5.0} ms  {:<13} {}",
            planted.onset_s,
            planted.name,
            f.onset_s,
            f.score,
            f.severity,
            delay_s * 1e3,
            f.kind.as_str(),
            f.summary
        ))?;
    }
    let explained = |event: &&Event| of.scene.planted.iter().any(|p| p.explains(event.finding.onset_s));
    Ok((received, of.found.len() - of.found.iter().filter(explained).count()))
}
