//! Laws of labels: what is known again, what a label outlives, and bounds.

use std::time::Duration;

use super::labels::Labels;
use super::*;
use crate::event::{Event, Phase, Verdict, samples};

const LIMIT: Duration = Duration::from_secs(20);

/// The end of event `seq`, whose sound lies in this direction.
fn event(seq: u64, embedding: &[i8]) -> Event {
    let mut event = samples::event("hall", seq);
    event.finding.phase = Phase::End;
    event.finding.embedding = Some(embedding.to_vec());
    event
}

fn example(id: &str, label: &str, embedding: &[i8]) -> LabelExample {
    let (stream, model) = ("hall".to_owned(), samples::event("hall", 0).model);
    let embedding = embedding.to_vec();
    LabelExample { id: id.into(), label: label.into(), stream, model, embedding, labelled_ms: 0 }
}

fn heard(store: &EventStore, label: &str) -> Option<(usize, u64)> {
    store.labels().into_iter().find(|info| info.label == label).map(|info| (info.examples, info.heard))
}

/// Recognises an event and stores it, as the analysis does.
fn hear(recorder: &mut Recorder, mut event: Event) -> Event {
    recorder.label(&mut event);
    recorder.record_event(&event);
    assert!(recorder.flush(LIMIT));
    event
}

#[test]
fn what_is_like_an_example_has_its_label_and_the_rest_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = EventsConfig { label_similarity: 0.8, ..EventsConfig::default() };
    let (store, mut recorder) = EventStore::start(config, Some(dir.path())).unwrap();
    let first = hear(&mut recorder, event(0, &[100, 0, 10]));
    assert_eq!(first.label, None);
    recorder.judge(&first.id, None, Some("bell".into())).unwrap().unwrap();
    assert_eq!(heard(&store, "bell"), Some((1, 1)));
    let again = hear(&mut recorder, event(1, &[50, 5, 0]));
    assert_eq!((again.label.as_deref(), again.heard), (Some("bell"), 2));
    assert!(again.similarity.is_some_and(|cosine| (0.98..1.0).contains(&cosine)), "{again:?}");
    for unlike in
        [event(2, &[0, 100, 0]), event(3, &[-100, 0, -10]), event(4, &[100, 0]), event(5, &[0, 0, 0])]
    {
        assert_eq!(hear(&mut recorder, unlike).label, None);
    }
    let mut ongoing = event(6, &[100, 0, 10]);
    ongoing.finding.phase = Phase::New;
    let other_model = Event { model: "ffffffffffff".into(), ..event(7, &[100, 0, 10]) };
    assert_eq!((hear(&mut recorder, ongoing).label, hear(&mut recorder, other_model).label), (None, None));

    let kept = store.get(&again.id).unwrap().unwrap();
    assert_eq!((kept.label.as_str(), kept.label_source), ("bell", Some(LabelSource::Similarity)));
    assert_eq!((kept.event.heard, kept.event.label.is_some()), (2, false));
    // an operator says that it was another, which makes a second label; then that it was none
    let corrected = recorder.judge(&again.id, None, Some("horn".into())).unwrap().unwrap();
    assert_eq!((corrected.label_source, corrected.event.similarity), (Some(LabelSource::Operator), None));
    assert_eq!((heard(&store, "bell"), heard(&store, "horn")), (Some((1, 1)), Some((1, 1))));
    recorder.judge(&again.id, None, Some(String::new())).unwrap().unwrap();
    assert_eq!((heard(&store, "bell"), heard(&store, "horn")), (Some((1, 1)), None));
}

#[test]
fn a_label_given_while_the_event_goes_on_is_learnt_at_its_end() {
    let (store, mut recorder) = EventStore::start(EventsConfig::default(), None).unwrap();
    let end = event(0, &[100, 0, 10]);
    let mut begin = end.clone();
    (begin.finding.phase, begin.finding.embedding) = (Phase::New, None);
    hear(&mut recorder, begin);
    recorder.judge(&end.id, Some(Verdict::Anomaly), Some("bell".into())).unwrap().unwrap();
    assert_eq!(heard(&store, "bell"), None, "its sound is not known yet");
    hear(&mut recorder, end.clone());
    assert_eq!(heard(&store, "bell"), Some((1, 1)));
    let kept = store.get(&end.id).unwrap().unwrap();
    assert_eq!((kept.label.as_str(), kept.verdict), ("bell", Some(Verdict::Anomaly)));
    assert_eq!(hear(&mut recorder, event(1, &[100, 0, 10])).label.as_deref(), Some("bell"));
}

