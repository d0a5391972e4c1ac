//! One line for one message.

use serde_json::Value;

use crate::units::counted;

/// `{"topic":…,"retained":…,"payload":…}`, the payload as JSON where it is JSON, else as a string.
pub(super) fn json(topic: &str, retained: bool, payload: &str) -> String {
    let payload = serde_json::from_str(payload).unwrap_or_else(|_| Value::from(payload));
    serde_json::json!({ "topic": topic, "retained": retained, "payload": payload }).to_string()
}

/// Node or node/stream, kind, and what matters of the payload.
pub(super) fn human(prefix: &str, topic: &str, payload: &str) -> String {
    let place = topic.strip_prefix(prefix).unwrap_or(topic).trim_start_matches('/');
    let (place, kind) = place.rsplit_once('/').unwrap_or((place, ""));
    let document: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
    let text = |key: &str| document[key].as_str().unwrap_or("?").to_owned();
    let number = |key: &str| document[key].as_f64().map_or_else(|| "-".to_owned(), |x| format!("{x:.2}"));
    let reported = match kind {
        "event" if document["phase"] == "gap" => {
            format!(
                "gap    {} lost ({}), {} to {}",
                counted(document["dropped"].as_u64().unwrap_or(0), "document"),
                text("reason"),
                text("from"),
                text("until")
            )
        }
        "event" => {
            let length = match (document["offset_s"].as_f64(), document["onset_s"].as_f64()) {
                (Some(offset), Some(onset)) => format!("{:.2} s", offset - onset),
                _ => "going on".to_owned(),
            };
            // daemons of before say neither kind nor severity
            let what = document["kind"].as_str().map(|kind| format!(" {kind}: {}", text("summary")));
            let label = document["label"].as_str().map(|label| {
                let heard = match document["heard"].as_u64() {
                    Some(1) => "once".to_owned(),
                    times => format!("{} times", times.unwrap_or(0)),
                };
                format!(", sounds like {label} ({}), heard {heard}", number("similarity"))
            });
            let severity = document["severity"].as_u64().map(|severity| format!(", severity {severity}"));
            format!(
                "{:<6} {} {length}, {}{}{}{}, score {} by {}, {} dBFS, id {}",
                text("phase"),
                text("onset"),
                text("tier"),
                what.unwrap_or_default(),
                label.unwrap_or_default(),
                severity.unwrap_or_default(),
                number("score"),
                text("evidence"),
                number("level_dbfs"),
                text("id"),
            )
        }
        "health" => format!(
            "up {} s, load {} %, hop p99 {} µs, events {} accepted {} pending {} dropped",
            number("uptime_s"),
            number("load_percent"),
            number("hop_p99_us"),
            document["events_accepted"],
            document["events_pending"],
            document["events_dropped"],
        ),
        "score" => format!(
            "{} surprise {} novelty {} score {} {} dBFS, {}",
            text("time"),
            number("surprise"),
            number("novelty"),
            number("score"),
            number("level_dbfs"),
            text("state"),
        ),
        "availability" => match document["reason"].as_str() {
            Some(reason) => format!("{} ({reason})", text("state")),
            None => text("state"),
        },
        _ => payload.to_owned(),
    };
    let line = format!("{place:<20} {kind:<12} {reported}");
    // a message of a stranger must not steer the terminal
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_matters() {
        let event = r#"{"phase":"end","onset":"2026-01-02T03:04:05Z","onset_s":1.0,"offset_s":2.5,"tier":"alarm","severity":42,"score":6.5,"evidence":"novelty","kind":"stopped","summary":"stopped after 3 h 12 min","level_dbfs":-20.0,"id":"01J"}"#;
        let line = human("cpc-stream", "cpc-stream/hall/mic/event", event);
        assert!(line.starts_with("hall/mic"), "{line}");
        for word in [
            "event",
            "end",
            "1.50 s",
            "alarm stopped: stopped after 3 h 12 min, severity 42,",
            "6.50",
            "novelty",
            "-20.00",
            "01J",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
        let known =
            event.replace(r#""id":"01J""#, r#""id":"01J","label":"kettle","similarity":0.871,"heard":7"#);
        let line = human("cpc-stream", "cpc-stream/hall/mic/event", &known);
        assert!(line.contains(", sounds like kettle (0.87), heard 7 times, severity 42"), "{line}");
        let old = r#"{"phase":"new","onset":"2026-01-02T03:04:05Z","tier":"severe","score":6.5}"#;
        let line = human("cpc-stream", "cpc-stream/hall/mic/event", old);
        assert!(line.contains("going on, severe, score 6.50"), "{line}");
        let gap = r#"{"phase":"gap","dropped":12,"reason":"size","from":"a","until":"b"}"#;
        assert!(human("cpc-stream", "cpc-stream/hall/mic/event", gap).contains("12 documents lost (size)"));
        let gone = r#"{"state":"offline","reason":"unplugged"}"#;
        assert!(
            human("cpc-stream", "cpc-stream/hall/mic/availability", gone).ends_with("offline (unplugged)")
        );
        assert!(human("cpc-stream", "cpc-stream/hall/status", "online").ends_with("online"));
        let hostile = human("cpc-stream", "cpc-stream/hall/status", "\u{1b}[2Jx\ny");
        assert!(!hostile.chars().any(char::is_control));
    }

    #[test]
    fn json_lines_hold_json_or_text() {
        assert_eq!(json("a/b", true, "online"), r#"{"payload":"online","retained":true,"topic":"a/b"}"#);
        assert_eq!(json("a/b", false, r#"{"x":1}"#), r#"{"payload":{"x":1},"retained":false,"topic":"a/b"}"#);
    }
}
