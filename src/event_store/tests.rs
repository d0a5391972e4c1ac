//! Laws of the store: bounds, what a verdict outlives, pages, and what happens with a damaged file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::labels::LabelRows;
use super::*;
use crate::event::{Event, Kind, Phase, Verdict, samples};

const LIMIT: Duration = Duration::from_secs(20);

/// Event `seq`, that many hours after the start of March 2026.
fn event(seq: u64, stream: &str) -> Event {
    let mut event = samples::event(stream, seq);
    let onset = jiff::Timestamp::from_second(1_772_323_200 + 3600 * seq as i64).unwrap();
    event.onset = onset.to_string();
    event.finding.severity = (seq % 100) as u8;
    event.finding.kind = Kind::ALL[seq as usize % Kind::ALL.len()];
    event
}

/// The store of a folder, once the one before has let go of it.
fn open(dir: &Path, config: EventsConfig) -> (EventStore, Recorder) {
    let by = std::time::Instant::now() + LIMIT;
    loop {
        let (store, recorder) = EventStore::start(config, Some(dir)).unwrap();
        if !recorder.health().degraded {
            return (store, recorder);
        }
        assert!(std::time::Instant::now() < by, "the file stays locked");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ids(store: &EventStore, filter: &Filter) -> Vec<String> {
    store.page(filter, 1000).unwrap().events.into_iter().map(|kept| kept.event.id).collect()
}

#[test]
fn the_latest_document_and_the_verdict_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    let first = event(1, "hall");
    recorder.record_event(&first);
    let judged = recorder.judge(&first.id, Some(Verdict::Normal), Some("  door ".into())).unwrap().unwrap();
    assert_eq!((judged.verdict, judged.label.as_str()), (Some(Verdict::Normal), "door"));
    let mut last = first.clone();
    (last.seq, last.finding.phase) = (9, Phase::End);
    recorder.record_event(&last);
    assert!(recorder.flush(LIMIT));
    drop((store, recorder));
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    let kept = store.get(&first.id).unwrap().unwrap();
    let label_source = Some(LabelSource::Operator);
    let expected =
        StoredEvent { event: last, verdict: Some(Verdict::Normal), label: "door".into(), label_source };
    assert_eq!(kept, expected);
    assert_eq!(recorder.health().events, 1);
    // none takes it back; a label that is not given stays
    let taken_back = recorder.judge(&first.id, None, None).unwrap().unwrap();
    assert_eq!((taken_back.verdict, taken_back.label.as_str()), (None, "door"));
    assert_eq!(recorder.judge("nothing", None, None).unwrap(), None);
    for label in ["x".repeat(65), "two\nlines".into()] {
        assert!(recorder.judge(&first.id, None, Some(label)).is_err());
    }
}

#[test]
fn the_oldest_go_past_each_limit() {
    let of = |config: EventsConfig| {
        let dir = tempfile::tempdir().unwrap();
        let (store, recorder) = open(dir.path(), config);
        for seq in 0..100 {
            recorder.record_event(&event(seq, "hall"));
        }
        assert!(recorder.flush(LIMIT));
        let found = ids(&store, &Filter::default());
        assert_eq!(found[0], event(99, "hall").id);
        let health = recorder.health();
        assert_eq!(health.events, found.len() as u64);
        (found.len(), health)
    };
    let some = EventsConfig { max_events: 7, ..EventsConfig::default() };
    assert_eq!(of(some).0, 7);
    assert_eq!(of(EventsConfig { max_age_days: 1, ..EventsConfig::default() }).0, 25);
    let (all, health) = of(EventsConfig::default());
    assert_eq!((all, health.lost, health.degraded), (100, 0, false));
    let each = health.bytes / 100;
    let small = EventsConfig { max_bytes: 10 * each, ..EventsConfig::default() };
    // the smallest limit that is allowed holds more than a hundred: the file is asked below it
    assert!(small.validate().is_err());
    let dir = tempfile::tempdir().unwrap();
    let (mut opened, _) = file::open(dir.path()).unwrap();
    for seq in 0..100 {
        let event = event(seq, "hall");
        let rows = [(event.id.clone(), row::Row::of(&event))].into();
        opened.size = file::write(&opened, &rows, &LabelRows::default(), &small).unwrap();
        assert!(opened.size.bytes <= small.max_bytes);
    }
    assert!((8..=10).contains(&opened.size.events), "{:?}", opened.size);
}

#[test]
fn filters_and_pages_find_each_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    for seq in 0..90 {
        recorder.record_event(&event(seq, if seq % 3 == 0 { "hall" } else { "yard" }));
    }
    recorder.judge(&event(30, "").id, Some(Verdict::Anomaly), Some("bang".into())).unwrap().unwrap();
    assert!(recorder.flush(LIMIT));
    let asked = |pairs: &[(&str, &str)]| {
        let mut filter = Filter::default();
        pairs.iter().for_each(|(key, value)| filter.set(key, value).unwrap());
        ids(&store, &filter).len()
    };
    assert_eq!(asked(&[("stream", "hall")]), 30);
    assert_eq!(asked(&[("stream", "hall"), ("severity", "60")]), 10);
    assert_eq!(asked(&[("kind", "foreign")]), 13);
    assert_eq!(asked(&[("verdict", "anomaly"), ("label", "bang")]), 1);
    assert_eq!(asked(&[("verdict", "none"), ("label", "")]), 89);
    assert_eq!(asked(&[("since", "2026-03-01T10:00:00Z"), ("until", "2026-03-01T12:00:00Z")]), 2);
    for (day, count) in
        [("2026-03-01", 24), ("2026-03-02+01:00", 24), ("2026-03-01 02:00", 22), ("2026-04-01", 0)]
    {
        assert_eq!(asked(&[("day", day)]), count, "{day}");
    }
    for (key, value) in [
        ("day", "1st of March"),
        ("since", "monday"),
        ("severity", "101"),
        ("kind", "odd"),
        ("verdict", "x"),
        ("colour", "red"),
    ] {
        assert!(Filter::default().set(key, value).is_err(), "{key}");
    }
    let (mut filter, mut walked) = (Filter { stream: Some("yard".into()), ..Filter::default() }, Vec::new());
    loop {
        let page = store.page(&filter, 7).unwrap();
        walked.extend(page.events.into_iter().map(|kept| kept.event.id));
        filter.before = page.next;
        if filter.before.is_none() {
            break;
        }
    }
    assert_eq!(walked, ids(&store, &Filter { stream: Some("yard".into()), ..Filter::default() }));
    assert_eq!(walked.len(), 60);
    let sum = store.summary(&Filter::default()).unwrap();
    assert_eq!((sum.events, sum.unjudged, sum.half_hours.len()), (90, 89, 90));
    assert_eq!((sum.streams["hall"], sum.streams["yard"]), (30, 60));
    assert_eq!(sum.label_counts, [("bang".to_owned(), 1)].into());
    let worst: Vec<u8> = sum.worst.iter().map(|kept| kept.event.finding.severity).collect();
    assert_eq!(worst, [89, 88, 87]);
    assert_eq!(
        sum.half_hours.iter().map(|half| u64::from(half.events)).sum::<u64>(),
        sum.kinds.values().sum::<u64>()
    );
}

