//! What others may ask of the node, and the answers.

use serde::{Deserialize, Serialize};

use super::topics::check_id;
use crate::error::{Error, Result};

/// The one command so far: `<prefix>/<node>/request/ack-event`.
pub const ACK_EVENT: &str = "ack-event";
/// Longest request, bytes.
const LONGEST: usize = 1024;

/// What the operator says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// This is normal here: do not tell sound of its kind again.
    Normal,
    /// There was something: the event does not count as a false alarm.
    Anomaly,
}

/// A verdict on an event, named by `id`, or by `stream` and `number`.
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
    /// The verdict.
    pub verdict: Judgement,
    /// Comes back in the answer, so that who asked can tell whose answer it is.
    #[serde(default)]
    pub transaction: Option<String>,
}

impl AckEvent {
    /// Reads a request.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let fix =
            r#"send {"id": "…", "verdict": "normal"} or {"stream": "…", "number": 0, "verdict": "anomaly"}"#;
        if payload.len() > LONGEST {
            let cause = format!("the request has {} bytes, expected {LONGEST} at most", payload.len());
            return Err(Error::config(cause, fix));
        }
        let request: Self =
            serde_json::from_slice(payload).map_err(|e| Error::config(format!("the request is {e}"), fix))?;
        match (&request.id, &request.stream, request.number) {
            (Some(_), None, None) => {}
            (None, Some(stream), Some(_)) => check_id("stream id", stream)?,
            _ => return Err(Error::config("the request names no event, or two", fix)),
        }
        Ok(request)
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

/// The answer to a request, on `<prefix>/<node>/response/ack-event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Whether it was carried out.
    pub status: ResponseStatus,
    /// Why not; null where it was.
    pub error: Option<String>,
    /// As in the request; null where that could not be read.
    pub transaction: Option<String>,
}

impl Response {
    /// The answer to a request that ended in `result`.
    #[must_use]
    pub fn of(result: Result<()>, transaction: Option<String>) -> Self {
        let error = result.err().map(|error| format!("{error}; {}", error.fix()));
        let status = if error.is_none() { ResponseStatus::Ok } else { ResponseStatus::Error };
        Self { status, error, transaction }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_one_event_and_nothing_unknown() {
        let good =
            AckEvent::parse(br#"{"stream":"mic","number":3,"verdict":"normal","transaction":"a"}"#).unwrap();
        assert_eq!(
            (good.stream.as_deref(), good.number, good.verdict),
            (Some("mic"), Some(3), Judgement::Normal)
        );
        assert!(AckEvent::parse(br#"{"id":"01J00000000000000000000000","verdict":"anomaly"}"#).is_ok());
        for bad in [
            "",
            "{}",
            "[1]",
            r#"{"verdict":"normal"}"#,
            r#"{"stream":"mic","verdict":"normal"}"#,
            r#"{"id":"x","stream":"mic","number":1,"verdict":"normal"}"#,
            r#"{"stream":"a/b","number":1,"verdict":"normal"}"#,
            r#"{"stream":"mic","number":-1,"verdict":"normal"}"#,
            r#"{"id":"x","verdict":"perhaps"}"#,
            r#"{"id":"x","verdict":"normal","budget":3}"#,
        ] {
            let error = AckEvent::parse(bad.as_bytes()).unwrap_err();
            assert!(!error.fix().is_empty(), "{bad}: {error}");
        }
        let long = format!(r#"{{"id":"{}","verdict":"normal"}}"#, "x".repeat(1024));
        assert!(AckEvent::parse(long.as_bytes()).unwrap_err().to_string().contains("1024"));
    }

    #[test]
    fn answers_say_why() {
        let json = |response: &Response| serde_json::to_string(response).unwrap();
        let ok = Response::of(Ok(()), Some("a".into()));
        assert_eq!(json(&ok), r#"{"status":"ok","error":null,"transaction":"a"}"#);
        let no = Response::of(Err(Error::config("no such event", "name another")), None);
        assert_eq!(
            json(&no),
            r#"{"status":"error","error":"no such event; name another","transaction":null}"#
        );
    }
}
