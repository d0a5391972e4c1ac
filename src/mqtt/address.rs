//! The broker's address.

use crate::error::{Error, Result};

/// Where a broker listens when the address names no port.
pub const DEFAULT_PORT: u16 = 1883;
/// The same for TLS.
pub const DEFAULT_TLS_PORT: u16 = 8883;

/// A parsed broker address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or address; IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, where the address has one.
    pub user: Option<String>,
    /// Whether the connection is encrypted (`mqtts://`).
    pub tls: bool,
}

impl BrokerAddress {
    /// Reads `mqtt://[user@]host[:port]`, or the same with `mqtts://` for TLS; without a scheme it is `mqtt`.
    ///
    /// # Errors
    /// A configuration error with the form that was expected; also for passwords, which every user of the machine
    /// could read.
    pub fn parse(url: &str) -> Result<Self> {
        let form = "write mqtt://host, mqtt://host:port or mqtt://user@host; mqtts:// for TLS";
        // the address may hold a password: never repeat it in a message
        let (scheme, rest) = url.split_once("://").unwrap_or(("mqtt", url));
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            other => {
                return Err(Error::config(format!("the broker address has the scheme {other:?}"), form));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Error::config(
                "the broker address has a password in it, where every user of this machine can read it",
                "put the password into a file and name it by `password_file`",
            ));
        }
        if user == Some("") {
            return Err(Error::config("the broker address has an empty user name", form));
        }
        let default = if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let (host, port) = split_port(place, default)
            .ok_or_else(|| Error::config(format!("cannot read {place:?} as host:port of a broker"), form))?;
        if tls && host.starts_with('[') {
            return Err(Error::config(
                format!(
                    "the broker address asks for TLS to the IPv6 address {host}, for which no certificate is checked"
                ),
                "name the broker by its host name, which can stand in /etc/hosts",
            ));
        }
        Ok(Self { host: host.to_owned(), port, user: user.map(str::to_owned), tls })
    }
}

fn split_port(place: &str, default: u16) -> Option<(&str, u16)> {
    let after_host =
        if place.starts_with('[') { place.find(']')? + 1 } else { place.find(':').unwrap_or(place.len()) };
    let (host, tail) = place.split_at(after_host);
    let port = match tail.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port != 0)?,
        None if tail.is_empty() => default,
        None => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-[]:%".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_understood() {
        for (url, host, port, user) in [
            ("mqtt://broker", "broker", 1883, None),
            ("mqtt://broker/", "broker", 1883, None),
            ("tcp://10.0.0.1:1884", "10.0.0.1", 1884, None),
            ("mqtt://ear@broker.lan:9", "broker.lan", 9, Some("ear")),
            ("mqtt://[::1]:1884", "[::1]", 1884, None),
            ("mqtt://[fe80::1]", "[fe80::1]", 1883, None),
            ("127.0.0.1", "127.0.0.1", 1883, None),
            ("broker:1884", "broker", 1884, None),
            ("ear@broker.lan", "broker.lan", 1883, Some("ear")),
        ] {
            let expected =
                BrokerAddress { host: host.into(), port, user: user.map(str::to_owned), tls: false };
            assert_eq!(BrokerAddress::parse(url).unwrap(), expected, "{url}");
        }
        let secure = BrokerAddress::parse("mqtts://ear@broker.lan").unwrap();
        assert_eq!((secure.port, secure.tls), (DEFAULT_TLS_PORT, true));
    }

    #[test]
    fn addresses_that_are_refused_say_why() {
        for (url, word) in [
            ("", "host:port"),
            ("http://broker", "scheme"),
            ("mqtts://[::1]", "TLS"),
            ("mqtt://", "host:port"),
            ("mqtt://broker:0", "host:port"),
            ("mqtt://broker:70000", "host:port"),
            ("mqtt://broker/path", "host:port"),
            ("mqtt://a b", "host:port"),
            ("mqtt://@broker", "user"),
            ("mqtt://[::1", "host:port"),
        ] {
            let error = BrokerAddress::parse(url).unwrap_err();
            assert!(error.to_string().contains(word), "{url}: {error}");
            assert!(!error.fix().is_empty());
        }
        for url in ["mqtt://ear:hunter2@broker", "ear:hunter2@broker"] {
            let error = BrokerAddress::parse(url).unwrap_err();
            assert!(error.to_string().contains("password") && !error.to_string().contains("hunter2"));
        }
    }
}
