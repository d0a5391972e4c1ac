//! Requests to the node, and their responses.

use crossbeam_channel::Sender;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Verdict;
use crate::mqtt::check_id;

/// Longest request, bytes.
const LONGEST: usize = 1024;

/// A command, on `<prefix>/<node>/request/<command>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A verdict on an event: [`AckEvent`].
    AckEvent,
    /// Calibrate again: [`StreamSelector`].
    Recalibrate,
    /// Another false-alarm budget until the next start: [`Budget`]. Also `<stream>/set/budget`.
    Budget,
    /// Report no events for a while: [`Mute`]. Also `<stream>/set/mute`.
    Mute,
    /// Store a picture or clip of the latest sound: [`Snapshot`].
    Snapshot,
    /// Name the sound of an event, or change such a name: [`LabelRequest`].
    Label,
    /// Read the configuration file again; no fields.
    Reload,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AckEvent,
        Self::Recalibrate,
        Self::Budget,
        Self::Mute,
        Self::Snapshot,
        Self::Label,
        Self::Reload,
    ];

    /// Its name in topics and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AckEvent => "ack-event",
            Self::Recalibrate => "recalibrate",
            Self::Budget => "budget",
            Self::Mute => "mute",
            Self::Snapshot => "snapshot",
            Self::Label => "label",
            Self::Reload => "reload",
        }
    }

    /// The command of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str() == name)
    }

    /// An example of what to send.
    fn example(self) -> &'static str {
        match self {
            Self::AckEvent => {
                r#"send {"id": "…", "verdict": "normal"}, {"stream": "…", "number": 0, "verdict": "anomaly"} or {"stream": "…", "last": true, "verdict": "normal"}"#
            }
            Self::Recalibrate => r#"send {"stream": "…"}, or {} for all streams"#,
            Self::Budget => r#"send {"stream": "…", "events_per_hour": 2.5}"#,
            Self::Mute => r#"send {"stream": "…", "seconds": 600}; 0 ends it"#,
            Self::Snapshot => r#"send {"stream": "…", "seconds": 10}"#,
            Self::Label => {
                r#"send {"id": "…", "label": "kettle"}, {"label": "kettle", "rename": "…"} or {"label": "kettle", "delete": true}"#
            }
            Self::Reload => "send {}",
        }
    }
}

/// A verdict on an event, named by `id`, by `stream` and `number`, or by `stream` and `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckEvent {
    /// ULID of the event.
    #[serde(default)]
    pub id: Option<String>,
    /// Stream id.
    #[serde(default)]
    pub stream: Option<String>,
    /// Number of the event in its stream.
    #[serde(default)]
    pub number: Option<u64>,
    /// It is the last one of its stream.
    #[serde(default)]
    pub last: bool,
    /// The verdict.
    pub verdict: Verdict,
}

/// A stream, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSelector {
    /// Stream id; all streams where it is left out.
    pub stream: Option<String>,
}

/// A false-alarm budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Stream id; all streams where it is left out.
    #[serde(default)]
    pub stream: Option<String>,
    /// As in the configuration, 0.01 to 3600.
    pub events_per_hour: f64,
}

/// A time without events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// Stream id; all streams where it is left out.
    #[serde(default)]
    pub stream: Option<String>,
    /// Seconds from now, at most a day; 0 ends it.
    pub seconds: u32,
}

/// The longest that can be muted at a time, seconds.
pub const MAX_MUTE_S: u32 = 86_400;

/// The last sound of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Stream id.
    pub stream: String,
    /// Seconds of it, 1 to 30; 10 where it is left out.
    #[serde(default = "default_snapshot_seconds")]
    pub seconds: u32,
}

/// The label of the event `id`, which an empty label takes back; or, with `delete` or `rename`, a change of the label itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRequest {
    /// The label.
    pub label: String,
    /// ULID of the event.
    #[serde(default)]
    pub id: Option<String>,
    /// Its new name; where that exists, both labels become one.
    #[serde(default)]
    pub rename: Option<String>,
    /// Forget the label, with all of its examples.
    #[serde(default)]
    pub delete: bool,
}

fn default_snapshot_seconds() -> u32 {
    10
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestBody {
    /// A verdict.
    AckEvent(AckEvent),
    /// Calibrate again.
    Recalibrate(StreamSelector),
    /// Another budget.
    Budget(Budget),
    /// Silence.
    Mute(Mute),
    /// A picture or clip.
    Snapshot(Snapshot),
    /// A label.
    Label(LabelRequest),
    /// The configuration again.
    Reload,
}

/// A request that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The body of a request.
    pub ask: RequestBody,
    /// Copied to the response, so that the client can match it.
    pub transaction: Option<String>,
}

/// A request of a caller in this process, who gets the response in place of the broker.
#[derive(Debug)]
pub struct DirectRequest {
    /// The request.
    pub request: Request,
    /// Where its response goes; the caller may have left.
    pub response_sender: Sender<Response>,
}

#[cfg(feature = "mqtt")]
#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    transaction: Option<String>,
}

/// The transaction of a request, even of an invalid one.
#[cfg(feature = "mqtt")]
pub(super) fn transaction(payload: &[u8]) -> Option<String> {
    let short = payload.get(..payload.len().min(LONGEST)).unwrap_or_default();
    serde_json::from_slice::<Transaction>(short).ok()?.transaction
}