#[test]
fn labels_outlive_the_process_and_their_events() {
    let dir = tempfile::tempdir().unwrap();
    let config = EventsConfig { max_events: 3, ..EventsConfig::default() };
    let (_, mut recorder) = EventStore::start(config, Some(dir.path())).unwrap();
    let first = hear(&mut recorder, event(0, &[100, 0, 10]));
    recorder.judge(&first.id, None, Some("bell".into())).unwrap().unwrap();
    (1..6).for_each(|seq| drop(hear(&mut recorder, event(seq, &[99, 0, 10]))));
    drop(recorder);
    let mut open = None;
    while open.is_none() {
        let found = EventStore::start(config, Some(dir.path())).unwrap();
        open = (!found.1.health().degraded).then_some(found);
    }
    let (store, mut recorder) = open.unwrap();
    assert_eq!(store.get(&first.id).unwrap(), None, "it is gone");
    assert_eq!(heard(&store, "bell"), Some((1, 6)));
    assert_eq!(hear(&mut recorder, event(9, &[100, 0, 10])).heard, 7);
}

#[test]
fn labels_and_examples_are_bounded() {
    let mut labels = Labels::default();
    for number in 0..30 {
        labels.add(example(&format!("{number:026}"), "bell", &[100, number, 0])).unwrap();
    }
    let file = labels.file();
    assert_eq!((file.examples.len(), file.examples[0].embedding[1]), (20, 10), "the oldest went first");
    for number in 1..200 {
        labels.add(example(&format!("x{number}"), &format!("l{number}"), &[1])).unwrap();
    }
    let error = labels.add(example("y", "one more", &[1])).unwrap_err();
    assert!(error.to_string().contains("200 labels"), "{error}");
    labels.change(LabelChange::Delete("l7".into())).unwrap();
    labels.add(example("y", "one more", &[1])).unwrap();
    assert_eq!(labels.list().len(), 200);
    // the only example of a label may become that of another
    labels.add(example("y", "another", &[1])).unwrap();
    assert_eq!((labels.list().len(), labels.has("one more")), (200, false));
}

#[test]
fn what_was_labelled_last_stays_however_old_its_event() {
    let mut labels = Labels::default();
    for number in 0..20 {
        labels.add(example(&format!("x{number:02}"), "bell", &[100, number])).unwrap();
    }
    labels.add(example("an old event", "bell", &[1])).unwrap();
    let ids: Vec<String> = labels.file().examples.into_iter().map(|example| example.id).collect();
    assert!(ids.len() == 20 && ids[0] == "an old event" && ids[1] == "x01", "{ids:?}");
    // the end of an event that is an example already does not make it newer
    labels.add(example("x01", "bell", &[2])).unwrap();
    labels.add(example("y", "bell", &[3])).unwrap();
    assert!(labels.file().examples.iter().all(|example| example.id != "x01"));
}

#[test]
fn as_many_labels_as_there_can_be_are_renamed_and_merged_whole_or_not_at_all() {
    let mut labels = Labels::default();
    for number in 0..200 {
        labels.add(example(&format!("x{number}"), &format!("l{number}"), &[1])).unwrap();
    }
    labels.change(LabelChange::Rename { from: "l7".into(), to: "seven".into() }).unwrap();
    assert!(labels.file().examples.iter().any(|example| example.id == "x7" && example.label == "seven"));
    assert_eq!((labels.list().len(), labels.file().examples.len()), (200, 200));
    let before = labels.file();
    let file = LabelFile { schema: 1, examples: vec![example("a", "l1", &[1]), example("b", "new", &[1])] };
    let error = labels.change(LabelChange::Merge(file)).unwrap_err();
    assert!(error.to_string().contains("200 labels"), "{error}");
    assert_eq!(labels.file(), before);
}

