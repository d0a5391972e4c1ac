//! Configuration of the page: its address and access.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::publish::read_password;

/// Fewest characters of a token.
const SHORTEST_TOKEN: usize = 16;

/// The page, metrics and probes: the `[http]` table. There is no server by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// `127.0.0.1:8099`, `[::1]:8099`, or a port alone for this machine only. Empty: no server.
    pub listen: String,
    /// File whose first line is the token that clients must show, or `credential:NAME`; needed where others can reach
    /// the address.
    pub token_file: Option<PathBuf>,
    /// The same for operators, who may review events as well; without it reviews over HTTP are refused.
    pub operator_token_file: Option<PathBuf>,
    /// Addresses of proxies that authenticate their users, as Home Assistant's: requests from them need no token to
    /// read.
    pub trusted_proxies: Vec<IpAddr>,
    /// Names other than localhost under which a browser may ask, without a port: those of a proxy in front.
    pub hosts: Vec<String>,
}

impl HttpConfig {
    /// The address to listen at; none where there is to be no server.
    ///
    /// # Errors
    /// A configuration error where it is no address.
    pub fn address(&self) -> Result<Option<SocketAddr>> {
        let text = self.listen.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let local = text.strip_prefix("localhost:").unwrap_or(text);
        let address = local
            .parse::<u16>()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
            .ok()
            .or_else(|| text.parse().ok());
        address.map(Some).ok_or_else(|| {
            Error::config(
                format!("http.listen = {text:?} is no address"),
                "write 127.0.0.1:8099, [::1]:8099, 0.0.0.0:8099 (with a token_file) or a port alone",
            )
        })
    }

    /// Its address for people elsewhere; none where it is not one that they reach.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let at = self.address().ok()??;
        let reached = at.port() != 0 && !at.ip().is_loopback() && !at.ip().is_unspecified();
        reached.then(|| format!("http://{at}/"))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A configuration error that names the key: no address, or one that others can reach without a token.
    pub fn validate(&self) -> Result<()> {
        let Some(address) = self.address()? else { return Ok(()) };
        if !address.ip().is_loopback() && self.token_file.is_none() {
            return Err(Error::config(
                format!(
                    "http.listen = {address} can be reached by other machines, and no http.token_file is set"
                ),
                "set token_file in [http] to a file with a long random line, or listen at 127.0.0.1",
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if let Some(host) = self.hosts.iter().find(|host| host.is_empty() || !host.chars().all(plain)) {
            return Err(Error::config(
                format!("http.hosts has {host:?}, which is no name of a host"),
                "write names without scheme, port and path, as \"ear.example\"",
            ));
        }
        Ok(())
    }
}

/// The tokens of clients.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token to read; `None` where everybody may.
    pub viewer: Option<String>,
    /// Token to review events as well; `None` where nobody may.
    pub operator: Option<String>,
}

/// The configured tokens.
///
/// # Errors
/// A configuration error where a file cannot be read, its first line has fewer than 16 characters, or both are the same.
pub fn read_tokens(config: &HttpConfig) -> Result<Tokens> {
    let viewer = read_token("http.token_file", config.token_file.as_deref())?;
    let operator = read_token("http.operator_token_file", config.operator_token_file.as_deref())?;
    if operator.is_some() && operator == viewer {
        return Err(Error::config(
            "http.operator_token_file and http.token_file hold the same token",
            "give operators one of their own: head -c 24 /dev/urandom | base64",
        ));
    }
    Ok(Tokens { viewer, operator })
}

fn read_token(key: &str, file: Option<&Path>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let token = read_password(file).map_err(|e| e.context(key))?;
    let token = token.trim().to_owned();
    if token.len() < SHORTEST_TOKEN {
        let found = token.len();
        return Err(Error::config(
            format!(
                "the token in {} has {found} characters, expected {SHORTEST_TOKEN} or more",
                file.display()
            ),
            "write a long random one: head -c 24 /dev/urandom | base64",
        ));
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listen: &str, token: Option<&str>) -> HttpConfig {
        HttpConfig { listen: listen.into(), token_file: token.map(PathBuf::from), ..HttpConfig::default() }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        for (listen, address) in [
            ("8099", "127.0.0.1:8099"),
            ("localhost:8099", "127.0.0.1:8099"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:0", "[::1]:0"),
        ] {
            let config = of(listen, None);
            config.validate().unwrap();
            assert_eq!(config.address().unwrap().unwrap().to_string(), address);
        }
        for listen in ["0.0.0.0:8099", "[::]:8099", "192.168.1.2:8099"] {
            let error = of(listen, None).validate().unwrap_err();
            assert!(error.to_string().contains("token_file"), "{error}");
            of(listen, Some("/t")).validate().unwrap();
        }
        assert_eq!(HttpConfig::default().address().unwrap(), None);
        for (listen, url) in
            [("10.0.0.7:8099", Some("http://10.0.0.7:8099/")), ("0.0.0.0:8099", None), ("8099", None)]
        {
            assert_eq!(of(listen, Some("/t")).url().as_deref(), url, "{listen}");
        }
        for wrong in ["ear", "ear:80", "127.0.0.1", "70000"] {
            assert!(of(wrong, None).validate().unwrap_err().to_string().contains("http.listen"), "{wrong}");
        }
        let hosts = HttpConfig { hosts: vec!["http://x".into()], ..of("1", None) };
        assert!(hosts.validate().unwrap_err().to_string().contains("http.hosts"));
    }
}