impl Request {
    /// Reads a request for `command`. With `stream` it is a setting of that stream: the payload is the bare value.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(command: Command, stream: Option<&str>, payload: &[u8]) -> Result<Self> {
        let fix = command.example();
        if payload.len() > LONGEST {
            let cause = format!("the request has {} bytes, expected {LONGEST} at most", payload.len());
            return Err(Error::config(cause, fix));
        }
        if let Some(stream) = stream {
            return Self::setting(command, stream, payload);
        }
        let unread = |e: serde_json::Error| Error::config(format!("the request is {e}"), fix);
        let empty = payload.iter().all(u8::is_ascii_whitespace);
        let mut fields: serde_json::Map<String, serde_json::Value> = match (empty, command) {
            // an empty payload counts as {}
            (true, Command::Reload | Command::Recalibrate) => serde_json::Map::new(),
            _ => serde_json::from_slice(payload).map_err(unread)?,
        };
        let transaction = match fields.remove("transaction") {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(text),
            Some(_) => return Err(Error::config("the request's `transaction` is no text", fix)),
        };
        let ask = RequestBody::of(command, fields).map_err(unread)?;
        ask.check(fix)?;
        Ok(Self { ask, transaction })
    }

    fn setting(command: Command, stream: &str, payload: &[u8]) -> Result<Self> {
        check_id("stream id", stream)?;
        let text = std::str::from_utf8(payload).unwrap_or_default().trim();
        let bad = |expected: &str| {
            Error::config(
                format!("{:?} is no value of {}", text, command.as_str()),
                format!("send {expected} as the payload"),
            )
        };
        let stream = Some(stream.to_owned());
        let ask = match command {
            Command::Budget => {
                let number = text.parse().map_err(|_| bad("a number of events an hour"))?;
                RequestBody::Budget(Budget { stream, events_per_hour: number })
            }
            Command::Mute => {
                let seconds = text.parse().map_err(|_| bad("whole seconds, 0 to end it,"))?;
                RequestBody::Mute(Mute { stream, seconds })
            }
            other => {
                return Err(Error::config(
                    format!("{} is no setting of a stream", other.as_str()),
                    format!("ask on request/{}: {}", other.as_str(), other.example()),
                ));
            }
        };
        ask.check(command.example())?;
        Ok(Self { ask, transaction: None })
    }
}

impl RequestBody {
    fn of(command: Command, fields: serde_json::Map<String, serde_json::Value>) -> serde_json::Result<Self> {
        fn read<T: DeserializeOwned>(
            fields: serde_json::Map<String, serde_json::Value>,
        ) -> serde_json::Result<T> {
            serde_json::from_value(serde_json::Value::Object(fields))
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct EmptyBody {}
        Ok(match command {
            Command::AckEvent => Self::AckEvent(read(fields)?),
            Command::Recalibrate => Self::Recalibrate(read(fields)?),
            Command::Budget => Self::Budget(read(fields)?),
            Command::Mute => Self::Mute(read(fields)?),
            Command::Snapshot => Self::Snapshot(read(fields)?),
            Command::Label => Self::Label(read(fields)?),
            Command::Reload => {
                read::<EmptyBody>(fields)?;
                Self::Reload
            }
        })
    }

    fn check(&self, fix: &str) -> Result<()> {
        let wrong = |cause: String| Err(Error::config(cause, fix));
        let stream = match self {
            Self::AckEvent(request) => match (&request.id, &request.stream, request.number, request.last) {
                (Some(_), None, None, false) => None,
                (None, Some(stream), Some(_), false) | (None, Some(stream), None, true) => Some(stream),
                _ => return wrong("the request names no event, or two".into()),
            },
            Self::Recalibrate(of) => of.stream.as_ref(),
            Self::Budget(budget) => budget.stream.as_ref(),
            Self::Mute(mute) if mute.seconds > MAX_MUTE_S => {
                return wrong(format!("seconds is {}, expected {MAX_MUTE_S} at most", mute.seconds));
            }
            Self::Mute(mute) => mute.stream.as_ref(),
            Self::Snapshot(of) if !(1..=30).contains(&of.seconds) => {
                return wrong(format!("seconds is {}, expected 1 to 30", of.seconds));
            }
            Self::Snapshot(of) => Some(&of.stream),
            Self::Label(LabelRequest { id: Some(_), rename: None, delete: false, .. }) => None,
            Self::Label(LabelRequest { id: None, rename, delete, .. }) if rename.is_some() != *delete => None,
            Self::Label(_) => return wrong("the request names not one of id, rename and delete".into()),
            Self::Reload => None,
        };
        stream.map_or(Ok(()), |stream| check_id("stream id", stream))
    }

    /// Its command.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Self::AckEvent(_) => Command::AckEvent,
            Self::Recalibrate(_) => Command::Recalibrate,
            Self::Budget(_) => Command::Budget,
            Self::Mute(_) => Command::Mute,
            Self::Snapshot(_) => Command::Snapshot,
            Self::Label(_) => Command::Label,
            Self::Reload => Command::Reload,
        }
    }
}

/// Whether a request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseStatus {
    /// Yes.
    Ok,
    /// No.
    Error,
}

/// The answer to a request, on `<prefix>/<node>/response/<command>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Whether it was carried out.
    pub status: ResponseStatus,
    /// The result; null without one.
    #[serde(default)]
    pub data: Option<serde_json::Value>,
    /// Why not; null where it was.
    pub error: Option<String>,
    /// As in the request; null where that could not be read.
    pub transaction: Option<String>,
}

impl Response {
    /// The answer to a request that ended in `result`.
    #[must_use]
    pub fn of(result: Result<Option<serde_json::Value>>, transaction: Option<String>) -> Self {
        let (status, data, error) = match result {
            Ok(data) => (ResponseStatus::Ok, data, None),
            Err(error) => (ResponseStatus::Error, None, Some(format!("{error}; {}", error.fix()))),
        };
        Self { status, data, error, transaction }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
