//! Labels: sounds that operators have named, by one example or several.
//!
//! An example is the embedding of an event that an operator gave a label. It outlives the event itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::label_example::LabelExample;
use super::recogniser::Recogniser;
use crate::error::{Error, Result};

/// Labels at most.
const MOST: usize = 200;
/// Examples of one label at most; those that were labelled first go first.
const MOST_EXAMPLES: usize = 20;
/// Longest label, in characters.
const LONGEST: usize = 64;
/// Longest id and name of a stream or model, in bytes.
const LONGEST_NAME: usize = 256;
/// Widest embedding.
const WIDEST: usize = 8192;
/// Version of [`LabelFile`].
const SCHEMA: u32 = 1;

/// Examples as a file, to keep or to take to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFile {
    /// Version of the form: 1.
    pub schema: u32,
    /// The examples, by id.
    pub examples: Vec<LabelExample>,
}

/// A label of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelInfo {
    /// The label.
    pub label: String,
    /// Its examples.
    pub examples: usize,
    /// Events of it so far, those that an operator labelled and those that were recognised.
    pub heard: u64,
}

/// The result of a change of the labels or of a verdict, with the ticket that it was asked under.
pub type ReviewAnswer = (u64, Result<Value>);

/// A change of the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// Gives an event a label; an empty one takes it back.
    Event {
        /// ULID of the event.
        id: String,
        /// The label.
        label: String,
    },
    /// Forgets a label with all of its examples.
    Delete(String),
    /// Gives a label another name; where that exists, both become one.
    Rename {
        /// The label.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Adds the examples of a file to those that are here, which stay as they are.
    Merge(LabelFile),
}

/// A label without blanks at its ends.
///
/// # Errors
/// A configuration error where it is too long or has control characters.
pub(super) fn checked(label: &str) -> Result<String> {
    let label = label.trim();
    if label.chars().count() > LONGEST || label.chars().any(char::is_control) {
        return Err(Error::config(
            format!("the label {label:?} cannot be kept"),
            format!("give at most {LONGEST} characters on one line"),
        ));
    }
    Ok(label.to_owned())
}

fn too_many() -> Error {
    Error::config(
        format!("there are {MOST} labels already, or would be more"),
        "delete a label, or use one of those that there are",
    )
}

impl LabelFile {
    /// The file of these bytes.
    ///
    /// # Errors
    /// A configuration error where they are no such file, or one of a later version.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let wrong = |cause: String| Error::config(cause, "give a file that `labels export` wrote");
        let file: Self =
            serde_json::from_slice(bytes).map_err(|e| wrong(format!("this is no file of labels: {e}")))?;
        if file.schema != SCHEMA {
            return Err(wrong(format!("this file of labels has schema {}, expected {SCHEMA}", file.schema)));
        }
        for example in &file.examples {
            example.check().map_err(|cause| wrong(format!("example {:?} {cause}", example.id)))?;
        }
        Ok(file)
    }
}

impl LabelExample {
    fn check(&self) -> Result<(), String> {
        let named = |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME;
        if !named(&self.id) || !named(&self.model) || self.stream.len() > LONGEST_NAME {
            return Err("names no event and model".to_owned());
        }
        if checked(&self.label).ok().as_deref() != Some(&self.label) || self.label.is_empty() {
            return Err(format!("has the label {:?}", self.label));
        }
        if !(1..=WIDEST).contains(&self.embedding.len()) || self.embedding.iter().all(|&x| x == 0) {
            return Err("has no embedding".to_owned());
        }
        Ok(())
    }
}

/// What is to be written: entries that are `None` are to be removed.
#[derive(Debug, Default)]
pub(super) struct LabelRows {
    /// Examples as JSON by id.
    pub(super) examples: Vec<(String, Option<Vec<u8>>)>,
    /// How often each label was heard.
    pub(super) heard: Vec<(String, Option<u64>)>,
}

/// Examples, and how often each label was heard, as they are on the disk.
pub(super) type StoredLabels = (Vec<LabelExample>, Vec<(String, u64)>);

