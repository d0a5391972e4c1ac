//! The thread `http`.

use std::fmt;
use std::net::SocketAddr;

use super::config::HttpConfig;
#[cfg(feature = "http")]
use super::config::read_tokens;
#[cfg(feature = "http")]
use super::http_thread;
use super::node::{HealthSource, NodeInfo, Review};
use super::ui_sender::UiSender;
#[cfg(not(feature = "http"))]
use crate::error::Error;
use crate::error::Result;

/// A running server; dropping this stops it.
pub struct Server {
    address: SocketAddr,
    #[cfg(feature = "http")]
    _running: http_thread::HttpThread,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// Its address; a configured port 0 has become a real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a server where the configuration asks for one. What is said to the feed is shown.
    ///
    /// # Errors
    /// A configuration error where the token cannot be read or is too short, the address is taken or is not of this
    /// machine, or the program was built without the feature `http`.
    #[cfg(feature = "http")]
    pub fn start(
        config: &HttpConfig,
        about: NodeInfo,
        (health, review): (HealthSource, Review),
    ) -> Result<(Option<Self>, UiSender)> {
        let Some(address) = config.address()? else { return Ok((None, UiSender::default())) };
        config.validate()?;
        let running = http_thread::start(address, (read_tokens(config)?, config), (about, health, review))?;
        let (address, running, feed) = running;
        Ok((Some(Self { address, _running: running }), feed))
    }

    /// Refuses a configuration that asks for a server.
    ///
    /// # Errors
    /// Where it does.
    #[cfg(not(feature = "http"))]
    pub fn start(
        config: &HttpConfig,
        about: NodeInfo,
        of_daemon: (HealthSource, Review),
    ) -> Result<(Option<Self>, UiSender)> {
        drop((about, of_daemon));
        match config.address()? {
            None => Ok((None, UiSender::default())),
            Some(_) => Err(Error::config(
                "http.listen is set, and this program was built without the feature `http`",
                "build it with `--features http`, or take [http] out",
            )),
        }
    }
}
