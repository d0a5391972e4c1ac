//! Builds events from findings: ids, sequence numbers and clock times.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ulid::{Generator, Ulid};

use crate::cluster::Session;
use crate::cluster::ids::event_id;
use crate::event::{Detail, EVENT_SCHEMA, Event, Finding, Phase};
use crate::units::samples_to_seconds;

/// Ids of events that can still be named.
const REMEMBERED: usize = 256;

/// Makes events of findings: ids, sequence numbers and times.
pub struct EventBuilder {
    node: String,
    boot: String,
    model: String,
    streams: HashMap<String, Running>,
    /// Id, stream and number of the last events, the newest last.
    recent: VecDeque<(String, String, u64)>,
    /// Its ids ascend on each stream, also where the clock is set back.
    ids: Generator,
}

#[derive(Debug, Default)]
struct Running {
    seq: u64,
    current: Option<(u64, String)>,
}

impl EventBuilder {
    /// For the daemon `node` that runs `model` (a short hash); a new boot id is drawn.
    #[must_use]
    pub fn new(node: impl Into<String>, model: impl Into<String>) -> Self {
        let boot = Ulid::generate().to_string();
        Self {
            node: node.into(),
            boot,
            model: model.into(),
            streams: HashMap::new(),
            recent: VecDeque::new(),
            ids: Generator::new(),
        }
    }

    /// For another thread of the same daemon, whose streams are others.
    #[must_use]
    pub fn for_another_thread(&self) -> Self {
        Self { boot: self.boot.clone(), ..Self::new(self.node.clone(), self.model.clone()) }
    }

    /// ULID of this run.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Stream and number of the event `id`, if it is one of the last 256 of this run.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<(&str, u64)> {
        let (_, stream, number) = self.recent.iter().rev().find(|(known, ..)| known == id)?;
        Some((stream, *number))
    }

    /// Id of event `number` of the stream, if it is one of the last 256 of this run.
    #[must_use]
    pub fn id_of(&self, stream: &str, number: u64) -> Option<&str> {
        let mut newest_first = self.recent.iter().rev();
        newest_first.find(|(_, of, n)| of == stream && *n == number).map(|(id, ..)| id.as_str())
    }

    /// Id and number of the last event of the stream, if it is one of the last 256 of this run.
    #[must_use]
    pub fn last_of(&self, stream: &str) -> Option<(&str, u64)> {
        let (id, _, number) = self.recent.iter().rev().find(|(_, of, _)| of == stream)?;
        Some((id, *number))
    }

    /// The event of a finding in a `session` that workers share: every worker derives the same event from the same
    /// sound, except for the times at which it is made.
    pub(super) fn shared_event(
        &mut self,
        session: &Session,
        node: &str,
        stream: &str,
        finding: Finding,
    ) -> Event {
        let zero = session.started();
        let onset = zero + Duration::from_secs_f64(samples_to_seconds(finding.onset_sample));
        let onset_ms = onset.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let onset_ms = u64::try_from(onset_ms).unwrap_or_default();
        let id = event_id(&session.boot, stream, finding.onset_sample, finding.number, onset_ms);
        self.remember(&id, stream, finding.number);
        let made = zero + Duration::from_secs_f64(finding.emitted_s);
        let latency = SystemTime::now().duration_since(made).unwrap_or_default();
        let (boot, seq) = (session.boot.clone(), session.next_seq);
        self.document((id, boot, seq), (node, stream), finding, (zero, latency))
    }

    fn remember(&mut self, id: &str, stream: &str, number: u64) {
        if self.find(id).is_some() {
            return;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((id.to_owned(), stream.to_owned(), number));
    }

    /// The event of a finding on `stream` whose sample 0 was captured at `zero`; `latency` is the time from the
    /// capture of the deciding hop until now.
    pub fn event(&mut self, stream: &str, finding: Finding, zero: SystemTime, latency: Duration) -> Event {
        let current = self.streams.get(stream).and_then(|running| running.current.clone());
        let id = match current {
            Some((number, id)) if number == finding.number => id,
            _ => {
                let id = self.ids.generate().unwrap_or_else(|_| Ulid::generate()).to_string();
                self.remember(&id, stream, finding.number);
                id
            }
        };
        let running = self.streams.entry(stream.to_owned()).or_default();
        running.current = (finding.phase != Phase::End).then(|| (finding.number, id.clone()));
        let seq = running.seq;
        running.seq += 1;
        let node = self.node.clone();
        self.document((id, self.boot.clone(), seq), (&node, stream), finding, (zero, latency))
    }

    fn document(
        &self,
        (id, boot, seq): (String, String, u64),
        (node, stream): (&str, &str),
        finding: Finding,
        (zero, latency): (SystemTime, Duration),
    ) -> Event {
        let at = |sample: u64| rfc3339(zero + Duration::from_secs_f64(samples_to_seconds(sample)));
        Event {
            schema: EVENT_SCHEMA,
            id,
            boot,
            seq,
            node: node.to_owned(),
            stream: stream.to_owned(),
            onset: at(finding.onset_sample),
            offset: finding.offset_sample.map(at),
            emitted: rfc3339(SystemTime::now()),
            latency_ms: (latency.as_secs_f64() * 1e5).round() / 100.0,
            model: self.model.clone(),
            snapshot: None,
            label: None,
            similarity: None,
            heard: 0,
            finding: tidy(finding),
        }
    }
}

