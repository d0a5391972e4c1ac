//! Settings of a reloaded configuration on their way to the threads of the analysis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::scores::score_every;
use crate::config::Config;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};

/// How long the analysis may take until it has changed its settings.
const PATIENCE: Duration = Duration::from_secs(2);

/// The new settings of the analysis.
pub(super) struct Settings {
    pub(super) detect: DetectConfig,
    /// Frames between two score documents of a stream; 0 for none.
    pub(super) score_every: u32,
    pub(super) answer: Sender<Result<()>>,
    pub(super) taken: Claim,
}

/// Decides whether settings are applied or withdrawn: the first of both sides wins.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first of both sides.
    pub(super) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Sends the settings to the analysis threads and waits until they are applied. Where one thread refuses them, the
/// others go back to those of `old`.
pub(super) fn apply(new: &Config, old: &Config, ways: &[Sender<Settings>]) -> Result<()> {
    let given: Vec<_> = ways.iter().map(|way| give(new, way)).collect();
    let outcomes: Vec<Result<()>> =
        given.into_iter().map(|given| given.and_then(PendingReload::outcome)).collect();
    let took: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    let Some(error) = outcomes.into_iter().find_map(Result::err) else { return Ok(()) };
    for (way, _) in ways.iter().zip(took).filter(|(_, took)| *took) {
        if let Err(again) = give(old, way).and_then(PendingReload::outcome) {
            tracing::error!(
                "a part of the analysis keeps settings that another part refused: {again}; restart the daemon"
            );
        }
    }
    Err(error)
}

/// Settings sent to a thread.
struct PendingReload {
    answers: Receiver<Result<()>>,
    taken: Claim,
}

fn late() -> Error {
    Error::internal("the analysis took no new settings within 2 s")
}

fn give(config: &Config, way: &Sender<Settings>) -> Result<PendingReload> {
    let (answer, answers) = bounded(1);
    let (score_every, taken) = (score_every(config.publish.score_hz), Claim::default());
    let settings = Settings { detect: config.detect.clone(), score_every, answer, taken: taken.clone() };
    way.send_timeout(settings, PATIENCE).map_err(|_| late())?;
    Ok(PendingReload { answers, taken })
}

impl PendingReload {
    /// The result. Settings that the thread did not begin to apply in time are withdrawn, so that nothing changes
    /// later.
    fn outcome(self) -> Result<()> {
        let Self { answers, taken } = self;
        match answers.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(_) if taken.claim() => Err(late()),
            // the thread is applying them
            Err(_) => answers.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                tracing::warn!("the analysis has taken new settings and is not done with it yet");
                Ok(())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_late_are_withdrawn_and_never_counted_later() {
        let (way, settings) = bounded(1);
        let (config, ways) = (Config::default(), [way]);
        let error = apply(&config, &config, &ways).unwrap_err();
        assert!(error.to_string().contains("within 2 s"), "{error}");
        let late: Settings = settings.try_recv().unwrap();
        assert!(!late.taken.claim(), "the analysis must leave them alone");
        let analysis = std::thread::spawn(move || {
            let settings: Settings = settings.recv().unwrap();
            assert!(settings.taken.claim());
            // begun in time and slow: the answer is not that nothing changes
            std::thread::sleep(PATIENCE + Duration::from_millis(300));
            settings.answer.send(Ok(())).unwrap();
        });
        apply(&config, &config, &ways).unwrap();
        analysis.join().unwrap();
    }

    #[test]
    fn settings_refused_by_one_thread_are_rolled_back_on_all() {
        let (old, mut new) = (Config::default(), Config::default());
        new.detect.events_per_hour = 7.0;
        let thread = |refuses: bool| {
            let (way, settings) = bounded::<Settings>(1);
            let work = move || {
                let mut budgets = Vec::new();
                for settings in settings {
                    assert!(settings.taken.claim());
                    budgets.push(settings.detect.events_per_hour);
                    let outcome = if refuses { Err(Error::internal("not that")) } else { Ok(()) };
                    settings.answer.send(outcome).unwrap();
                }
                budgets
            };
            (way, std::thread::spawn(work))
        };
        let (ways, threads): (Vec<_>, Vec<_>) = [false, true, false].map(thread).into_iter().unzip();
        assert_eq!(apply(&new, &old, &ways).unwrap_err().to_string(), "not that");
        drop(ways);
        let budgets: Vec<Vec<f64>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let back = old.detect.events_per_hour;
        assert_eq!(budgets, [vec![7.0, back], vec![7.0], vec![7.0, back]]);
    }
}
