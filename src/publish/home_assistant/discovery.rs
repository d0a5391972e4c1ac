//! Home Assistant discovery: the document of the node, and the handling of birth messages and of what the broker retains.

use serde_json::{Map, Value, json};

use super::DiscoveryConfig;
use super::document::{DocumentBuilder, ORIGIN};
use crate::mqtt::link::Message;
use crate::publish::config::PublishConfig;
use crate::publish::inbound::json;
use crate::publish::topics::Topics;

/// The discovery of one node.
pub(in crate::publish) struct HomeAssistant {
    topic: String,
    birth: String,
    document: Option<Value>,
    /// Filter of the pictures of events, where none are published.
    pictures: Option<String>,
}

/// The effect of a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::publish) enum HomeAssistantMessage {
    /// Home Assistant has restarted: everything is published again.
    Birth,
    /// The retained document has entities that no longer exist: this document, which removes them, is published first.
    Forget(Vec<u8>),
    /// A document or a picture is retained although it is switched off.
    TakeBack,
    /// Another message.
    Other,
}

impl HomeAssistant {
    /// For the streams of this node.
    pub(in crate::publish) fn new(
        topics: &Topics,
        publish: &PublishConfig,
        discovery: DiscoveryConfig<'_>,
    ) -> Self {
        let prefix = &discovery.config.prefix;
        let builder = DocumentBuilder { topics, publish, discovery };
        Self {
            topic: topics.discovery(prefix),
            birth: format!("{prefix}/status"),
            document: discovery.config.enable.then(|| builder.document()),
            pictures: (!discovery.pictures).then(|| topics.picture("+")),
        }
    }

    /// Topic of the document.
    pub(in crate::publish) fn topic(&self) -> &str {
        &self.topic
    }

    /// The document, where there is to be one.
    pub(in crate::publish) fn payload(&self) -> Option<Vec<u8>> {
        self.document.as_ref().map(json)
    }

    /// Filters to subscribe to.
    pub(in crate::publish) fn filters(&self) -> impl Iterator<Item = &str> {
        let birth = self.document.is_some().then_some(self.birth.as_str());
        std::iter::once(self.topic.as_str()).chain(birth).chain(self.pictures.as_deref())
    }

    /// Whether a filter is subscribed to only to take back what is retained there.
    pub(in crate::publish) fn only_cleans(&self, filter: &str) -> bool {
        self.pictures.as_deref() == Some(filter) || self.document.is_none() && self.topic == filter
    }

    /// Classifies a message.
    pub(in crate::publish) fn handle(&self, message: &Message) -> HomeAssistantMessage {
        // everything is published at each connection anyway, so that a retained birth message is stale
        if message.topic == self.birth && !message.retained {
            return if message.payload == b"online" {
                HomeAssistantMessage::Birth
            } else {
                HomeAssistantMessage::Other
            };
        }
        if self.is_former_picture(message) {
            return HomeAssistantMessage::TakeBack;
        }
        if message.topic != self.topic || !message.retained {
            return HomeAssistantMessage::Other;
        }
        let Ok(kept) = serde_json::from_slice::<Value>(&message.payload) else {
            return HomeAssistantMessage::Other;
        };
        if kept["origin"]["name"] != ORIGIN {
            return HomeAssistantMessage::Other;
        }
        let Some(document) = &self.document else { return HomeAssistantMessage::TakeBack };
        let gone = leftovers(&kept, document);
        if gone.is_empty() {
            return HomeAssistantMessage::Other;
        }
        let mut document = document.clone();
        if let Some(components) = document["components"].as_object_mut() {
            components.extend(gone);
        }
        HomeAssistantMessage::Forget(json(&document))
    }

    fn is_former_picture(&self, message: &Message) -> bool {
        let stream = self.pictures.as_deref().and_then(|filter| {
            let (before, after) = filter.split_once('+')?;
            message.topic.strip_prefix(before)?.strip_suffix(after)
        });
        message.retained && !message.payload.is_empty() && stream.is_some_and(|stream| !stream.contains('/'))
    }
}

/// The entities of `kept` that `document` does not have, each with its platform alone.
fn leftovers(kept: &Value, document: &Value) -> Map<String, Value> {
    let Some(components) = kept["components"].as_object() else { return Map::new() };
    let gone = |key: &str| document["components"].get(key).is_none();
    let platform = |entity: &Value| json!({ "platform": entity["platform"] });
    components.iter().filter(|(key, _)| gone(key)).map(|(key, old)| (key.clone(), platform(old))).collect()
}
