//! The entry of requests: refused and unreadable ones are answered here, others are handed on.

use crossbeam_channel::Sender;

use super::request::{Command, Request, Response, transaction};
use super::topics::Topics;
use crate::error::{Error, Result};
use crate::mqtt::check_id;
use crate::mqtt::link::Message;
use crate::telemetry::LogThrottle;

static REFUSED: LogThrottle = LogThrottle::new();

/// The access rule, and the channel to the executor of requests.
#[derive(Debug)]
pub(super) struct RequestHandler {
    pub(super) topics: Topics,
    /// Accepted commands.
    pub(super) allowed: Vec<Command>,
    /// The executor.
    pub(super) request_sender: Sender<Request>,
}

impl RequestHandler {
    /// Hands a request on, and logs it; returns topic and answer where that is not possible. A retained message is stale and
    /// is ignored.
    pub(super) fn take(&self, message: &Message) -> Option<(String, Response)> {
        let (name, stream) = self.topics.parse_request(&message.topic)?;
        // an unknown topic has no response topic
        if message.retained || check_id("command", name).is_err() {
            return None;
        }
        let (topic, transaction) = (&message.topic, transaction(&message.payload));
        let by = transaction.as_deref().map_or_else(String::new, |id| format!(", transaction {id:?}"));
        let Err(error) = self.pass(name, stream, &message.payload) else {
            let payload = String::from_utf8_lossy(&message.payload);
            tracing::info!("somebody asks on {topic}{by}: {}", payload.escape_debug());
            return None;
        };
        if let Some(held) = REFUSED.allow() {
            tracing::warn!("a request on {topic}{by} was refused: {error}{held}");
        }
        let answer = Response::of(Err(error), transaction);
        Some((self.topics.response(name), answer))
    }

    fn pass(&self, name: &str, stream: Option<&str>, payload: &[u8]) -> Result<()> {
        let Some(command) = Command::named(name) else {
            let all = Command::ALL.map(Command::as_str).join(", ");
            return Err(Error::config(format!("there is no command {name}"), format!("ask for {all}")));
        };
        if !self.allowed.contains(&command) {
            return Err(Error::config(
                format!("the command {name} is not accepted here"),
                "name it in `commands` of [publish] in the daemon's configuration, and start it again",
            ));
        }
        let request = Request::parse(command, stream, payload)?;
        self.request_sender
            .try_send(request)
            .map_err(|_| Error::config("too many requests wait", "ask again in a second"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::ResponseStatus;

    #[test]
    fn only_what_is_allowed_passes_and_the_rest_is_answered() {
        let (request_sender, asked) = crossbeam_channel::bounded(2);
        let handler = RequestHandler {
            topics: Topics::new("t", "n").unwrap(),
            allowed: vec![Command::Mute],
            request_sender,
        };
        let say = |topic: &str, payload: &str, retained| {
            handler.take(&Message { retained, topic: topic.into(), payload: payload.into() })
        };
        assert_eq!(say("t/n/mic/set/mute", "60", false), None);
        assert_eq!(say("t/n/request/mute", r#"{"seconds":60}"#, false), None);
        assert_eq!(asked.len(), 2);
        for (topic, payload, why) in [
            ("t/n/request/mute", r#"{"seconds":60,"transaction":"x"}"#, "too many"),
            ("t/n/request/budget", r#"{"events_per_hour":1,"transaction":"x"}"#, "not accepted"),
            ("t/n/request/shutdown", r#"{"transaction":"x"}"#, "no command shutdown"),
        ] {
            let (to, answer) = say(topic, payload, false).unwrap();
            assert_eq!(to, topic.replace("request", "response"));
            assert_eq!((answer.status, answer.transaction.as_deref()), (ResponseStatus::Error, Some("x")));
            assert!(answer.error.as_deref().unwrap_or_default().contains(why), "{answer:?}");
        }
        let huge = "9".repeat(5000);
        assert!(say("t/n/mic/set/mute", &huge, false).unwrap().1.error.unwrap().contains("5000 bytes"));
        for (topic, retained) in
            [("t/n/request/mute", true), ("t/n/request/ü", false), ("t/x/request/mute", false)]
        {
            assert_eq!(say(topic, "{}", retained), None);
        }
        assert_eq!(asked.len(), 2);
    }
}