/// The finding with significant digits only.
fn tidy(mut finding: Finding) -> Finding {
    finding.score = milli(finding.score);
    finding.score_mean = milli(finding.score_mean);
    finding.surprise = milli(finding.surprise);
    finding.novelty = milli(finding.novelty);
    finding.p = three_digits(finding.p);
    finding.level_dbfs = (finding.level_dbfs * 10.0).round() / 10.0;
    finding.background_dbfs = (finding.background_dbfs * 10.0).round() / 10.0;
    finding.level_change_db = (finding.level_change_db * 10.0).round() / 10.0;
    for edge in finding.band_hz.iter_mut().flatten() {
        *edge = edge.round();
    }
    let Detail { due_s, offset_ms, ran_s, pitch_percent, tempo_percent } = &mut finding.detail;
    for (value, unit) in
        [(due_s, 1e3), (offset_ms, 1.0), (ran_s, 10.0), (pitch_percent, 10.0), (tempo_percent, 10.0)]
    {
        *value = value.map(|x| (x * unit).round() / unit);
    }
    if let Some(nearest) = &mut finding.nearest {
        nearest.cosine = milli(nearest.cosine);
    }
    for pmi in finding.surprise_per_k.iter_mut().flatten() {
        *pmi = (*pmi * 1e3).round() / 1e3;
    }
    finding
}

/// Three decimals.
pub(super) fn milli(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// Three significant digits, for probabilities.
pub(super) fn three_digits(p: f64) -> f64 {
    format!("{p:.2e}").parse().unwrap_or(p)
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "invalid".to_owned(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    fn finding(phase: Phase, number: u64) -> Finding {
        let over = phase == Phase::End;
        Finding {
            phase,
            number,
            onset_sample: 16_000,
            offset_sample: over.then_some(24_000),
            score: 3.456_789,
            p: 3.493_1e-4,
            surprise_per_k: vec![None, Some(1.234_567)],
            ..samples::finding(number)
        }
    }

    #[test]
    fn one_id_for_an_event_and_numbers_without_holes() {
        let mut event_builder = EventBuilder::new("box", "0123456789ab");
        let zero = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut next = |stream: &str, phase, number| {
            event_builder.event(stream, finding(phase, number), zero, Duration::from_millis(40))
        };
        let (a, b) = (next("mic", Phase::New, 0), next("mic", Phase::End, 0));
        let (c, other) = (next("mic", Phase::New, 1), next("door", Phase::New, 0));
        assert_eq!(a.id, b.id);
        assert!(a.id < c.id && c.id < other.id, "ids ascend");
        assert_eq!([a.seq, b.seq, c.seq, other.seq], [0, 1, 2, 0]);
        assert_eq!(
            (event_builder.find(&b.id), event_builder.find(&c.id)),
            (Some(("mic", 0)), Some(("mic", 1)))
        );
        assert_eq!((event_builder.find(&other.id), event_builder.find("x")), (Some(("door", 0)), None));
        assert_eq!((event_builder.last_of("mic"), event_builder.last_of("x")), (Some((&*c.id, 1)), None));
        assert_eq!(event_builder.recent.len(), 3);
        assert_eq!(a.onset, "1970-01-01T00:16:41.000Z");
        assert_eq!((a.offset, b.offset.as_deref()), (None, Some("1970-01-01T00:16:41.500Z")));
        assert!((a.latency_ms - 40.0).abs() < 1e-9);
        assert_eq!((a.finding.score, a.finding.p), (3.457, 3.49e-4));
        assert_eq!(a.finding.surprise_per_k, [None, Some(1.235)]);
    }
}
