//! `health`: asks a running daemon how it is.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value as Flag};
use serde_json::Value;

use super::args::stdout;
use crate::config::load;
use crate::error::{Error, ErrorKind, Result};
use crate::serve::read_tokens;
use crate::units::counted;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer, at most.
const LARGEST: u64 = 16 << 20;

/// Whom to ask.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HealthArgs {
    /// Where the daemon serves HTTP: a port of this machine, or ADDRESS:PORT; what the configuration says if left out.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Configuration file of the daemon.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all that it says as JSON.
    #[arg(long)]
    json: bool,
    /// Fail too where a stream gives no sound, its input is bad, or the disk refuses events.
    #[arg(long)]
    strict: bool,
}

/// Asks, and prints a line, and a line more for each fault.
///
/// # Errors
/// When the daemon does not answer, hangs, or is not ready; with `--strict` when there is any fault.
pub(super) fn run(args: &HealthArgs) -> Result<()> {
    let mut flags = Dict::new();
    if let Some(address) = &args.http {
        flags.insert(
            "http".to_owned(),
            Flag::from(Dict::from([("listen".to_owned(), Flag::from(address.clone()))])),
        );
    }
    let config = load(args.config.as_deref(), flags)?.config.http;
    let address = config.address()?.ok_or_else(|| {
        Error::config(
            "it is not known where the daemon serves HTTP",
            "give `--http PORT`, or `--config FILE` of a configuration with [http] listen",
        )
    })?;
    let token = read_tokens(&config)?.viewer;
    let answer = get(reachable(address), "/api/v1/overview", token.as_deref())?;
    let judged = judge(&answer, args.strict);
    if args.json {
        stdout().line(format_args!("{answer:#}"))?;
    } else {
        stdout().prose(format_args!("{}", line(&answer)))?;
        // the failure prints its own
        let printed = judged.as_ref().err().map(Error::to_string);
        for fault in faults(&answer).into_iter().filter(|&fault| printed.as_deref() != Some(fault)) {
            stdout().prose(format_args!("fault: {fault}"))?;
        }
    }
    judged
}

/// The faults reported by the daemon.
pub(super) fn faults(answer: &Value) -> Vec<&str> {
    answer["faults"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// How it is, in a line.
pub(super) fn line(answer: &Value) -> String {
    let health = &answer["health"];
    let streams = answer["streams"].as_array().map_or(&[][..], Vec::as_slice);
    let with = |key: &str, value: &str| streams.iter().filter(|s| s[key]["state"] == value).count();
    let waiting = health["events_pending"].as_u64().unwrap_or(0);
    format!(
        "{}: sound from {} of {}, {} watched; up {:.0} s, load {} %, {} {}",
        answer["node"].as_str().unwrap_or("?"),
        with("availability", "online"),
        counted(streams.len(), "stream"),
        with("latest", "watching"),
        health["uptime_s"].as_f64().unwrap_or(0.0),
        health["load_percent"],
        counted(waiting, "event"),
        if waiting == 1 { "waits" } else { "wait" },
    )
}

fn judge(answer: &Value, strict: bool) -> Result<()> {
    if let Some(who) = answer["hangs"].as_str() {
        return Err(failed(format!("{who} hangs"), "restart the daemon, and report it with its log"));
    }
    if answer["ready"] != true {
        return Err(failed("the daemon starts or stops", "ask again in some seconds"));
    }
    match faults(answer).first() {
        Some(fault) if strict => Err(Error::device((*fault).to_owned(), "see the log of the daemon")),
        _ => Ok(()),
    }
}

fn failed(cause: impl Into<String>, fix: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, cause, fix)
}

/// A server on all addresses is asked on the loopback address.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

/// The JSON that the daemon answers for `path`.
pub(super) fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Result<Value> {
    let silent = |e: std::io::Error| {
        failed(
            format!("no daemon answers at {address}: {e}"),
            "start it with `--http ADDR` or [http] listen, and see its log",
        )
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(silent)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(silent)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(silent)?;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    // HTTP 1.0: the answer comes in one piece and ends with the connection
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{token}\r\n").map_err(silent)?;
    let mut text = String::new();
    stream.take(LARGEST).read_to_string(&mut text).map_err(silent)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).unwrap_or("no code");
    match code {
        "200" => serde_json::from_str(body).map_err(|e| {
            failed(
                format!("{address} answers what cannot be read: {e}"),
                "look whether a daemon of this version listens there",
            )
        }),
        "401" => Err(Error::config(
            format!("the daemon at {address} asks for a token"),
            "give `--config FILE` of a configuration with its http.token_file",
        )),
        _ => Err(failed(
            format!("{address} answers {code}: {}", body.trim()),
            "look whether a daemon of this version listens there",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hang_is_worse_than_a_fault() {
        let mut answer = json!({ "ready": true, "hangs": null, "faults": [], "streams": [] });
        judge(&answer, true).unwrap();
        answer["faults"] = json!(["hall gives no sound: unplugged"]);
        judge(&answer, false).unwrap();
        assert_eq!(judge(&answer, true).unwrap_err().kind(), ErrorKind::Device);
        answer["hangs"] = json!("the thread inference");
        assert_eq!(judge(&answer, false).unwrap_err().kind(), ErrorKind::Internal);
        assert!(judge(&json!({}), false).is_err());
    }
}