/// All labels. Only the thread `events` changes them.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// By id.
    examples: BTreeMap<String, LabelExample>,
    heard: BTreeMap<String, Arc<AtomicU64>>,
    /// Ids and labels that are not on the disk as they are here.
    dirty: (BTreeSet<String>, BTreeSet<String>),
    loaded: bool,
}

impl Labels {
    /// Takes in what is on the disk, the first time; what has changed meanwhile stays.
    pub(super) fn load(&mut self, (examples, heard): StoredLabels) {
        if std::mem::replace(&mut self.loaded, true) {
            return;
        }
        for example in examples.into_iter().filter(|example| !self.dirty.0.contains(&example.id)) {
            self.examples.insert(example.id.clone(), example);
        }
        for (label, times) in heard.into_iter().filter(|(label, _)| !self.dirty.1.contains(label)) {
            self.heard.insert(label, Arc::new(AtomicU64::new(times)));
        }
    }

    /// An event of the label `before` is one of the label `after`; both may be empty.
    pub(super) fn recount(&mut self, before: &str, after: &str) {
        if before == after {
            return;
        }
        for (label, more) in [(before, false), (after, true)] {
            let Some(heard) = self.heard.get(label) else { continue };
            let times = heard.load(Relaxed);
            heard.store(if more { times + 1 } else { times.saturating_sub(1) }, Relaxed);
            self.dirty.1.insert(label.to_owned());
        }
    }

    /// Whether there is such a label.
    pub(super) fn has(&self, label: &str) -> bool {
        self.heard.contains_key(label)
    }

    /// A recognised event was stored: the count of its label is to be written.
    pub(super) fn count(&mut self, label: &str) {
        if self.heard.contains_key(label) {
            self.dirty.1.insert(label.to_owned());
        }
    }

    /// Makes an event an example of its label, in place of what it was. Where the label has too many examples then, that goes
    /// which was labelled first.
    ///
    /// # Errors
    /// A configuration error where there are too many labels.
    pub(super) fn add(&mut self, mut example: LabelExample) -> Result<()> {
        let (id, label) = (example.id.clone(), example.label.clone());
        let before = self.examples.get(&id);
        let given = before.filter(|before| before.label == label).map(|before| before.labelled_ms);
        let frees = before.is_some_and(|before| before.label != label && self.of_label(&before.label) == 1);
        if !self.has(&label) && self.heard.len() - usize::from(frees) >= MOST {
            return Err(too_many());
        }
        example.labelled_ms = given.unwrap_or_else(|| self.now_ms());
        if given.is_none() {
            self.remove(&id);
        }
        self.put(example);
        self.drop_oldest(&label);
        Ok(())
    }

    /// The present time, later than that of any example.
    fn now_ms(&self) -> u64 {
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let newest = self.examples.values().map(|example| example.labelled_ms).max();
        now.max(newest.map_or(0, |newest| newest.saturating_add(1)))
    }

    fn of_label(&self, label: &str) -> usize {
        self.examples.values().filter(|example| example.label == label).count()
    }

    fn put(&mut self, example: LabelExample) {
        self.heard.entry(example.label.clone()).or_default();
        self.dirty.1.insert(example.label.clone());
        self.dirty.0.insert(example.id.clone());
        self.examples.insert(example.id.clone(), example);
    }

    /// Removes the examples that were labelled first, where there are too many.
    fn drop_oldest(&mut self, label: &str) {
        while self.of_label(label) > MOST_EXAMPLES {
            let of_label = self.examples.values().filter(|example| example.label == label);
            let oldest = of_label.min_by_key(|example| (example.labelled_ms, example.id.clone()));
            let Some(id) = oldest.map(|example| example.id.clone()) else { break };
            self.remove(&id);
        }
    }

