//! The events of today and yesterday, by stream: counts of the event store for the broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event_builder::rfc3339;
use super::health::HealthReporter;
use crate::event::{Day, DayName, DaySummary};
use crate::event_store::{DayAnswer, Recorder};
use crate::publish::{EventSender, Outgoing, PublishConfig};
use crate::units::samples_to_seconds;

/// Interval at which the documents of today are published without new events: their seconds of sound grow.
const AT_LEAST: Duration = Duration::from_secs(3600);

/// Publishes the counts of today and yesterday when they change, and when a day ends.
pub(super) struct DayReporter {
    /// Least interval between two counts; zero publishes none.
    every: Duration,
    streams: Arc<[String]>,
    recorder: Recorder,
    sender: EventSender,
    health: Arc<HealthReporter>,
    days: Option<Days>,
    pending: Option<Receiver<DayAnswer>>,
    asked: Option<Instant>,
    /// Changes of the store at the last count.
    counted: Option<u64>,
    published: HashMap<(DayName, String), (DaySummary, Instant)>,
}

/// The two days, and the samples of each stream that were scored before the present one began and on the day before.
struct Days {
    today: Day,
    yesterday: Day,
    scored_before: BTreeMap<String, u64>,
    scored_yesterday: Option<BTreeMap<String, u64>>,
}

impl DayReporter {
    /// For these streams, as `publish` says; without a broker it publishes none.
    pub(super) fn new(
        publish: &PublishConfig,
        streams: &[String],
        recorder: Recorder,
        sender: EventSender,
        health: Arc<HealthReporter>,
    ) -> Self {
        let every = if publish.broker.is_some() { publish.day_s } else { 0 };
        Self {
            every: Duration::from_secs(u64::from(every)),
            streams: streams.into(),
            recorder,
            sender,
            health,
            days: None,
            pending: None,
            asked: None,
            counted: None,
            published: HashMap::new(),
        }
    }

    /// Publishes the counts that have come, and asks for new ones where they are due. It never waits.
    pub(super) fn look(&mut self, now: SystemTime) {
        if self.every.is_zero() {
            return;
        }
        self.take(Duration::ZERO, false);
        let Some(begins) = self.turn(now) else { return };
        let rests = self.asked.is_some_and(|asked| asked.elapsed() < self.every) && !begins;
        let stale = self
            .published
            .iter()
            .any(|((day, _), (_, at))| *day == DayName::Today && at.elapsed() >= AT_LEAST);
        if self.pending.is_none() && !rests && (stale || self.counted != Some(self.recorder.changes())) {
            self.ask();
        }
    }

    /// Publishes the last counts, for which it waits up to `limit`.
    pub(super) fn finish(&mut self, limit: Duration) {
        if self.every.is_zero() || self.turn(SystemTime::now()).is_none() {
            return;
        }
        self.ask();
        self.take(limit, true);
    }

    /// Sets the two days; true where another day has begun.
    fn turn(&mut self, now: SystemTime) -> Option<bool> {
        let now = Timestamp::try_from(now).ok()?;
        let now_ms = u64::try_from(now.as_millisecond()).ok()?;
        if self.days.as_ref().is_some_and(|days| days.today.contains(now_ms)) {
            return Some(false);
        }
        let today = local_day(now, TimeZone::system())?;
        let before = Timestamp::from_millisecond(i64::try_from(today.since_ms).ok()? - 1).ok()?;
        let yesterday = local_day(before, TimeZone::system())?;
        let scored = self.health.scored();
        let (scored_before, scored_yesterday) = match &self.days {
            None => (BTreeMap::new(), None),
            // the clock may have been set by days
            Some(former) if former.today != yesterday => (scored, None),
            Some(former) => {
                let of_day = differences(&scored, &former.scored_before);
                (scored, Some(of_day))
            }
        };
        self.days = Some(Days { today, yesterday, scored_before, scored_yesterday });
        (self.counted, self.pending) = (None, None);
        Some(true)
    }