#[test]
fn labels_are_renamed_joined_merged_and_forgotten() {
    let mut labels = Labels::default();
    labels.add(example("1", "pot", &[100, 0])).unwrap();
    labels.recount("", "pot");
    labels.add(example("2", "kettle", &[99, 10])).unwrap();
    labels.recount("", "kettle");
    labels.change(LabelChange::Rename { from: "pot".into(), to: "kettle".into() }).unwrap();
    let expected = LabelInfo { label: "kettle".into(), examples: 2, heard: 2 };
    assert_eq!(labels.list(), [expected]);
    for (from, to) in [("pot", "x"), ("kettle", ""), ("kettle", "a\nb"), ("kettle", "kettle")] {
        assert!(labels.change(LabelChange::Rename { from: from.into(), to: to.into() }).is_err(), "{to:?}");
    }
    let mut other = Labels::default();
    other.add(example("2", "urn", &[5, 5])).unwrap();
    other.add(example("3", "horn", &[0, 100])).unwrap();
    let json = serde_json::to_vec(&other.file()).unwrap();
    let done = labels.change(LabelChange::Merge(LabelFile::read(&json).unwrap())).unwrap();
    assert_eq!((done["added"].as_u64(), done["known"].as_u64()), (Some(1), Some(1)));
    let names: Vec<(String, usize)> =
        labels.list().into_iter().map(|info| (info.label, info.examples)).collect();
    assert_eq!(names, [("horn".to_owned(), 1), ("kettle".to_owned(), 2)]);
    labels.change(LabelChange::Delete("kettle".into())).unwrap();
    assert_eq!(labels.file().examples.len(), 1);
}

#[test]
fn files_of_labels_are_checked() {
    let good = LabelFile { schema: 1, examples: vec![example("1", "bell", &[1, 2])] };
    assert_eq!(LabelFile::read(&serde_json::to_vec(&good).unwrap()).unwrap(), good);
    let bad = |change: &dyn Fn(&mut LabelExample)| {
        let mut file = good.clone();
        change(&mut file.examples[0]);
        LabelFile::read(&serde_json::to_vec(&file).unwrap()).is_err()
    };
    assert!(bad(&|example| example.label = String::new()));
    assert!(bad(&|example| example.label = " bell".into()));
    assert!(bad(&|example| example.label = "x".repeat(65)));
    assert!(bad(&|example| example.id = String::new()));
    assert!(bad(&|example| example.embedding = vec![0; 4]));
    assert!(bad(&|example| example.embedding = vec![1; 10_000]));
    for text in ["", "{}", "[]", r#"{"schema":2,"examples":[]}"#] {
        assert!(LabelFile::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn events_that_sound_alike_are_found_most_similar_first() {
    let config = EventsConfig { label_similarity: 0.8, ..EventsConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    let (store, mut recorder) = EventStore::start(config, Some(dir.path())).unwrap();
    let asked = hear(&mut recorder, event(0, &[100, 0, 10]));
    let near = hear(&mut recorder, event(1, &[100, 20, 10]));
    let nearest = hear(&mut recorder, event(2, &[50, 0, 5]));
    for unlike in [event(3, &[0, 100, 0]), event(4, &[-100, 0, -10]), event(5, &[0, 0, 0])] {
        hear(&mut recorder, unlike);
    }
    let mut goes_on = event(6, &[100, 0, 10]);
    (goes_on.finding.phase, goes_on.finding.embedding) = (Phase::New, None);
    let goes_on = hear(&mut recorder, goes_on);
    for other_space in
        [Event { model: "ffffffffffff".into(), ..event(7, &[100, 0, 10]) }, event(8, &[100, 0])]
    {
        hear(&mut recorder, other_space);
    }
    recorder.judge(&near.id, Some(Verdict::Anomaly), Some("bell".into())).unwrap().unwrap();

    let found = store.similar(&asked.id, 10).unwrap().unwrap();
    let ids: Vec<&str> = found.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, [nearest.id.as_str(), near.id.as_str()]);
    assert_eq!((found.least, found.compared, found.complete, found.reason), (0.8, 5, true, None));
    let [first, second] = &found.events[..] else { panic!("{found:?}") };
    assert!(first.similarity == 1.0 && (0.97..0.99).contains(&second.similarity), "{found:?}");
    assert_eq!((second.verdict, second.label.as_str()), (Some(Verdict::Anomaly), "bell"));
    assert_eq!((&second.onset, second.label_source), (&near.onset, Some(LabelSource::Operator)));
    assert_eq!(store.similar(&asked.id, 1).unwrap().unwrap().events.len(), 1);

    let unknown = store.similar(&goes_on.id, 10).unwrap().unwrap();
    assert!(unknown.events.is_empty() && unknown.reason.unwrap().contains("not known"), "{unknown:?}");
    assert_eq!(store.similar("01J00000000000000000000000", 10).unwrap(), None);
}
