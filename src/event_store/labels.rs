//! Labels: sounds that operators have named, by one example or several.
//!
//! An example is the embedding of an event that an operator gave a label. It outlives the event itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::recogniser::Recogniser;
use crate::error::{Error, Result};

/// Labels at most.
const MOST: usize = 200;
/// Examples of one label at most; the oldest go first.
const MOST_EXAMPLES: usize = 20;
/// Longest label, in characters.
const LONGEST: usize = 64;
/// Longest id and name of a stream or model, in bytes.
const LONGEST_NAME: usize = 256;
/// Widest embedding.
const WIDEST: usize = 8192;
/// Version of [`LabelFile`].
const SCHEMA: u32 = 1;

/// An event that has a label, by the embedding of its sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelExample {
    /// ULID of the event.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Id of its stream.
    pub stream: String,
    /// First 12 hex digits of the model's sha256: embeddings of two models cannot be compared.
    pub model: String,
    /// As [`Finding::embedding`](crate::event::Finding::embedding).
    pub embedding: Vec<i8>,
}

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

/// The result of a change of the labels, with the ticket that it was asked under.
pub type LabelAnswer = (u64, Result<Value>);

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

    /// Makes an event an example of its label, in place of what it was.
    ///
    /// # Errors
    /// A configuration error where there are too many labels.
    pub(super) fn add(&mut self, example: LabelExample) -> Result<()> {
        let label = example.label.clone();
        if !self.heard.contains_key(&label) && self.heard.len() >= MOST {
            return Err(Error::config(
                format!("there are {MOST} labels already"),
                "delete a label, or use one of those that there are",
            ));
        }
        if self.examples.get(&example.id).is_some_and(|before| before.label != label) {
            self.remove(&example.id);
        }
        self.heard.entry(label.clone()).or_default();
        self.dirty.1.insert(label.clone());
        self.dirty.0.insert(example.id.clone());
        self.examples.insert(example.id.clone(), example);
        let of_label = |example: &&LabelExample| example.label == label;
        while self.examples.values().filter(of_label).count() > MOST_EXAMPLES {
            let Some(oldest) = self.examples.values().find(of_label).map(|e| e.id.clone()) else { break };
            self.remove(&oldest);
        }
        Ok(())
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
                for id in &ids {
                    if let Some(example) = self.examples.remove(id) {
                        self.add(LabelExample { label: to.clone(), ..example })?;
                    }
                }
                self.forget(&from);
                if let Some(heard) = self.heard.get(&to) {
                    heard.fetch_add(times, Relaxed);
                }
                Ok(json!({ "renamed": from, "to": to, "examples": ids.len() }))
            }
            LabelChange::Merge(file) => {
                let (mut added, mut known) = (0, 0);
                for example in file.examples {
                    if self.examples.contains_key(&example.id) {
                        known += 1;
                        continue;
                    }
                    self.add(example)?;
                    added += 1;
                }
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
            examples: self.examples.values().filter(|example| example.label == *label).count(),
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
