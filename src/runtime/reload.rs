//! Reload of the configuration while the daemon runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use sd_notify::NotifyState;
use serde_json::json;

use super::daemon::{Control, Daemon, notify_systemd};
use super::inference::Inference;
use super::scores::score_every;
use crate::config::Config;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::publish::Command;

/// Keys that count at once; all others need a restart.
const LIVE: [&str; 4] = ["detect.", "publish.score_hz", "publish.health_s", "publish.drain_timeout_s"];
/// How long the analysis may take until it has changed its settings.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer to a request: what is different now, or why everything is as it was.
type Reloaded = Result<String>;

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

/// The changes of a new configuration.
pub(super) struct Changes {
    /// Keys that count at once.
    pub(super) live: Vec<String>,
    /// Keys that count after a restart.
    pub(super) later: Vec<String>,
}

impl Changes {
    pub(super) fn between(old: &Config, new: &Config) -> Result<Self> {
        let keys = changed(old, new)?;
        let (live, later) = keys.into_iter().partition(|key| LIVE.iter().any(|live| key.starts_with(live)));
        Ok(Self { live, later })
    }

    /// One line for the log and for whoever asked.
    pub(super) fn report(&self) -> String {
        let list = |keys: &[String]| keys.join(", ");
        match (self.live.as_slice(), self.later.as_slice()) {
            ([], []) => "nothing has changed".to_owned(),
            (live, []) => format!("in force now: {}", list(live)),
            ([], later) => format!("these wait for a restart: {}", list(later)),
            (live, later) => {
                format!("in force now: {}; these wait for a restart: {}", list(live), list(later))
            }
        }
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

impl Inference {
    /// Applies the supervisor's settings, unless they were withdrawn.
    pub(super) fn take_settings(&mut self) -> Result<()> {
        while let Ok(settings) = self.settings.try_recv() {
            if !settings.taken.claim() {
                // the requester has given up
                continue;
            }
            let mut outcome = Ok(());
            self.drive(|engine, sink| {
                outcome = engine.reconfigure(&settings.detect, sink);
                Ok(())
            })?;
            if outcome.is_ok() {
                self.score_every = settings.score_every;
                self.publish_budgets();
            }
            let _ = settings.answer.try_send(outcome);
        }
        Ok(())
    }
}

impl Daemon {
    /// Reads the configuration again on request.
    pub(super) fn take_reloads(&mut self, control: &Control<'_>) {
        let hang_up = control.hang_up.swap(false, Ordering::Relaxed);
        let asked = self.dispatch.take_reloads();
        if !hang_up && asked.is_empty() {
            return;
        }
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify_systemd(&[NotifyState::Reloading, now]);
        }
        let outcome = self.reload(control.load);
        notify_systemd(&[NotifyState::Ready]);
        match &outcome {
            Ok(changes) => tracing::info!("the configuration was read again; {changes}"),
            Err(error) => {
                tracing::error!("{error}; the configuration stays as it was. fix: {}", error.fix());
            }
        }
        for requester in asked {
            let result = match &outcome {
                Ok(changes) => Ok(Some(json!({ "changes": changes }))),
                Err(error) => Err(Error::new(error.kind(), error.to_string(), error.fix())),
            };
            self.dispatch.answer(Command::Reload, result, requester);
        }
    }

    fn reload(&mut self, load: &dyn Fn() -> Result<Config>) -> Reloaded {
        let new = load()?;
        let changes = Changes::between(&self.config, &new)?;
        if !changes.live.is_empty() {
            let going_on = self.shards.iter().filter(|shard| !shard.has_ended());
            let ways: Vec<_> = going_on.map(|shard| shard.settings.clone()).collect();
            apply(&new, &self.config, &ways)?;
            self.health_every = Duration::from_secs(u64::from(new.publish.health_s));
            self.drain = Duration::from_secs_f64(new.publish.drain_timeout_s);
            // what waits for a restart is still as it was
            self.config.detect = new.detect;
            self.config.publish.score_hz = new.publish.score_hz;
            self.config.publish.health_s = new.publish.health_s;
            self.config.publish.drain_timeout_s = new.publish.drain_timeout_s;
        }
        Ok(changes.report())
    }
}

/// Dotted keys whose values differ.
fn changed(old: &Config, new: &Config) -> Result<Vec<String>> {
    let table = |config: &Config| {
        toml::Table::try_from(config)
            .map_err(|e| Error::internal(format!("a configuration has no text: {e}")))
    };
    let mut keys = Vec::new();
    compare("", &table(old)?, &table(new)?, &mut keys);
    Ok(keys)
}

fn compare(prefix: &str, old: &toml::Table, new: &toml::Table, keys: &mut Vec<String>) {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => compare(&path, old, new, keys),
            (old, new) if old != new => keys.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::SourceConfig;

    #[test]
    fn changes_are_named_and_sorted_by_when_they_count() {
        let old = Config::default();
        let mut new = Config { source: vec![SourceConfig::from_device("hw:0")], ..old.clone() };
        new.detect.events_per_hour = 7.0;
        new.publish.broker = Some("mqtt://x".into());
        new.publish.health_s = 1;
        let changes = Changes::between(&old, &new).unwrap();
        assert_eq!(changes.live, ["detect.events_per_hour", "publish.health_s"]);
        assert_eq!(changes.later, ["publish.broker", "source"]);
        assert!(changes.report().contains("restart: publish.broker, source"), "{}", changes.report());
        let none = Changes::between(&old, &old).unwrap();
        assert_eq!(none.report(), "nothing has changed");
    }

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
            // begun in time and slow: the requester is not told that nothing changes
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