#[test]
fn without_a_folder_the_last_events_are_known() {
    let (store, recorder) = EventStore::start(EventsConfig::default(), None).unwrap();
    for seq in 0..1100 {
        recorder.record_event(&event(seq, "hall"));
        // the way in has room for 1,024
        if seq % 500 == 0 {
            assert!(recorder.flush(LIMIT));
        }
    }
    assert!(recorder.flush(LIMIT));
    let sum = store.summary(&Filter::default()).unwrap();
    assert_eq!(sum.events, 1024);
    assert_eq!((recorder.health().events, recorder.health().lost), (0, 0));
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.redb"), b"no database at all").unwrap();
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    recorder.record_event(&event(1, "hall"));
    assert!(recorder.flush(LIMIT));
    assert_eq!(ids(&store, &Filter::default()).len(), 1);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("events.redb.corrupt-")), "{names:?}");
}

#[test]
fn the_last_events_are_found_while_the_file_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    for seq in 0..10 {
        recorder.record_event(&event(seq, "hall"));
    }
    assert!(recorder.flush(LIMIT));
    drop((store, recorder));
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    recorder.record_event(&event(10, "hall"));
    assert!(recorder.flush(LIMIT));
    *store::record_written(&store.shared.opened) = None;
    let waiting = event(11, "yard");
    store::record_written(&store.shared.waiting).insert(waiting.id.clone(), row::Row::of(&waiting));
    assert_eq!(ids(&store, &Filter::default()).len(), 12);
    assert_eq!(store.get(&event(3, "hall").id).unwrap().unwrap().event, event(3, "hall"));
}

