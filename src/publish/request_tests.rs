use super::*;

fn parse(command: Command, payload: &str) -> Result<Request> {
    Request::parse(command, None, payload.as_bytes())
}

#[test]
fn names_are_those_of_the_configuration() {
    for command in Command::ALL {
        assert_eq!(serde_json::to_value(command).unwrap(), command.as_str());
        assert_eq!(Command::named(command.as_str()), Some(command));
    }
    assert_eq!(Command::named("shutdown"), None);
}

#[test]
fn verdicts_name_one_event_and_nothing_unknown() {
    let good = r#"{"stream":"mic","number":3,"verdict":"normal","transaction":"a"}"#;
    let Request { ask: RequestBody::AckEvent(ack), transaction } = parse(Command::AckEvent, good).unwrap()
    else {
        panic!("another request")
    };
    assert_eq!(transaction.as_deref(), Some("a"));
    assert_eq!((ack.stream.as_deref(), ack.number, ack.verdict), (Some("mic"), Some(3), Verdict::Normal));
    assert!(parse(Command::AckEvent, r#"{"id":"01J00000000000000000000000","verdict":"anomaly"}"#).is_ok());
    assert!(parse(Command::AckEvent, r#"{"stream":"mic","last":true,"verdict":"normal"}"#).is_ok());
    for bad in [
        "",
        "{}",
        "[1]",
        r#"{"verdict":"normal"}"#,
        r#"{"stream":"mic","verdict":"normal"}"#,
        r#"{"id":"x","stream":"mic","number":1,"verdict":"normal"}"#,
        r#"{"stream":"a/b","number":1,"verdict":"normal"}"#,
        r#"{"last":true,"verdict":"normal"}"#,
        r#"{"stream":"mic","last":false,"verdict":"normal"}"#,
        r#"{"stream":"mic","number":1,"last":true,"verdict":"normal"}"#,
        r#"{"stream":"mic","number":-1,"verdict":"normal"}"#,
        r#"{"id":"x","verdict":"perhaps"}"#,
        r#"{"id":"x","verdict":"normal","budget":3}"#,
        r#"{"id":"x","verdict":"normal","transaction":7}"#,
    ] {
        let error = parse(Command::AckEvent, bad).unwrap_err();
        assert!(!error.fix().is_empty(), "{bad}: {error}");
    }
    let long = format!(r#"{{"id":"{}","verdict":"normal"}}"#, "x".repeat(1024));
    assert!(parse(Command::AckEvent, &long).unwrap_err().to_string().contains("1024"));
}

#[test]
fn the_other_commands_are_as_strict() {
    for (command, good, bad) in [
        (Command::Recalibrate, "", r#"{"streams":"mic"}"#),
        (Command::Recalibrate, r#"{"stream":"mic"}"#, r#"{"stream":"a/b"}"#),
        (Command::Budget, r#"{"events_per_hour":2.5}"#, r#"{"stream":"mic"}"#),
        (Command::Mute, r#"{"stream":"mic","seconds":600}"#, r#"{"seconds":86401}"#),
        (Command::Mute, r#"{"seconds":0}"#, r#"{"seconds":-1}"#),
        (Command::Snapshot, r#"{"stream":"mic"}"#, r#"{"stream":"mic","seconds":31}"#),
        (Command::Label, r#"{"id":"x","label":"kettle"}"#, r#"{"label":"kettle"}"#),
        (
            Command::Label,
            r#"{"label":"kettle","delete":true}"#,
            r#"{"id":"x","label":"kettle","delete":true}"#,
        ),
        (
            Command::Label,
            r#"{"label":"kettle","rename":"pot"}"#,
            r#"{"rename":"pot","delete":true,"label":"a"}"#,
        ),
        (Command::Reload, "{}", r#"{"file":"/etc/passwd"}"#),
    ] {
        assert_eq!(parse(command, good).unwrap().ask.command(), command, "{good}");
        assert!(parse(command, bad).is_err(), "{bad}");
    }
}

#[test]
fn settings_are_bare_values_of_a_stream() {
    let set = |command, payload: &str| Request::parse(command, Some("mic"), payload.as_bytes());
    let stream = Some("mic".to_owned());
    let budget = set(Command::Budget, " 2.5\n").unwrap().ask;
    assert_eq!(budget, RequestBody::Budget(Budget { stream: stream.clone(), events_per_hour: 2.5 }));
    assert_eq!(set(Command::Mute, "600").unwrap().ask, RequestBody::Mute(Mute { stream, seconds: 600 }));
    for (command, payload) in [
        (Command::Budget, "many"),
        (Command::Budget, ""),
        (Command::Mute, "-1"),
        (Command::Mute, "1e9"),
        (Command::Recalibrate, ""),
    ] {
        assert!(set(command, payload).is_err(), "{payload}");
    }
    assert!(Request::parse(Command::Mute, Some("status"), b"1").is_err(), "no stream can be called so");
}

#[test]
fn answers_say_why() {
    let json = |response: &Response| serde_json::to_string(response).unwrap();
    let ok = Response::of(Ok(None), Some("a".into()));
    assert_eq!(json(&ok), r#"{"status":"ok","data":null,"error":null,"transaction":"a"}"#);
    let no = Response::of(Err(Error::config("no such event", "name another")), None);
    assert_eq!(
        json(&no),
        r#"{"status":"error","data":null,"error":"no such event; name another","transaction":null}"#
    );
    assert_eq!(transaction(br#"{"transaction":"t","other":1}"#).as_deref(), Some("t"));
    assert_eq!(transaction(b"no json"), None);
}