    /// The event `id` is no example any more. A label without examples is forgotten.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(example) = self.examples.remove(id) else { return };
        self.dirty.0.insert(id.to_owned());
        if !self.examples.values().any(|other| other.label == example.label) {
            self.forget(&example.label);
        }
    }

    fn forget(&mut self, label: &str) {
        self.heard.remove(label);
        self.dirty.1.insert(label.to_owned());
    }

    /// Carries out a change; gives what it did.
    ///
    /// # Errors
    /// A configuration error where there is no such label, or there are too many.
    pub(super) fn change(&mut self, change: LabelChange) -> Result<Value> {
        match change {
            LabelChange::Event { id, .. } => Err(Error::internal(format!("event {id} is not in the labels"))),
            LabelChange::Delete(label) => {
                let ids = self.ids_of(&label)?;
                ids.iter().for_each(|id| self.remove(id));
                Ok(json!({ "deleted": label, "examples": ids.len() }))
            }
            LabelChange::Rename { from, to } => {
                let (ids, to) = (self.ids_of(&from)?, checked(&to)?);
                if to.is_empty() || to == from {
                    return Err(Error::config("the new label is empty or the old one", "give another label"));
                }
                let times = self.heard.get(&from).map_or(0, |heard| heard.load(Relaxed));
                let moved: Vec<_> = ids.iter().filter_map(|id| self.examples.remove(id)).collect();
                // which makes room for the new one
                self.forget(&from);
                for example in moved {
                    self.put(LabelExample { label: to.clone(), ..example });
                }
                self.drop_oldest(&to);
                if let Some(heard) = self.heard.get(&to) {
                    heard.fetch_add(times, Relaxed);
                }
                Ok(json!({ "renamed": from, "to": to, "examples": ids.len() }))
            }
            LabelChange::Merge(file) => {
                let all = file.examples.len();
                let mut new = file.examples;
                new.retain(|example| !self.examples.contains_key(&example.id));
                let known = all - new.len();
                let labels: BTreeSet<String> = new.iter().map(|example| example.label.clone()).collect();
                let more = labels.iter().filter(|label| !self.has(label)).count();
                if self.heard.len() + more > MOST {
                    return Err(too_many());
                }
                let added: Vec<String> = new.iter().map(|example| example.id.clone()).collect();
                new.into_iter().for_each(|example| self.put(example));
                labels.iter().for_each(|label| self.drop_oldest(label));
                let added = added.iter().filter(|id| self.examples.contains_key(*id)).count();
                Ok(json!({ "added": added, "known": known }))
            }
        }
    }

    fn ids_of(&self, label: &str) -> Result<Vec<String>> {
        let of_label = self.examples.values().filter(|example| example.label == label);
        let ids: Vec<String> = of_label.map(|example| example.id.clone()).collect();
        if ids.is_empty() {
            return Err(Error::config(
                format!("there is no label {label:?}"),
                "name one that the list of labels has",
            ));
        }
        Ok(ids)
    }

    /// All labels by name.
    pub(super) fn list(&self) -> Vec<LabelInfo> {
        let info = |(label, heard): (&String, &Arc<AtomicU64>)| LabelInfo {
            label: label.clone(),
            examples: self.of_label(label),
            heard: heard.load(Relaxed),
        };
        self.heard.iter().map(info).collect()
    }

    /// All examples.
    pub(super) fn file(&self) -> LabelFile {
        LabelFile { schema: SCHEMA, examples: self.examples.values().cloned().collect() }
    }

    /// What recognises these labels.
    pub(super) fn recogniser(&self) -> Recogniser {
        let of = |example: &LabelExample| {
            let heard = Arc::clone(self.heard.get(&example.label)?);
            Some((example.clone(), heard))
        };
        Recogniser::new(self.examples.values().filter_map(of))
    }

    /// What is not on the disk.
    pub(super) fn unwritten(&self) -> LabelRows {
        let example = |id: &String| {
            let json = self.examples.get(id).and_then(|example| serde_json::to_vec(example).ok());
            (id.clone(), json)
        };
        let heard = |label: &String| (label.clone(), self.heard.get(label).map(|heard| heard.load(Relaxed)));
        LabelRows {
            examples: self.dirty.0.iter().map(example).collect(),
            heard: self.dirty.1.iter().map(heard).collect(),
        }
    }

    /// Everything is on the disk.
    pub(super) fn written(&mut self) {
        self.dirty = (BTreeSet::new(), BTreeSet::new());
    }
}
