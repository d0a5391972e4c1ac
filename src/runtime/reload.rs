//! Reload of the configuration while the daemon runs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;
use serde_json::json;

use super::daemon::{Control, Daemon, notify_systemd};
use super::settings::apply;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::publish::Command;

/// Keys that count at once; all others need a restart.
const LIVE: [&str; 4] = ["detect.", "publish.score_hz", "publish.health_s", "publish.drain_timeout_s"];
/// The answer to a request: what is different now, or why everything is as it was.
type Reloaded = Result<String>;

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
}