    fn ask(&mut self) {
        let Some(days) = &self.days else { return };
        let changes = self.recorder.changes();
        let asked = vec![days.today.clone(), days.yesterday.clone()];
        self.pending = self.recorder.count_days(asked, Arc::clone(&self.streams));
        if self.pending.is_some() {
            (self.asked, self.counted) = (Some(Instant::now()), Some(changes));
        }
    }

    /// Publishes the counts that come within `limit`, where they have changed; those of today in any case where `last` says so.
    fn take(&mut self, limit: Duration, last: bool) {
        let (Some(pending), Some(days)) = (&self.pending, &self.days) else { return };
        let counted = match pending.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => return,
            // the thread logs what the disk refuses
            Err(RecvTimeoutError::Disconnected) | Ok(Err(_)) => {
                (self.pending, self.counted) = (None, None);
                return;
            }
            Ok(Ok(counted)) => counted,
        };
        self.pending = None;
        let time = rfc3339(SystemTime::now());
        let scored =
            [Some(differences(&self.health.scored(), &days.scored_before)), days.scored_yesterday.clone()];
        for ((day, streams), scored) in
            [DayName::Today, DayName::Yesterday].into_iter().zip(counted).zip(scored)
        {
            for (stream, mut summary) in streams {
                summary.time.clone_from(&time);
                let samples = scored.as_ref().map(|scored| scored.get(&stream).copied().unwrap_or(0));
                summary.analysed_s =
                    samples.map(|samples| (samples_to_seconds(samples) * 10.0).round() / 10.0);
                let former = self.published.get(&(day, stream.clone()));
                let stays = former.is_some_and(|(former, at)| {
                    let rests = !last && at.elapsed() < AT_LEAST;
                    former.counts_equal(&summary) && (day == DayName::Yesterday || rests)
                });
                if stays {
                    continue;
                }
                let message =
                    Outgoing::Day { stream: stream.clone(), day, summary: Box::new(summary.clone()) };
                if self.sender.try_send(message) {
                    self.published.insert((day, stream), (summary, Instant::now()));
                }
            }
        }
    }
}

/// By how much each count exceeds that before.
fn differences(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since = |id: &str, count: u64| count.saturating_sub(before.get(id).copied().unwrap_or(0));
    now.iter().map(|(id, count)| (id.clone(), since(id, *count))).collect()
}

/// The day of a time in a zone; it may have 23 or 25 hours.
fn local_day(at: Timestamp, zone: TimeZone) -> Option<Day> {
    let start = at.to_zoned_datetime(zone).start_of_day().ok()?;
    let next = start.tomorrow().ok()?.start_of_day().ok()?;
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).ok();
    Some(Day {
        date: start.date().to_string(),
        since_ms: ms(start.timestamp())?,
        until_ms: ms(next.timestamp())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (at, date, hours) in [
            ("2026-03-28T23:30:00Z", "2026-03-29", 23),
            ("2026-06-30T22:00:00Z", "2026-07-01", 24),
            ("2026-10-25T22:59:59Z", "2026-10-25", 25),
        ] {
            let day = local_day(at.parse().unwrap(), zone.clone()).unwrap();
            assert_eq!((day.date.as_str(), (day.until_ms - day.since_ms) / 3_600_000), (date, hours), "{at}");
            let at = at.parse::<Timestamp>().unwrap();
            assert!(day.contains(at.as_millisecond() as u64));
        }
        let today = local_day("2026-06-30T22:00:00Z".parse().unwrap(), TimeZone::UTC).unwrap();
        assert_eq!(today.date, "2026-06-30");
    }

    #[test]
    fn only_the_sound_of_a_day_counts() {
        let of = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
        };
        let found = differences(&of(&[("hall", 900), ("yard", 20)]), &of(&[("hall", 400)]));
        assert_eq!(found, of(&[("hall", 500), ("yard", 20)]));
    }
}
