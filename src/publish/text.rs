//! An event as a line for a person at a terminal.

use crate::event::{Event, Finding, Phase, Tier};

/// `2026-01-02 03:04:05 UTC  mic  severity 63 severe  foreign sound, …; going on`: time of the onset, stream, severity, tier where it is
/// severe, summary, and how long it lasted.
pub(super) fn line(event: &Event) -> String {
    let Finding { phase, severity, tier, ref summary, offset_s, onset_s, kind, .. } = event.finding;
    let time = event.onset.get(..19).unwrap_or(&event.onset).replace('T', " ");
    let severe = if tier == Tier::Severe { " severe" } else { "" };
    let lasts = match (phase, offset_s) {
        (Phase::New, _) => "begins".to_owned(),
        (Phase::Update, _) => "is severe now".to_owned(),
        (Phase::End, Some(offset)) => format!("ended after {:.2} s", offset - onset_s),
        (Phase::End, None) => "ended".to_owned(),
    };
    let what = if summary.is_empty() { kind.as_str() } else { summary };
    let known = event.known_as().map_or_else(String::new, |known| format!("; {known}"));
    format!("{time} UTC  {}  severity {severity}{severe}  {what}; {lasts}{known}", event.stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    #[test]
    fn a_line_says_when_where_what_and_how_grave() {
        let mut event = samples::event("mic", 3);
        let what = "foreign sound, 0.8-1.0 kHz, 40 dB over the background";
        assert_eq!(line(&event), format!("2026-01-02 03:04:05 UTC  mic  severity 64  {what}; begins"));
        (event.finding.phase, event.finding.tier) = (Phase::End, Tier::Severe);
        event.finding.offset_s = Some(event.finding.onset_s + 0.456);
        let end = format!("2026-01-02 03:04:05 UTC  mic  severity 64 severe  {what}; ended after 0.46 s");
        assert_eq!(line(&event), end);
        (event.label, event.similarity, event.heard) = (Some("kettle".into()), Some(0.871), 7);
        assert_eq!(line(&event), format!("{end}; sounds like kettle (0.87), heard 7 times"));
        event.heard = 1;
        assert!(line(&event).ends_with("kettle (0.87), heard once"), "{}", line(&event));
        event.finding.summary = String::new();
        assert!(line(&event).contains("severe  foreign; ended"), "{}", line(&event));
    }
}
