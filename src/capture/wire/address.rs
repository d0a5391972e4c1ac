//! Addresses of network sources.

use std::fmt;

use crate::error::{Error, Result};

const FIX: &str = "give tcp://HOST:PORT, tcp-listen://ADDRESS:PORT, udp://ADDRESS:PORT, or an rtsp, rtsps, rtmp, http or \
                   https URL";

/// A source on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) enum Address {
    /// `tcp://HOST:PORT`: we dial.
    Dial(String),
    /// `tcp-listen://ADDRESS:PORT`: one at a time dials us.
    Answer(String),
    /// `udp://ADDRESS:PORT`: datagrams to this address.
    Datagrams(String),
    /// What ffmpeg reads.
    Ffmpeg(String),
}

impl Address {
    /// Reads a URL.
    pub(in crate::capture) fn parse(url: &str) -> Result<Self> {
        let refuse = |what: &str| Err(Error::config(format!("the source url {:?} {what}", masked(url)), FIX));
        let Some((scheme, rest)) = url.split_once("://") else { return refuse("has no scheme") };
        if rest.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("has no address, or blanks");
        }
        let with_port = rest
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        let address = rest.to_owned();
        match scheme {
            "tcp" | "tcp-listen" | "udp" if !with_port => refuse("has no port"),
            "tcp" => Ok(Self::Dial(address)),
            "tcp-listen" => Ok(Self::Answer(address)),
            "udp" => Ok(Self::Datagrams(address)),
            "rtsp" | "rtsps" | "rtmp" | "http" | "https" => Ok(Self::Ffmpeg(url.to_owned())),
            _ => refuse("is of an unknown kind"),
        }
    }

    /// A short name for ids: the host and what follows, without user, password and query.
    pub(in crate::capture) fn short(&self) -> &str {
        match self {
            Self::Dial(address) | Self::Answer(address) | Self::Datagrams(address) => address,
            Self::Ffmpeg(url) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let rest = rest.split(['?', '#']).next().unwrap_or(rest);
                rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(address) => write!(f, "tcp://{address}"),
            Self::Answer(address) => write!(f, "tcp-listen://{address}"),
            Self::Datagrams(address) => write!(f, "udp://{address}"),
            Self::Ffmpeg(url) => f.write_str(&masked(url)),
        }
    }
}

/// A URL without its user, password and query, for people and logs.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_secrets() {
        for (url, shown, short) in [
            ("tcp://mic.lan:4000", "tcp://mic.lan:4000", "mic.lan:4000"),
            ("tcp-listen://[::]:4000", "tcp-listen://[::]:4000", "[::]:4000"),
            ("udp://0.0.0.0:5004", "udp://0.0.0.0:5004", "0.0.0.0:5004"),
            ("rtsp://user:pa@ss@cam/live?token=x", "rtsp://…@cam/live?…", "cam/live"),
            ("https://radio/stream", "https://radio/stream", "radio/stream"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.to_string().as_str(), address.short()), (shown, short));
        }
    }

    #[test]
    fn invalid_source_urls_are_refused_with_a_fix() {
        for url in [
            "",
            "cam/live",
            "file:///etc/passwd",
            "tcp://mic",
            "udp://:5",
            "tcp://a:0",
            "tcp://a:99999",
            "rtsp://",
            "rtsp://a b",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.fix().contains("tcp://"), "{url}");
        }
        assert!(!Address::parse("ftp://me:secret@host/x").unwrap_err().to_string().contains("secret"));
    }
}
