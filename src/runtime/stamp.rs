//! The name tag and the clock times that make a finding an event.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ulid::Ulid;

use crate::event::{EVENT_SCHEMA, Event, Finding, Phase};
use crate::units::samples_to_seconds;

/// Makes events of findings: ids, sequence numbers and times.
#[derive(Debug)]
pub struct Stamp {
    node: String,
    boot: String,
    model: String,
    streams: HashMap<String, Running>,
}

#[derive(Debug, Default)]
struct Running {
    seq: u64,
    current: Option<(u64, String)>,
}

impl Stamp {
    /// For the daemon `node` that runs `model` (a short hash); a new boot id is drawn.
    #[must_use]
    pub fn new(node: impl Into<String>, model: impl Into<String>) -> Self {
        let boot = Ulid::generate().to_string();
        Self { node: node.into(), boot, model: model.into(), streams: HashMap::new() }
    }

    /// ULID of this run.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The event of a finding on `stream` whose sample 0 was captured at `zero`; `latency` is the time from the
    /// capture of the deciding hop until now.
    pub fn event(&mut self, stream: &str, finding: Finding, zero: SystemTime, latency: Duration) -> Event {
        let running = self.streams.entry(stream.to_owned()).or_default();
        let id = match &running.current {
            Some((number, id)) if *number == finding.number => id.clone(),
            _ => Ulid::generate().to_string(),
        };
        running.current = (finding.phase != Phase::End).then(|| (finding.number, id.clone()));
        let seq = running.seq;
        running.seq += 1;
        let at = |sample: u64| rfc3339(zero + Duration::from_secs_f64(samples_to_seconds(sample)));
        Event {
            schema: EVENT_SCHEMA,
            id,
            boot: self.boot.clone(),
            seq,
            node: self.node.clone(),
            stream: stream.to_owned(),
            onset: at(finding.onset_sample),
            offset: finding.offset_sample.map(at),
            emitted: rfc3339(SystemTime::now()),
            latency_ms: (latency.as_secs_f64() * 1e5).round() / 100.0,
            model: self.model.clone(),
            finding,
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "invalid".to_owned(), |t| format!("{t:.3}"))
}
