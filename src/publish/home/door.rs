//! What is said to Home Assistant, and what is made of what it and the broker say.

use serde_json::{Map, Value, json};

use super::Household;
use super::document::{ORIGIN, Writer};
use crate::mqtt::link::Message;
use crate::publish::config::PublishConfig;
use crate::publish::publisher::json;
use crate::publish::topics::Topics;

/// Home Assistant as seen from one node.
pub(in crate::publish) struct Home {
    topic: String,
    birth: String,
    document: Option<Value>,
}

/// What follows from a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::publish) enum Word {
    /// Home Assistant has come back: everything is said again.
    Birth,
    /// The broker keeps a document with entities that are no more: this is said before the document of today.
    Forget(Vec<u8>),
    /// The broker keeps a document though there is to be none.
    TakeBack,
    /// It is not for us.
    Other,
}

impl Home {
    /// For the streams of this node.
    pub(in crate::publish) fn new(
        topics: &Topics,
        publish: &PublishConfig,
        household: Household<'_>,
    ) -> Self {
        let prefix = &household.config.prefix;
        let writer = Writer { topics, publish, household };
        Self {
            topic: topics.discovery(prefix),
            birth: format!("{prefix}/status"),
            document: household.config.enable.then(|| writer.document()),
        }
    }

    /// Where the document stands.
    pub(in crate::publish) fn topic(&self) -> &str {
        &self.topic
    }

    /// The document, where there is to be one.
    pub(in crate::publish) fn payload(&self) -> Option<Vec<u8>> {
        self.document.as_ref().map(json)
    }

    /// What to subscribe to.
    pub(in crate::publish) fn filters(&self) -> impl Iterator<Item = &str> {
        let birth = self.document.is_some().then_some(self.birth.as_str());
        std::iter::once(self.topic.as_str()).chain(birth)
    }

    /// What a message means.
    pub(in crate::publish) fn hear(&self, message: &Message) -> Word {
        // at a connection everything is said anyway: a birth that was kept is old
        if message.topic == self.birth && !message.retained {
            return if message.payload == b"online" { Word::Birth } else { Word::Other };
        }
        if message.topic != self.topic || !message.retained {
            return Word::Other;
        }
        let Ok(kept) = serde_json::from_slice::<Value>(&message.payload) else { return Word::Other };
        if kept["origin"]["name"] != ORIGIN {
            return Word::Other;
        }
        let Some(document) = &self.document else { return Word::TakeBack };
        let gone = leftovers(&kept, document);
        if gone.is_empty() {
            return Word::Other;
        }
        let mut document = document.clone();
        if let Some(components) = document["components"].as_object_mut() {
            components.extend(gone);
        }
        Word::Forget(json(&document))
    }
}

/// The entities of `kept` that `document` does not have, each with its platform alone.
fn leftovers(kept: &Value, document: &Value) -> Map<String, Value> {
    let Some(components) = kept["components"].as_object() else { return Map::new() };
    let gone = |key: &str| document["components"].get(key).is_none();
    let platform = |entity: &Value| json!({ "platform": entity["platform"] });
    components.iter().filter(|(key, _)| gone(key)).map(|(key, old)| (key.clone(), platform(old))).collect()
}
