//! Every topic name, in one place.

use crate::error::{Error, Result};
use crate::event::DayName;
use crate::mqtt::check_id;

/// The topic level of microphones, which no node may have as its id.
const RESERVED_NODE_ID: &str = "mic";

/// The topics of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: String,
    node: String,
}

impl Topics {
    /// Topics under `prefix/node`. The prefix may have several levels (`site/audio`).
    ///
    /// # Errors
    /// A configuration error where a level is no valid id (see [`check_id`]).
    pub fn new(prefix: &str, node: &str) -> Result<Self> {
        for level in prefix.split('/') {
            check_id("MQTT topic prefix level", level)?;
        }
        check_id("node id", node)?;
        if node == RESERVED_NODE_ID {
            return Err(Error::config(
                format!("node id {node:?} is a word that topics of microphones use"),
                format!("choose another name than {RESERVED_NODE_ID}"),
            ));
        }
        Ok(Self { base: format!("{prefix}/{node}"), node: node.to_owned() })
    }

    /// The node id.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Retained, QoS 1, last will: `online`, `offline` or `stopped`.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{}/status", self.base)
    }

    /// Retained, QoS 1: [`Health`](super::Health).
    #[must_use]
    pub fn health(&self) -> String {
        format!("{}/health", self.base)
    }

    /// Retained, QoS 1: [`Availability`](super::Availability) of a stream.
    #[must_use]
    pub fn availability(&self, stream: &str) -> String {
        format!("{}/{stream}/availability", self.base)
    }

    /// QoS 1, never retained: [`Event`](crate::event::Event) and [`Gap`](super::Gap) documents.
    #[must_use]
    pub fn event(&self, stream: &str) -> String {
        format!("{}/{stream}/event", self.base)
    }

    /// Retained, QoS 1: `ON` or `OFF`.
    #[must_use]
    pub fn anomaly(&self, stream: &str) -> String {
        format!("{}/{stream}/anomaly", self.base)
    }

    /// QoS 0: [`Score`](super::Score).
    #[must_use]
    pub fn score(&self, stream: &str) -> String {
        format!("{}/{stream}/score", self.base)
    }

    /// QoS 0, only where asked for: contexts c_t.
    #[must_use]
    pub fn embedding(&self, stream: &str) -> String {
        format!("{}/{stream}/embedding", self.base)
    }

    /// The requested value of a setting of a stream.
    #[must_use]
    pub fn set(&self, stream: &str, key: &str) -> String {
        format!("{}/{stream}/set/{key}", self.base)
    }

    /// The current value of a setting of a stream, retained.
    #[must_use]
    pub fn state(&self, stream: &str, key: &str) -> String {
        format!("{}/{stream}/state/{key}", self.base)
    }

    /// Retained, QoS 1: [`StreamProgress`](super::StreamProgress) of a stream.
    #[must_use]
    pub fn progress(&self, stream: &str) -> String {
        format!("{}/{stream}/state", self.base)
    }

    /// Retained, QoS 1: [`DaySummary`](crate::event::DaySummary) of a stream.
    #[must_use]
    pub fn day(&self, stream: &str, day: DayName) -> String {
        format!("{}/{stream}/day/{}", self.base, day.as_str())
    }

    /// Retained, QoS 1, only where asked for: the picture of the last event of a stream, a PNG.
    #[must_use]
    pub fn picture(&self, stream: &str) -> String {
        format!("{}/{stream}/picture", self.base)
    }

    /// A command to the node.
    #[must_use]
    pub fn request(&self, command: &str) -> String {
        format!("{}/request/{command}", self.base)
    }

    /// The answer to a command.
    #[must_use]
    pub fn response(&self, command: &str) -> String {
        format!("{}/response/{command}", self.base)
    }

    /// Filters of requests: all commands, and all settings of all streams.
    #[must_use]
    pub fn requests(&self) -> [String; 2] {
        [self.request("+"), self.set("+", "+")]
    }

    /// The command that a topic asks for, and its stream where the topic names one (`<stream>/set/<command>`).
    #[must_use]
    pub fn parse_request<'a>(&self, topic: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let rest = topic.strip_prefix(&self.base)?.strip_prefix('/')?;
        match *rest.split('/').collect::<Vec<_>>() {
            ["request", command] => Some((command, None)),
            [stream, "set", key] => Some((key, Some(stream))),
            _ => None,
        }
    }

    /// The topic of `mqtt test`.
    #[must_use]
    pub fn test(&self) -> String {
        format!("{}/test", self.base)
    }

    /// Home Assistant's device-based discovery, retained, under its prefix (`homeassistant` unless somebody changed it).
    #[must_use]
    pub fn discovery(&self, prefix: &str) -> String {
        format!("{prefix}/device/{}/config", self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_documentation() {
        let topics = Topics::new("cpc-stream", "hall-3").unwrap();
        let names = [
            topics.status(),
            topics.health(),
            topics.availability("mic"),
            topics.event("mic"),
            topics.anomaly("mic"),
            topics.score("mic"),
            topics.embedding("mic"),
            topics.set("mic", "budget"),
            topics.state("mic", "budget"),
            topics.day("mic", DayName::Today),
            topics.request("reload"),
            topics.response("reload"),
            topics.test(),
            topics.discovery("homeassistant"),
        ];
        assert_eq!(
            names,
            [
                "cpc-stream/hall-3/status",
                "cpc-stream/hall-3/health",
                "cpc-stream/hall-3/mic/availability",
                "cpc-stream/hall-3/mic/event",
                "cpc-stream/hall-3/mic/anomaly",
                "cpc-stream/hall-3/mic/score",
                "cpc-stream/hall-3/mic/embedding",
                "cpc-stream/hall-3/mic/set/budget",
                "cpc-stream/hall-3/mic/state/budget",
                "cpc-stream/hall-3/mic/day/today",
                "cpc-stream/hall-3/request/reload",
                "cpc-stream/hall-3/response/reload",
                "cpc-stream/hall-3/test",
                "homeassistant/device/hall-3/config",
            ]
        );
    }

    #[test]
    fn a_topic_says_what_is_asked_for() {
        let topics = Topics::new("site/audio", "hall").unwrap();
        assert_eq!(topics.requests(), ["site/audio/hall/request/+", "site/audio/hall/+/set/+"]);
        assert_eq!(topics.parse_request("site/audio/hall/request/mute"), Some(("mute", None)));
        assert_eq!(topics.parse_request("site/audio/hall/mic/set/budget"), Some(("budget", Some("mic"))));
        for other in ["site/audio/hall2/request/mute", "site/audio/hall/mic/event", "request/mute", ""] {
            assert_eq!(topics.parse_request(other), None, "{other}");
        }
    }

    #[test]
    fn names_that_would_break_a_topic_are_refused() {
        assert!(Topics::new("site/audio", "a").is_ok());
        for (prefix, node) in [
            ("", "a"),
            ("/x", "a"),
            ("x/", "a"),
            ("x/#", "a"),
            ("x", ""),
            ("x", "a/b"),
            ("x", "+"),
            ("x", "ä"),
        ] {
            assert!(Topics::new(prefix, node).is_err(), "{prefix:?} {node:?}");
        }
        for stream in ["status", "request", "a b", "mic#"] {
            let error = check_id("stream id", stream).unwrap_err();
            assert!(error.to_string().contains(stream) && !error.fix().is_empty());
        }
    }
}
