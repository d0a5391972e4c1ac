//! The page: its exposure, and the answer of a running daemon.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::super::health;
use super::finding::{DoctorReport, Finding};
use crate::error::{Error, Result};
use crate::serve::{HttpConfig, Tokens, read_tokens};

const CHECK: &str = "page";
const DAEMON: &str = "daemon";
const REACH: Duration = Duration::from_secs(1);

pub(super) fn check(config: &HttpConfig, runs: bool, report: &mut DoctorReport) -> Result<()> {
    // addresses that others reach without a token are refused with the configuration
    let found = config.address().and_then(|address| Ok((address, read_tokens(config)?)));
    let (address, tokens) = match found {
        Err(error) => return report.add(Finding::fail(CHECK, &error)),
        Ok((None, _)) => return report.add(Finding::ok(CHECK, "none is asked for ([http] listen)")),
        Ok((Some(address), tokens)) => (address, tokens),
    };
    let here = health::reachable(address);
    let taken = TcpStream::connect_timeout(&here, REACH).is_ok();
    report.add(match (taken, runs) {
        (true, false) => Finding::fail(
            CHECK,
            &Error::config(
                format!("another program listens at {here}"),
                "choose another port in [http] listen, or stop that program (`ss -ltnp`)",
            ),
        ),
        (false, true) => Finding::warn(
            CHECK,
            format!("the daemon runs, and nobody listens at {here}"),
            "it may have been started with another configuration: restart it",
        ),
        _ => Finding::ok(CHECK, exposure(address, &tokens)),
    })?;
    if taken && runs { of_daemon(here, tokens.viewer.as_deref(), report) } else { Ok(()) }
}

fn exposure(address: SocketAddr, tokens: &Tokens) -> String {
    let token = match (&tokens.viewer, &tokens.operator) {
        (Some(_), Some(_)) => "a token to look, another to operate",
        (Some(_), None) => "a token to look, and nobody may operate",
        (None, Some(_)) => "no token to look, a token to operate",
        (None, None) => "no token",
    };
    match address.ip().is_loopback() {
        true => format!("http://{address}/, for this machine only, {token}"),
        false => format!("http://{address}/, others can reach it, {token}; it is not encrypted"),
    }
}

fn of_daemon(address: SocketAddr, token: Option<&str>, report: &mut DoctorReport) -> Result<()> {
    let answer = match health::get(address, "/api/v1/overview", token) {
        Ok(answer) => answer,
        Err(error) => {
            return report.add(Finding::warn(DAEMON, error.to_string(), error.fix().to_owned()));
        }
    };
    let faults = health::faults(&answer);
    for fault in &faults {
        report.add(Finding::warn(DAEMON, *fault, "see its log (`journalctl -u cpc-stream`)"))?;
    }
    if faults.is_empty() {
        report.add(Finding::ok(DAEMON, health::line(&answer)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_told_with_what_it_is_for() {
        let of = |viewer: bool, operator: bool| {
            let token = |set: bool| set.then(|| "0123456789abcdef".to_owned());
            let tokens = Tokens { viewer: token(viewer), operator: token(operator) };
            exposure(([127, 0, 0, 1], 8099).into(), &tokens)
        };
        assert!(of(false, false).ends_with("for this machine only, no token"));
        assert!(of(false, true).ends_with("no token to look, a token to operate"));
        assert!(of(true, true).ends_with("a token to look, another to operate"));
        assert!(of(true, false).ends_with("a token to look, and nobody may operate"));
    }
}