#[test]
fn waiting_and_written_rows_are_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recorder) = open(dir.path(), EventsConfig::default());
    for seq in [1, 3, 5] {
        recorder.record_event(&event(seq, "hall"));
    }
    assert!(recorder.flush(LIMIT));
    for seq in [0, 3, 4, 9] {
        let waiting = event(seq, "yard");
        store::record_written(&store.shared.waiting).insert(waiting.id.clone(), row::Row::of(&waiting));
    }
    let found: Vec<(u64, String)> = store
        .page(&Filter::default(), 100)
        .unwrap()
        .events
        .into_iter()
        .map(|kept| (kept.event.seq, kept.event.stream))
        .collect();
    let wanted = [(9, "yard"), (5, "hall"), (4, "yard"), (3, "yard"), (1, "hall"), (0, "yard")];
    assert_eq!(found, wanted.map(|(seq, stream)| (seq, stream.to_owned())));
    let page = store.page(&Filter::default(), 2).unwrap();
    let rest = store.page(&Filter { before: page.next, ..Filter::default() }, 100).unwrap();
    assert_eq!(rest.events.iter().map(|kept| kept.event.seq).collect::<Vec<_>>(), [4, 3, 1, 0]);
}

#[test]
fn days_are_counted_by_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, recorder) = open(dir.path(), EventsConfig::default());
    let start_ms = 1_772_323_200_000;
    for seq in 0..72 {
        let mut event = event(seq, if seq % 3 == 0 { "hall" } else { "yard" });
        event.id = ulid::Ulid::from_parts(start_ms + 3_600_000 * seq + 40, seq.into()).to_string();
        recorder.record_event(&event);
        if seq == 27 {
            let judged = recorder.judge(&event.id, Some(Verdict::Anomaly), Some("bang".into())).unwrap();
            assert!(judged.is_some());
        }
    }
    assert!(recorder.flush(LIMIT));
    assert_eq!(recorder.changes(), 73);
    let day = |number: u64| crate::event::Day {
        date: format!("2026-03-{:02}", number + 1),
        since_ms: start_ms + number * 86_400_000,
        until_ms: start_ms + (number + 1) * 86_400_000,
    };
    let streams = ["hall".to_owned(), "attic".to_owned()].into();
    let answer = recorder.count_days(vec![day(1), day(0), day(9)], streams).unwrap();
    let days = answer.recv_timeout(LIMIT).unwrap().unwrap();
    let hall = &days[0]["hall"];
    assert_eq!((hall.events, hall.labels["bang"], hall.verdicts.anomaly, hall.verdicts.none), (8, 1, 1, 7));
    assert_eq!(hall.first.as_deref(), Some("2026-03-02T00:00:00.000Z"));
    assert_eq!(hall.last.as_deref(), Some("2026-03-02T21:00:00.000Z"));
    assert_eq!(hall.worst.as_ref().map(|worst| worst.severity), Some(45));
    assert_eq!((days[1]["hall"].events, days[0]["attic"].events, days[2]["hall"].events), (8, 0, 0));
    assert!(!days[0].contains_key("yard"));
    assert_eq!(recorder.changes(), 73, "to count is no change");
}
