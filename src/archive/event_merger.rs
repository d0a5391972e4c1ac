//! One report of each event of a recording, from the reports of its beginning, its updates and its end.

use super::listener::Listener;
use crate::error::Result;
use crate::event::{Finding, Phase};
use crate::units::{HOP, samples_to_seconds};

/// Merges all reports of an event into one.
#[derive(Debug, Default)]
pub(super) struct EventMerger {
    /// The last report of the ongoing event.
    open: Option<Finding>,
}

impl EventMerger {
    /// Takes the next reports; an event goes to the listener when it has ended.
    pub(super) fn take(&mut self, findings: &mut Vec<Finding>, listener: &mut dyn Listener) -> Result<()> {
        for mut finding in findings.drain(..) {
            if let Some(first) = self.open.take().filter(|first| first.number == finding.number) {
                finding.emitted_s = first.emitted_s;
            }
            match finding.phase {
                Phase::New | Phase::Update => self.open = Some(finding),
                Phase::End => listener.event(&finding)?,
            }
        }
        Ok(())
    }

    /// Ends the recording after `frames` frames.
    pub(super) fn finish(&mut self, frames: u64, listener: &mut dyn Listener) -> Result<()> {
        let Some(mut last) = self.open.take() else { return Ok(()) };
        let end = frames * HOP as u64;
        (last.phase, last.offset_sample) = (Phase::End, Some(end));
        last.offset_s = Some(samples_to_seconds(end));
        listener.event(&last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::*;
    use crate::event::samples::finding;

    #[derive(Default)]
    struct Events(Vec<Finding>);

    impl Listener for Events {
        fn event(&mut self, finding: &Finding) -> Result<()> {
            self.0.push(finding.clone());
            Ok(())
        }

        fn row(&mut self, _: &Row) -> Result<()> {
            Ok(())
        }

        fn progress(&mut self, _: f64) -> bool {
            true
        }
    }

    #[test]
    fn an_event_is_reported_once_with_its_final_figures_and_its_first_time() {
        let at = |number, phase, emitted_s, score| Finding { phase, emitted_s, score, ..finding(number) };
        let end = Finding { offset_s: Some(9.0), ..at(0, Phase::End, 10.0, 8.0) };
        let mut findings = vec![
            at(0, Phase::New, 1.0, 5.0),
            at(0, Phase::Update, 2.0, 7.0),
            end,
            at(1, Phase::New, 11.0, 6.0),
        ];
        let (mut merger, mut events) = (EventMerger::default(), Events::default());
        merger.take(&mut findings, &mut events).unwrap();
        merger.finish(1200, &mut events).unwrap();
        let reported: Vec<_> =
            events.0.iter().map(|f| (f.number, f.phase, f.emitted_s, f.score, f.offset_s)).collect();
        assert_eq!(reported, [(0, Phase::End, 1.0, 8.0, Some(9.0)), (1, Phase::End, 11.0, 6.0, Some(12.0))]);
    }
}
